"""What keeps poisoned ticks from subscribers, channel by channel. Pure; constant memory a channel.

What can't be a price is refused; what only looks wrong is passed on with `suspect`. Nothing is
refused for good: whatever a venue does to its ids, clock or prices, what follows gets through.
"""

from collections.abc import Callable
from math import inf, isfinite, nan
from typing import Final, Literal, Protocol

import msgspec

from feeds.market import Channel, Missing, Quote, Tick, Trade
from feeds.market.publication import Blame
from feeds.watching.level import Level
from feeds.watching.trade_ids import TRADE_IDS, Promise, TradeIds

Reason = Literal[
    "not_a_number", "not_positive", "duplicate", "outdated",
    "crossed", "late", "renumbered", "future", "outlier",
]  # fmt: skip
Fate = Literal["refused", "flagged"]


class Rule(msgspec.Struct, frozen=True):
    """A row of the table of what may be wrong with a tick."""

    fate: Fate
    meaning: str


RULES: Final[dict[Reason, Rule]] = {
    "not_a_number": Rule("refused", "A price or size that is NaN, infinite or no number at all."),
    "not_positive": Rule("refused", "A price or a trade's size of zero or less."),
    "duplicate": Rule("refused", "A trade whose id came before: venues repeat when reconnected."),
    "outdated": Rule("refused", "A quote older than the last one, by the venue's number or time."),
    "crossed": Rule("flagged", "A quote whose bid is above its ask."),
    "late": Rule("flagged", "A trade that happened before others that came already."),
    "renumbered": Rule("flagged", "A trade whose id is in no order with those before."),
    "future": Rule("flagged", "It happened more than 2 s from now, by the venue's clock."),
    "outlier": Rule("flagged", "A price more than a tenth away from those before."),
}

AHEAD_MAX_US: Final = 2_000_000
"""How far a venue's clock may be before ours. (1.27 s is in recordings of healthy streams.)"""
BACK_MAX_US: Final = 1_000_000
"""How far the times of what comes in the order of its numbers may go back."""
OUTDATED_MAX: Final = 10
"""So many in a row are not outdated: the venue's numbers or its clock were set back."""
_TORN: Final = Missing("venue", 1)
"""How many quotes there were meanwhile nobody can say: it counts as one."""

Tell = Callable[[Reason, Tick], None]
"""Hears of each tick that is refused or flagged."""


class Screen(Protocol):
    """One channel's."""

    blame: Blame
    """Whose fault it is if something is missing now."""

    def judge(self, tick: Tick) -> Tick | None:
        """The tick, or one that says what is to be said of it; None: it is refused."""

    def torn(self) -> None:
        """The venue left something out, nobody knows how much: to be told before the next tick,
        unless the ticks' own numbers tell it."""


class TradeScreen:
    """One channel's trades."""

    __slots__ = ("_ids", "_level", "_newest_us", "_owed", "_tell", "blame")

    def __init__(self, ids: TradeIds, tell: Tell) -> None:
        self.blame: Blame = "venue"
        self._ids = ids
        self._level = Level()
        self._tell = tell
        self._newest_us = 0
        self._owed = 0
        """Trades that were refused since the last one that was not: they are missing."""

    def judge(self, tick: Tick) -> Tick | None:
        """See `Screen`."""
        trade = tick.payload
        assert isinstance(trade, Trade)
        venue_us = trade.venue_us
        ahead_us = None if venue_us is None else venue_us - self._newest_us
        missing = self._ids.judge(trade.id, ahead_us, tick.fills)
        if missing == "duplicate":
            self._tell("duplicate", tick)
            return None
        try:
            price, size = float(trade.price), float(trade.size)
        except ValueError:
            price = size = nan
        if not (0.0 < price < inf and 0.0 < size < inf):
            # With what is missing before it; a late one was told as missing by then.
            if missing != "late":
                self._owed += 1 if isinstance(missing, str) else 1 + missing
            self._tell(_unsound(price, size), tick)
            return None
        doubt: Reason | None = "outlier" if self._level.doubts(price) else None
        displaced: Reason | None = None
        if venue_us is not None and ahead_us is not None:
            if _is_future(venue_us, trade.received_us):
                doubt = "future"
            elif ahead_us >= 0:
                self._newest_us = venue_us
            elif ahead_us < -BACK_MAX_US:
                displaced = "late"
        if isinstance(missing, str):
            displaced, missing = missing, 0
        if doubt is None and displaced is None and not missing and not self._owed:
            return tick
        return self._marked(tick, trade, doubt, displaced, missing)

    def _marked(
        self,
        tick: Tick,
        trade: Trade,
        doubt: Reason | None,
        displaced: Reason | None,
        missing: int,
    ) -> Tick:
        """`doubt`: what is wrong with the trade itself; `displaced`: with its place only."""
        reason = displaced or doubt
        if reason is not None:
            self._tell(reason, tick)
            trade = msgspec.structs.replace(trade, suspect=True, late=doubt is None)
        missing, self._owed = missing + self._owed, 0
        hole = Missing(self.blame, missing) if missing else None
        return Tick(tick.channel, trade, missing=hole)

    def torn(self) -> None:
        """See `Screen`."""


