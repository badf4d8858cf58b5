"""How long a channel is usually quiet, learnt from itself; and from when on it is too long. Pure.

Data counts once a second at most (a beat), so that a burst is no rhythm. The limit is 3 times the
longest pause of the last 10 to 20 minutes, so that a quiet pair is not taken for a dead one.
"""

from typing import Final

FLOOR_S: Final = 9.0
"""No channel is called dead sooner. A dead one is to be noticed within 10 s: a beat may be a second
older than the last data, and who looks comes by twice a second."""
UNKNOWN_LIMIT_S: Final = {"trade": 300.0, "quote": 60.0}
"""While a rhythm is not known yet. Quotes change far more often than trades happen."""
BEAT_S: Final = 1.0

_PAUSES: Final = 3.0
_BEATS_KNOWN: Final = 20
"""From as many beats on the rhythm counts as known."""
_BEATS_KEPT: Final = 50
_MEMORY_S: Final = 600.0
"""So many beats and so long a time, at least, are remembered."""


class Rhythm:
    """One channel's. Seconds of one monotonic clock throughout."""

    __slots__ = (
        "_beats",
        "_beats_now",
        "_before_s",
        "_longest_s",
        "_since_s",
        "_unknown_s",
        "beat_s",
    )

    def __init__(self, kind: str) -> None:
        self.beat_s: float | None = None
        """The last beat; None: there was none since the start or the last `pause`."""
        self._unknown_s = UNKNOWN_LIMIT_S.get(kind, UNKNOWN_LIMIT_S["trade"])
        self._beats = 0
        self._longest_s = self._before_s = 0.0
        """The longest pause of this span of memory, and of the one before."""
        self._since_s = 0.0
        self._beats_now = 0

    @property
    def usual_s(self) -> float:
        """The longest pause that is remembered."""
        return max(self._longest_s, self._before_s)

    @property
    def limit_s(self) -> float:
        """From how long a silence on it is too long."""
        floor_s = FLOOR_S if self._beats >= _BEATS_KNOWN else self._unknown_s
        return max(floor_s, _PAUSES * self.usual_s)

    def beat(self, now_s: float) -> None:
        """There was data; called at most once a BEAT_S."""
        if self.beat_s is not None:
            # A silence that was too long is learnt no further than that: an outage must not make
            # the next one unseen, and a pair that has grown quiet is soon known to be.
            pause_s = min(now_s - self.beat_s, self.limit_s)
            self._longest_s = max(self._longest_s, pause_s)
        if self._beats_now >= _BEATS_KEPT and now_s - self._since_s >= _MEMORY_S:
            self._before_s, self._longest_s = self._longest_s, 0.0
            self._beats_now, self._since_s = 0, now_s
        if self._beats == 0:
            self._since_s = now_s
        self._beats += 1
        self._beats_now += 1
        self.beat_s = now_s

    def pause(self) -> None:
        """It can't be heard just now: the silence says nothing about the channel."""
        self.beat_s = None

    def listen_from(self, now_s: float) -> None:
        """Silence counts from now, and nothing is learnt of what was before."""
        self.beat_s = now_s

    def silent_s(self, now_s: float) -> float:
        """Since the last beat; 0 where there is none to count from."""
        return 0.0 if self.beat_s is None else now_s - self.beat_s

    def is_overdue(self, now_s: float) -> bool:
        return self.silent_s(now_s) >= self.limit_s
