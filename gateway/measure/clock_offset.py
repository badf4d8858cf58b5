"""How far a gateway's clock is from ours, by pings: as NTP does it. Pure.

A pong was written between the ping's sending and its own arrival: the true offset lies within half
a round trip of the middle, whatever part of it either way took. Short round trips tell most.
"""

from collections import deque
from typing import Final, NamedTuple

_KEPT: Final = 64
_WANDER: Final = 50e-6
"""What two clocks may part by: an old ping's bound grows so. Of quartz that nobody steers."""


class Ping(NamedTuple):
    """One ping and its pong: when by our clock, and the gateway's time in it."""

    sent_us: int
    received_us: int
    theirs_us: int

    @property
    def round_trip_us(self) -> int:
        return self.received_us - self.sent_us

    @property
    def offset_us(self) -> float:
        """Theirs less ours."""
        return self.theirs_us - (self.sent_us + self.received_us) / 2

    @property
    def bound_us(self) -> float:
        """The offset is wrong by at most that; a microsecond for the digits that `t` lacks."""
        return self.round_trip_us / 2 + 1


class Estimate(NamedTuple):
    """The gateway's clock is ahead by `offset_us`, give or take `bound_us`."""

    offset_us: float
    bound_us: float

    def is_apart_from(self, other: "Estimate") -> bool:
        """Whether both can't be true of one moment."""
        return abs(self.offset_us - other.offset_us) > self.bound_us + other.bound_us


_SAME: Final = Estimate(0.0, 0.0)


class ClockOffset:
    """Of one connection's gateway, followed through a run."""

    def __init__(self, *, is_here: bool) -> None:
        """`is_here`: by its address it runs on this machine, where there is one clock only."""
        self.first: Estimate | None = None
        self.last: Estimate | None = None
        self.bound_us_max = 0.0
        """The widest that was in use."""
        self.pings = 0
        self.correction_us = 0
        """To be added to our time, to have the gateway's."""
        self.is_one_clock = is_here
        """While every ping allows it. A tunnel has an address of here, and its clock elsewhere."""
        self._kept: deque[Ping] = deque(maxlen=_KEPT)

    def hear(self, ping: Ping) -> None:
        if ping.round_trip_us < 0:
            return  # Our clock was set back meanwhile.
        self.pings += 1
        self._kept.append(ping)
        told = Estimate(ping.offset_us, ping.bound_us)
        self.is_one_clock = self.is_one_clock and not told.is_apart_from(_SAME)
        self.last = self._best(ping.received_us)
        self.bound_us_max = max(self.bound_us_max, self.last.bound_us)
        self.correction_us = 0 if self.is_one_clock else round(self.last.offset_us)

    def begin(self) -> None:
        """What is known now is the start of the run."""
        self.first = self.last
        self.bound_us_max = self.last.bound_us if self.last else 0.0

    def _best(self, now_us: int) -> Estimate:
        def bound_us(ping: Ping) -> float:
            return ping.bound_us + max(0, now_us - ping.received_us) * _WANDER

        best = min(self._kept, key=bound_us)
        return Estimate(best.offset_us, bound_us(best))
