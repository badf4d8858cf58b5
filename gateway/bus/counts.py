"""What came from Redis, and how late: told by the feed's own stamp, once for each read."""

from typing import Final

from feeds.market import Clock, SystemClock
from feeds.market.metric import Histogram

CLOCK: Final = SystemClock()

_TAIL_BYTES: Final = 40
"""Our feeds' messages end with the stamp: it is looked for there and nowhere else."""
_DIGITS_MAX: Final = 18


class BusCounts:
    """Since the start."""

    def __init__(self, clock: Clock = CLOCK) -> None:
        self._clock = clock
        self.reads = 0
        self.bytes_in = 0
        self.beat_heard_s = clock.monotonic_s()
        """When the last heartbeat came back; at first: when this began."""
        self.round_trip_s = Histogram()
        """From sending a heartbeat to hearing it."""
        self.lag_s = Histogram()
        """From a feed's sending to our reading, of the oldest message of each read. By the clocks
        of two machines, where they are two."""

    @property
    def beat_age_s(self) -> float:
        return self._clock.monotonic_s() - self.beat_heard_s

    def heard(self, channel: str, message: bytes) -> None:
        """The oldest message of a read. Costs 1.7 us, once for all that the read brought."""
        start = message.rfind(b'"tx":', -_TAIL_BYTES)
        if start < 0 or channel.startswith("custom:"):  # The `tx` of others may be anything.
            return
        sent_us = message[start + 5 : -1]
        if sent_us.isdigit() and len(sent_us) <= _DIGITS_MAX:
            delay_us = self._clock.now_ns() // 1_000 - int(sent_us)
            # Never negative: clocks differ, and are set.
            self.lag_s.observe(max(0, delay_us) / 1e6)
