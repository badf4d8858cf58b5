"""Which venues other processes publish, by the statuses that these tell each second. Pure.

Who falls silent is gone: nothing it said before is to count as new. Times are monotonic seconds.
"""

from collections.abc import Callable, Iterator
from typing import Final

from feeds.derived.derivation import NO_MARKETS
from feeds.market import AGGREGATE, Channel, ChannelError, Status
from feeds.others.in_order import KINDS

VENUE: Final = "VENUE"
"""The symbol of a status that is about the whole venue."""

_SILENCE_LIMIT_S: Final = 3.0
_LIVED_US: Final = 5_000_000
"""A status that is younger is one of a venue that is published now."""
_CLOCK_OFF_US: Final = 2_000_000


class Presence:
    """Of those that go together with ours: simulated markets and live ones never mix."""

    def __init__(self, is_own: Callable[[str], bool], *, simulated: bool) -> None:
        """`is_own`: whether this process publishes a venue now."""
        self.alive: dict[str, float] = {}
        """Venues that another process publishes, and when their last status came."""
        self.passed_over: set[str] = set()
        """Venues that others publish, and that are not to be heard."""
        self.is_own = is_own
        self._simulated = simulated
        self._channels: dict[str, Channel | None] = {}
        """Names that were met; None: not to be heard."""
        self._off: set[str] = set()
        """Venues whose clock was seen to be another than ours."""

    def may_hear(self, venue: str) -> bool:
        return venue == "sim" if self._simulated else venue not in ("replay", AGGREGATE)

    def channel(self, name: str) -> Channel | None:
        """That of a name; None: it is not to be heard."""
        if name in self._channels:
            return self._channels[name]
        channel = self._channels[name] = self._parsed(name)
        return channel

    def hear(self, channel: Channel, now_s: float) -> None:
        """Its process has told a status."""
        self.alive[channel.venue] = now_s

    def find(self, channel: Channel, status: Status, now_s: float, now_us: int) -> None:
        """The last status that is kept of a venue: it may be alive."""
        age_us = max(0, now_us - (status.received_us or 0))
        if age_us < _LIVED_US and status.state != "closed":
            self.alive[channel.venue] = now_s - age_us / 1e6

    def leave(self, venue: str) -> None:
        """It was stopped, and said so."""
        self.alive.pop(venue, None)

    def silent(self, now_s: float) -> Iterator[tuple[str, float]]:
        """Those that are gone, and since when."""
        for venue, heard_s in list(self.alive.items()):
            if self.is_own(venue):
                del self.alive[venue]
            elif now_s - heard_s > _SILENCE_LIMIT_S:
                del self.alive[venue]
                yield venue, heard_s

    def has_spoken(self, venue: str, since_s: float) -> bool:
        """Who is published here by now speaks otherwise."""
        return self.is_own(venue) or self.alive.get(venue, 0.0) >= since_s

    def is_passed_over(self, name: str) -> str | None:
        """A venue that is left out, the first time that one of its channels is met."""
        venue = name.split(":")[1]
        if venue in (AGGREGATE, *NO_MARKETS) or venue in self.passed_over:
            return None
        self.passed_over.add(venue)
        return venue

    def clock_off_us(self, venue: str, status: Status, now_us: int) -> int | None:
        """How far ahead of ours its clock is, the first time that it is far off."""
        off_us = 0 if status.received_us is None else status.received_us - now_us
        if abs(off_us) <= _CLOCK_OFF_US or venue in self._off:
            return None
        self._off.add(venue)
        return off_us

    def _parsed(self, name: str) -> Channel | None:
        try:
            channel = Channel.parse(name)
        except ChannelError:
            return None
        is_heard = channel.kind in KINDS and self.may_hear(channel.venue)
        is_of_venue = channel.kind != "status" or channel.symbol == VENUE
        return channel if is_heard and is_of_venue and not channel.is_wildcard else None