class QuoteScreen:
    """One channel's quotes. Their sizes are as the parser checked them."""

    __slots__ = (
        "_asks", "_bids", "_newest", "_newest_us", "_outdated", "_owed", "_tell", "blame",
    )  # fmt: skip

    def __init__(self, tell: Tell) -> None:
        self.blame: Blame = "venue"
        self._tell = tell
        self._bids, self._asks = Level(), Level()
        self._newest = 0
        """By the venue's number, where it gives one, else by its time."""
        self._newest_us: int | None = None
        """The newest one's time."""
        self._outdated = 0
        """How many in a row were."""
        self._owed: Missing | None = None
        """What is missing and was not told yet."""

    def judge(self, tick: Tick) -> Tick | None:
        """See `Screen`."""
        quote = tick.payload
        assert isinstance(quote, Quote)
        try:
            bid, ask = float(quote.bid), float(quote.ask)
        except ValueError:
            bid = ask = nan
        is_sound = 0.0 < bid <= ask < inf
        if not (is_sound or 0.0 < ask < bid < inf):
            self._tell(_unsound(bid, ask), tick)
            return None
        venue_us = quote.venue_us
        is_future = venue_us is not None and _is_future(venue_us, quote.received_us)
        believed_us = None if is_future else venue_us
        place = believed_us if tick.sequence is None else tick.sequence
        if place is not None:
            if place < self._newest and not self._is_set_back(believed_us):
                self._outdated += 1
                self._tell("outdated", tick)
                return None
            self._newest, self._newest_us, self._outdated = place, believed_us, 0
        doubt: Reason | None = "future" if is_future else None
        if not is_sound:
            # Passed on, as it ends the one before; but no measure of those that follow.
            doubt = "crossed"
        elif self._bids.doubts(bid) | self._asks.doubts(ask):
            doubt = doubt or "outlier"
        if doubt is not None:
            self._tell(doubt, tick)
            quote = msgspec.structs.replace(quote, suspect=True)
        elif self._owed is None:
            return tick
        missing, self._owed = self._owed, None
        return Tick(tick.channel, quote, tick.sequence, missing)

    def torn(self) -> None:
        """See `Screen`."""
        self._owed = _TORN

    def _is_set_back(self, venue_us: int | None) -> bool:
        """Whether what goes back are the venue's numbers, not its quotes: so many do, or its clock
        has gone on meanwhile."""
        if self._outdated >= OUTDATED_MAX:
            return True
        newest_us = self._newest_us
        if venue_us is None or newest_us is None:
            return False
        return venue_us - newest_us > BACK_MAX_US


class OpenScreen:
    """For kinds of channel that have no rules."""

    def __init__(self) -> None:
        self.blame: Blame = "venue"

    def judge(self, tick: Tick) -> Tick | None:
        """See `Screen`."""
        return tick

    def torn(self) -> None:
        """See `Screen`."""


def screen_of(channel: Channel, ids: Promise, tell: Tell) -> Screen:
    """A channel's, where the venue promises so much of its trade ids."""
    match channel.kind:
        case "trade":
            return TradeScreen(TRADE_IDS[ids](), tell)
        case "quote":
            return QuoteScreen(tell)
    return OpenScreen()


def _unsound(first: float, second: float) -> Reason:
    """What is wrong with two numbers that can't be prices."""
    return "not_positive" if isfinite(first) and isfinite(second) else "not_a_number"


def _is_future(venue_us: int, received_us: int | None) -> bool:
    return received_us is not None and venue_us - received_us > AHEAD_MAX_US
