"""Who may vote on a price, and with what: a venue's quote, read once for all its votes. Pure."""

from typing import Final, NamedTuple

from feeds.derived.fixed_point import read, written
from feeds.derived.price_rule import CROSSED, STALE, Number, ballot
from feeds.market import Channel, Quote

_QUARANTINED: Final = "quarantined"
_WAITING: Final = "waiting"


class Rate(NamedTuple):
    """A price of two currencies, for votes to be converted by."""

    price: str
    heard_us: int
    """When the oldest of the quotes that made it was heard."""

    def told(self, now_us: int) -> tuple[str, int]:
        """As a vote says it: with its age in milliseconds."""
        return self.price, max(0, now_us - self.heard_us) // 1_000


class Market:
    """What one venue says of one instrument."""

    __slots__ = (
        "_late_max_us", "_late_us", "_stamp_us", "_stamped_us", "decimals", "half", "half_text",
        "heard_us", "hold", "is_fresh", "name", "price", "price_text", "quote", "received_us",
        "symbol", "venue", "version",
    )  # fmt: skip

    def __init__(self, quotes: Channel, hold: str | None, late_max_us: int) -> None:
        """`late_max_us`: how much older than its receipt a quote may be and still be new."""
        self.name = quotes.name
        self.venue = quotes.venue
        self.symbol = quotes.symbol
        self.hold = hold
        """Why it does not vote, as far as the venue's status says; None: it may."""
        self.quote: Quote | None = None
        """None: nothing since it was last known to be good."""
        self.heard_us = 0
        """From when on its quote grows old: it was received then, or made, if that is long ago."""
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
        self._late_max_us = late_max_us
        self._stamp_us = 0
        """The venue's time on its newest quotes, and"""
        self._stamped_us = 0
        """when the first of these was received;"""
        self._late_us = 0
        """how much too old that one was by then."""

    def hear(self, quote: Quote, now_us: int) -> None:
        # The clock where it was received may be ahead of ours: no quote is from the future.
        received_us = quote.received_us
        heard_us = now_us if received_us is None or received_us > now_us else received_us
        stamp_us = quote.venue_us
        if stamp_us is not None:
            at_us = received_us or now_us
            if stamp_us != self._stamp_us or self.quote is None:
                self._stamp_us, self._stamped_us = stamp_us, at_us
                late_us = at_us - stamp_us - self._late_max_us
                self._late_us = late_us if late_us > 0 else 0
            elif self._late_us:
                self._hear_again(quote, self.quote, at_us)
            heard_us -= self._late_us
        self.quote = quote
        self.received_us = received_us
        self.heard_us = heard_us
        self.version += 1
        self.is_fresh = True

    def _hear_again(self, quote: Quote, before: Quote, at_us: int) -> None:
        """A stamp that came before says no more of how late the venue is: what it was on still
        stands. Where it is on another quote, and later, it is the last trade's and no quote's."""
        is_other = (quote.bid, quote.ask) != (before.bid, before.ask)
        if is_other and at_us - self._stamped_us > self._late_max_us:
            self._late_us = 0

    def fault(self, heard_from_us: int) -> str | None:
        """Why it does not vote by itself; None: it may. A quote heard by then is too old."""
        quote = self.quote
        if self.hold is not None or quote is None:
            return self.hold or _WAITING
        if self.is_fresh:
            self.read(quote)
        if self.heard_us <= heard_from_us:
            return STALE
        # Before quarantined: what is crossed is suspect, too, and that says less.
        if self.half[0] < 0:
            return CROSSED
        return _QUARANTINED if quote.suspect else None

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
