"""What several series of candles share: whose clock they wait for, and what was missed. Pure."""

from collections.abc import Sequence
from typing import Final

from feeds.derived.outages import Outages
from feeds.derived.series import Series
from feeds.derived.venue_clock import VenueClock
from feeds.market import Status, Tick

AWAY: Final = frozenset(("waiting", "stale", "resync", "closed"))
"""States in which a venue's trades are missed."""

_TOLD_WITHIN_US: Final = 2_500_000
"""A status is told each second: who told none for longer was not there."""


class CandleMarket:
    """The series of one venue, which are final together."""

    __slots__ = ("clock", "series", "until_us")

    def __init__(self, clock: VenueClock) -> None:
        self.clock = clock
        self.series: dict[str, Series] = {}
        self.until_us = 0
        """All seconds that end by then are final."""

    def ahead_us(self) -> int:
        """How far it is ahead of our clock; where it is away, ours is taken."""
        return 0 if self.clock.is_away else self.clock.ahead_us()

    def watermark_us(self, now_us: int) -> int:
        """What time it is there; where it is away, here."""
        return now_us if self.clock.is_away else self.clock.now_us(now_us)


class Route:
    """What the trades of one channel are part of."""

    __slots__ = ("_first_us", "clock", "last_id", "last_us", "name", "outages", "series")

    def __init__(self, name: str, clock: VenueClock, since_us: int) -> None:
        self.name = name
        self.clock = clock
        self.outages = Outages(since_us)
        self.series: list[Series] = []
        self.last_us = 0
        """When its newest trade happened."""
        self.last_id: str | None = None
        """Of the newest trade that another process heard; None: there was none, or one since."""
        self._first_us: int | None = None
        """When the first trade since it was asked for was received."""

    def stamp(self, venue_us: int, received_us: int, behind_max_us: int) -> None:
        """A trade tells what time it is there. What comes first after a channel was asked for may
        be of long ago (Coinbase's `last_match`): it does not set the clock back."""
        if self._first_us is None:
            self._first_us = received_us
        if received_us != self._first_us or received_us - venue_us <= behind_max_us:
            self.clock.stamp(venue_us, received_us)

    def miss(self, until_us: int, told: list[Tick]) -> None:
        """Trades are missing between its newest one and another."""
        since_us = min(self.last_us, until_us)
        self.outages.add(since_us, until_us)
        for series in self.series:
            series.doubt(since_us, until_us, told)

    def own(self, at_us: int, told: list[Tick]) -> Sequence[Series]:
        """A doubtful trade is in its own venue's candles, as it is in the venue's; it does not
        spoil what all venues say together, which is told to lack it."""
        for series in self.series[1:]:
            series.leave_out(at_us, told)
        return self.series[:1]

    def resume(self, trade_id: str) -> None:
        """The first trade since a restart: by venues that count them it is known to be the next."""
        last_id, self.last_id = self.last_id, None
        are_counted = last_id is not None and last_id.isdigit() and trade_id.isdigit()
        if are_counted and int(trade_id) == int(last_id or 0) + 1:
            self.outages.resume()

    def hear(self, status: Status, now_us: int) -> int | None:
        """What its venue's status says of it. Where it is away from now on: since when."""
        state, since_us = self._state(status)
        if state in AWAY:
            self._first_us = None
        if state in AWAY and not self.outages.is_away:
            began_us = self.clock.now_us(min(since_us, now_us))
            self.outages.begin(began_us)
            return began_us
        if state == "live":
            self.outages.end(self.clock.now_us(now_us))
        return None

    def recall(self, statuses: Sequence[Status]) -> None:
        """What was told of its venue before a restart: where it was away, and where for long
        nobody told anything."""
        heard_us = 0
        was_live = False
        self.outages.forget()
        for status in statuses:
            at_us = status.received_us or status.since_us
            is_live = self._state(status)[0] == "live"
            if heard_us and not (was_live and is_live and at_us - heard_us <= _TOLD_WITHIN_US):
                self.outages.add(heard_us, at_us)
            heard_us, was_live = at_us, is_live

    def _state(self, status: Status) -> tuple[str, int]:
        of_it = status.channels.get(self.name)
        if of_it is not None:
            return of_it.state, of_it.since_us
        return ("live" if status.channels else status.state), status.since_us
