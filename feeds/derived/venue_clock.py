"""What time it is at a venue, by the stamps on what it sends. Pure.

Never ahead of the venue's own clock as far as its stamps tell, so that nothing is final too early.
"""

from typing import Final

_WINDOW_US: Final = 60_000_000
"""How long a stamp tells how the two clocks stand: clocks drift, and are set."""


class VenueClock:
    """`received_us` and `now_us` are by our clock, `venue_us` by the venue's."""

    __slots__ = (
        "_ahead", "_ahead_before", "_ahead_max_us", "_seen_us", "_window_end_us",
        "is_away",
    )  # fmt: skip

    def __init__(self, ahead_max_us: int) -> None:
        self._ahead_max_us = ahead_max_us
        self._ahead: int | None = None
        """The most that a stamp was ahead of our clock, however far: less by what the way takes."""
        self._ahead_before: int | None = None
        self._window_end_us = 0
        self._seen_us = 0
        self.is_away = False
        """Whether nothing comes from it: then nobody waits for it."""

    def stamp(self, venue_us: int, received_us: int) -> None:
        """Something came that says when it was sent."""
        ahead = venue_us - received_us
        if received_us >= self._window_end_us:
            self._window_end_us = received_us + _WINDOW_US
            self._ahead_before, self._ahead = self._ahead, ahead
        elif self._ahead is None or ahead > self._ahead:
            self._ahead = ahead
        if venue_us > self._seen_us:
            self._seen_us = min(venue_us, received_us + self._ahead_max_us)

    @property
    def stamped_us(self) -> int | None:
        """How far its stamps are ahead of our clock, believed or not; None: there were none."""
        before = self._ahead_before
        if self._ahead is None or before is None or before < self._ahead:
            return self._ahead
        return before

    def ahead_us(self) -> int:
        """How far it is ahead of ours; negative: behind, or slow to reach us."""
        ahead = self.stamped_us
        return 0 if ahead is None else min(ahead, self._ahead_max_us)

    def now_us(self, now_us: int) -> int:
        """What time it is there: at least so late."""
        return max(self._seen_us, now_us + self.ahead_us())
