"""When to try again, and when to give up waiting: decisions about time, without a clock."""

import math
from random import Random


class Backoff:
    """Pauses before attempts: full jitter under a ceiling that doubles up to `max_s`.

    Full jitter (anything from nothing to the ceiling), so that connections lost together do not
    come back together.
    """

    def __init__(self, first_s: float, max_s: float, random: Random) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._random = random
        self._failures = 0

    def next_pause_s(self) -> float:
        """Counts a failure and says how long to wait after it."""
        # 2**64 is beyond every max_s, and ldexp stays cheap and finite after years of failures.
        ceiling_s = min(self._max_s, math.ldexp(self._first_s, min(self._failures, 64)))
        self._failures += 1
        return self._random.uniform(0.0, ceiling_s)

    def reset(self) -> None:
        self._failures = 0


class Silence:
    """How long a connection may still be quiet. Frames and data are watched apart: heartbeats,
    acks and pings are frames, but a venue that sends nothing else has stopped all the same.

    All times are seconds of one monotonic clock.
    """

    def __init__(self, frame_limit_s: float, data_limit_s: float, now_s: float) -> None:
        self._frame_limit_s = frame_limit_s
        self._data_limit_s = max(frame_limit_s, data_limit_s)
        self._last_frame_s = now_s
        self._last_data_s = now_s

    def frame_came(self, now_s: float) -> None:
        self._last_frame_s = now_s

    def data_came(self, now_s: float) -> None:
        self._last_data_s = now_s

    def left_s(self, now_s: float) -> float:
        """Seconds until it is too long; zero or less: it is."""
        return min(
            self._last_frame_s + self._frame_limit_s - now_s,
            self._last_data_s + self._data_limit_s - now_s,
        )

    def complaint(self, now_s: float) -> str:
        """What is missing, where `left_s` says that it is."""
        if now_s - self._last_frame_s >= self._frame_limit_s:
            return f"fell silent (nothing for {self._frame_limit_s:g} s)"
        return f"sends no data (only heartbeats for {self._data_limit_s:g} s)"
