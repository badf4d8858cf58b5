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
    "not_a_number", "not_positive", "crossed", "duplicate", "outdated",
    "late", "renumbered", "future", "outlier",
]  # fmt: skip
Fate = Literal["refused", "flagged"]


class Rule(msgspec.Struct, frozen=True):
    """A row of the table of what may be wrong with a tick."""

    fate: Fate
    meaning: str


RULES: Final[dict[Reason, Rule]] = {
    "not_a_number": Rule("refused", "A price or size that is NaN, infinite or no number at all."),
    "not_positive": Rule("refused", "A price or a trade's size of zero or less."),
    "crossed": Rule("refused", "A quote whose bid is above its ask."),
    "duplicate": Rule("refused", "A trade whose id came before: venues repeat when reconnected."),
    "outdated": Rule("refused", "A quote older than the last one, by the venue's number or time."),
    "late": Rule("flagged", "A trade that happened before others that came already."),
    "renumbered": Rule("flagged", "A trade whose id is in no order with those before."),
    "future": Rule("flagged", "It happened more than 2 s from now, by the venue's clock."),
    "outlier": Rule("flagged", "A price more than a tenth away from those before."),
}

AHEAD_MAX_US: Final = 2_000_000
"""How far a venue's clock may be before ours. (1.27 s is in recordings of healthy streams.)"""
BACK_MAX_US: Final = 1_000_000
"""How far the times of trades that come in the order of their ids may go back."""
OUTDATED_MAX: Final = 10
"""So many in a row are not outdated: the venue's numbers or its clock were set back."""

Tell = Callable[[Reason, Tick], None]
"""Hears of each tick that is refused or flagged."""


class Screen(Protocol):
    """One channel's."""

    blame: Blame
    """Whose fault it is if something is missing now."""

    def judge(self, tick: Tick) -> Tick | None:
        """The tick, or one that says what is to be said of it; None: it is refused."""


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
        missing = self._ids.judge(trade.id, ahead_us)
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
        if venue_us is not None and ahead_us is not None:
            if _is_future(venue_us, trade.received_us):
                doubt = "future"
            elif ahead_us >= 0:
                self._newest_us = venue_us
            elif ahead_us < -BACK_MAX_US:
                doubt = "late"
        if isinstance(missing, str):
            doubt, missing = missing, 0
        if doubt is None and not missing and not self._owed:
            return tick
        return self._marked(tick, trade, doubt, missing)

    def _marked(self, tick: Tick, trade: Trade, doubt: Reason | None, missing: int) -> Tick:
        if doubt is not None:
            self._tell(doubt, tick)
            trade = msgspec.structs.replace(trade, suspect=True)
        missing, self._owed = missing + self._owed, 0
        hole = Missing(self.blame, missing) if missing else None
        return Tick(tick.channel, trade, missing=hole)


class QuoteScreen:
    """One channel's quotes. Their sizes are as the parser checked them."""

    __slots__ = ("_asks", "_bids", "_newest", "_outdated", "_tell", "blame")

    def __init__(self, tell: Tell) -> None:
        self.blame: Blame = "venue"
        self._tell = tell
        self._bids, self._asks = Level(), Level()
        self._newest = 0
        """By the venue's number, where it gives one, else by its time."""
        self._outdated = 0
        """How many in a row were."""

    def judge(self, tick: Tick) -> Tick | None:
        """See `Screen`."""
        quote = tick.payload
        assert isinstance(quote, Quote)
        try:
            bid, ask = float(quote.bid), float(quote.ask)
        except ValueError:
            bid = ask = nan
        if not 0.0 < bid <= ask < inf:
            self._tell(_unsound(bid, ask), tick)
            return None
        venue_us = quote.venue_us
        is_future = venue_us is not None and _is_future(venue_us, quote.received_us)
        place = tick.sequence
        if place is None and not is_future:
            place = venue_us
        if place is not None:
            if place < self._newest and self._outdated < OUTDATED_MAX:
                self._outdated += 1
                self._tell("outdated", tick)
                return None
            self._newest, self._outdated = place, 0
        doubts_bid, doubts_ask = self._bids.doubts(bid), self._asks.doubts(ask)
        if not (is_future or doubts_bid or doubts_ask):
            return tick
        self._tell("future" if is_future else "outlier", tick)
        return Tick(tick.channel, msgspec.structs.replace(quote, suspect=True), tick.sequence)


class OpenScreen:
    """For kinds of channel that have no rules."""

    def __init__(self) -> None:
        self.blame: Blame = "venue"

    def judge(self, tick: Tick) -> Tick | None:
        """See `Screen`."""
        return tick


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
    if not (isfinite(first) and isfinite(second)):
        return "not_a_number"
    return "crossed" if first > 0 and second > 0 else "not_positive"


def _is_future(venue_us: int, received_us: int | None) -> bool:
    return received_us is not None and venue_us - received_us > AHEAD_MAX_US
