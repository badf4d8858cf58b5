"""Who may vote on a price, and with what: a venue's quote, read once for all its votes. Pure."""

from typing import Final

from feeds.derived.fixed_point import read, written
from feeds.derived.price_rule import CROSSED, STALE, Number, ballot
from feeds.market import Channel, Quote

_QUARANTINED: Final = "quarantined"
_WAITING: Final = "waiting"


class Market:
    """What one venue says of one instrument."""

    __slots__ = (
        "decimals", "half", "half_text", "heard_us", "hold", "is_fresh", "name", "price",
        "price_text", "quote", "received_us", "symbol", "venue", "version",
    )  # fmt: skip

    def __init__(self, quotes: Channel, hold: str | None) -> None:
        self.name = quotes.name
        self.venue = quotes.venue
        self.symbol = quotes.symbol
        self.hold = hold
        """Why it does not vote, as far as the venue's status says; None: it may."""
        self.quote: Quote | None = None
        """None: nothing since it was last known to be good."""
        self.heard_us = 0
        self.received_us: int | None = None
        self.version = 0
        """Counts its quotes."""
        self.is_fresh = False
        """Whether its quote has not been `read`."""
        self.price: Number = (0, 0)
        self.half: Number = (0, 0)
        """Half its spread; negative where bid and ask are crossed."""
        self.price_text = self.half_text = "0"
        self.decimals = 0
        """Of the finer one of the two."""

    def hear(self, quote: Quote, now_us: int) -> None:
        self.quote = quote
        self.received_us = quote.received_us
        # The clock where it was received may be ahead of ours: no quote is from the future.
        received_us = quote.received_us
        self.heard_us = now_us if received_us is None or received_us > now_us else received_us
        self.version += 1
        self.is_fresh = True

    def fault(self, heard_from_us: int) -> str | None:
        """Why it does not vote by itself; None: it may. A quote heard by then is too old."""
        quote = self.quote
        if self.hold is not None or quote is None:
            return self.hold or _WAITING
        if self.is_fresh:
            self.read(quote)
        if quote.suspect:
            return _QUARANTINED
        if self.heard_us <= heard_from_us:
            return STALE
        return CROSSED if self.half[0] < 0 else None

    def read(self, quote: Quote) -> None:
        """The middle of its quote and half its spread, exactly; once, and only where they count."""
        self.is_fresh = False
        (bid, bid_decimals), (ask, ask_decimals) = read(quote.bid), read(quote.ask)
        decimals = bid_decimals
        if bid_decimals < ask_decimals:
            decimals = ask_decimals
            bid *= 10 ** (ask_decimals - bid_decimals)
        elif ask_decimals < bid_decimals:
            ask *= 10 ** (bid_decimals - ask_decimals)
        # Times five and one decimal more: half of it, without a rest.
        self.price_text = written((bid + ask) * 5, decimals + 1)
        self.half_text = written((ask - bid) * 5, decimals + 1)
        # Of the texts: who reads the message has no others.
        self.price, self.half = read(self.price_text), read(self.half_text)
        self.decimals = max(self.price[1], self.half[1])


class Seat:
    """A market's place among the voters of a pair."""

    __slots__ = ("_cast", "_rate", "_unit", "_version", "market", "via")

    def __init__(self, market: Market, via: str | None) -> None:
        """`via`: the channel through which what it says is converted; None: it need not be."""
        self.market = market
        self.via = via
        self._version = 0
        self._unit = 0
        self._rate: str | None = None
        self._cast = (0, 0, 0)

    def votes(self, unit: int, rate: str | None, floor_ppm: int) -> tuple[int, int, int]:
        """Its three, computed again only where the quote, the rate or the unit is another."""
        market = self.market
        if self._version != market.version or self._unit != unit or self._rate != rate:
            self._version, self._unit, self._rate = market.version, unit, rate
            self._cast = ballot(market.price, market.half, rate, unit, floor_ppm)
        return self._cast
