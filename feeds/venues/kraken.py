"""Kraken spot, version 2 of its WebSocket API: numbers are JSON floats, whose digits we keep.

https://docs.kraken.com/api/docs/websocket-v2/trade, …/ticker and …/book (read 2026-11). A trade's
side is the taker's. Quotes are the ticker's, or the best of the book, proven by its checksum.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, Literal

import msgspec
from msgspec import Raw

from feeds.listing import Listing
from feeds.market import Channel, Instrument, Quote, Side, Tick, Trade
from feeds.market.digits import digits, positive
from feeds.market.times import rfc3339_us
from feeds.venue import Confirmed, Event, Refused, Subscription, TickKind, Torn, Venue
from feeds.venues.kraken_book import DEPTH, KrakenBook, Level
from feeds.venues.majors import majors_in
from feeds.wire import FrameParser, TradeId, best, best_size, oldest_first, trade_id, written

_Asked = Mapping[TickKind, Mapping[str, object]]
"""What to ask for each kind of tick: a channel and its options."""

_BY_TICKER: Final[_Asked] = {
    "trade": {"channel": "trade"},
    "quote": {"channel": "ticker", "event_trigger": "bbo"},
}
_BY_BOOK: Final[_Asked] = {
    "trade": {"channel": "trade"},
    "quote": {"channel": "book", "depth": DEPTH},
}
_READ: Final = frozenset(("trade", "ticker", "book"))

_BOOKS_MAX: Final = 1_000
"""Books kept on one connection, which asks for 200 at most."""


class _Outer(msgspec.Struct, gc=False):
    """Data has a channel, the answer to a request a method and whether it was a success."""

    channel: str = ""
    type: str = ""
    method: str = ""
    data: Raw = Raw()
    success: bool | None = None
    error: str = ""


# Raw, not Decimal, for numbers: the digits stay the wire's, and price and size of a trade cost
# 1.2 µs instead of 1.5 (one core of a 2-core Linux machine, Python 3.11, 2026-11).
class _Trade(msgspec.Struct, gc=False):
    trade_id: TradeId
    price: Raw
    qty: Raw
    side: Side
    timestamp: str
    symbol: str = ""


class _Ticker(msgspec.Struct, gc=False):
    """`timestamp` came in 2025. A side without orders is null or zero."""

    bid: Raw
    ask: Raw
    bid_qty: Raw
    ask_qty: Raw
    symbol: str = ""
    timestamp: str | None = None


class _Level(msgspec.Struct, gc=False):
    price: Raw
    qty: Raw


class _Book(msgspec.Struct, gc=False):
    """A snapshot's levels, or those that changed. Snapshots of 2024 have no `timestamp`."""

    bids: list[_Level]
    asks: list[_Level]
    checksum: int
    symbol: str = ""
    timestamp: str | None = None


class _Change(msgspec.Struct, gc=False):
    """A `_Book`, all of it checked but that it fits."""

    channel: Channel
    bids: list[Level]
    asks: list[Level]
    checksum: int
    venue_us: int | None


_decode_outer = msgspec.json.Decoder(_Outer).decode
_decode_trades = msgspec.json.Decoder(list[_Trade]).decode
_decode_tickers = msgspec.json.Decoder(list[_Ticker]).decode
_decode_books = msgspec.json.Decoder(list[_Book]).decode


def instrument(native: str) -> Instrument:
    """The instrument of `BTC/USD`, or of the older `XBT/USD`. Raises InstrumentError."""
    base, _, quote = native.partition("/")
    return Instrument.of(base, quote)


class KrakenParser(FrameParser):
    """Stateless but for the names it has seen, and the books. Reads whatever quotes are made of,
    so that a recording says itself which it was."""

    def __init__(self, symbol: str | None = None) -> None:
        super().__init__(Listing("kraken", instrument, symbol))
        self._books: dict[str, KrakenBook] = {}

    def read(self, frame: str | bytes, received_us: int | None) -> Sequence[Event]:
        if frame[:1] in ("[", b"["):
            raise ValueError("a message of Kraken's version 1; this reads version 2")
        outer = _decode_outer(frame)
        if outer.method or outer.success is False:
            return _answer(outer)
        if not outer.channel:
            raise ValueError("no message of Kraken's version 2: neither a channel nor a method")
        if outer.channel not in _READ:
            return ()
        if not outer.data:
            raise ValueError("no data")
        if outer.channel == "book":
            return self._changed_books(outer, received_us)
        if outer.channel == "trade":
            return oldest_first(
                [self._trade(trade, received_us) for trade in _decode_trades(outer.data)]
            )
        quotes = [self._quote(ticker, received_us) for ticker in _decode_tickers(outer.data)]
        return [quote for quote in quotes if quote is not None]

    def _trade(self, seen: _Trade, received_us: int | None) -> tuple[Channel, Trade]:
        return self.listing.trade(seen.symbol), Trade(
            positive(written(seen.price)),
            positive(written(seen.qty)),
            seen.side,
            trade_id(seen.trade_id),
            rfc3339_us(seen.timestamp),
            received_us,
        )

    def _quote(self, seen: _Ticker, received_us: int | None) -> Tick | None:
        channel = self.listing.quote(seen.symbol)
        bid, ask = best(written(seen.bid)), best(written(seen.ask))
        quote = Quote(
            bid,
            ask,
            best_size(written(seen.bid_qty)),
            best_size(written(seen.ask_qty)),
            rfc3339_us(seen.timestamp) if seen.timestamp else None,
            received_us,
        )
        return Tick(channel, quote) if bid and ask else None

    def _changed_books(self, outer: _Outer, received_us: int | None) -> Sequence[Event]:
        """All is checked before any of it is taken: half an update would tear a book."""
        if outer.type not in ("snapshot", "update"):
            raise ValueError("a book that is neither a snapshot nor an update")
        changes = [self._checked(seen) for seen in _decode_books(outer.data)]
        is_snapshot = outer.type == "snapshot"
        events = [self._book(one, received_us, is_snapshot=is_snapshot) for one in changes]
        return [event for event in events if event is not None]

    def _checked(self, seen: _Book) -> _Change:
        return _Change(
            self.listing.quote(seen.symbol),
            _levels(seen.bids),
            _levels(seen.asks),
            seen.checksum,
            rfc3339_us(seen.timestamp) if seen.timestamp else None,
        )

    def _book(self, new: _Change, received_us: int | None, *, is_snapshot: bool) -> Event | None:
        """The best of the book, where it is another than before; or what is wrong with it."""
        channel = new.channel
        book = self._books.get(channel.name)
        if book is None:
            if len(self._books) >= _BOOKS_MAX:
                self._books.clear()
            book = self._books[channel.name] = KrakenBook()
        take = book.begin if is_snapshot else book.change
        fault = take(new.bids, new.asks, new.checksum)
        if fault is not None:
            return Torn(channel, fault)
        found = book.best
        if found is None or found == book.told:
            return None
        book.told = found
        (bid, bid_size), (ask, ask_size) = found
        return Tick(channel, Quote(bid, ask, bid_size, ask_size, new.venue_us, received_us))


def _levels(seen: Sequence[_Level]) -> list[Level]:
    return [Level(positive(written(one.price)), digits(written(one.qty))) for one in seen]


def _answer(outer: _Outer) -> Sequence[Event]:
    if outer.success is False:
        return (Refused(outer.error or "no reason given"),)
    return (Confirmed(),) if outer.method == "subscribe" else ()


def _connect_url(url: str, subscriptions: Sequence[Subscription]) -> str:
    return url


def _subscribe_frames(asked: _Asked, subscriptions: Sequence[Subscription]) -> Sequence[str]:
    """A frame a channel: Kraken answers for each symbol, and a bad one fails by itself.

    No snapshot of trades: after a reconnect it would repeat what we had.
    """
    symbols: dict[TickKind, list[str]] = {}
    for wanted in subscriptions:
        symbols.setdefault(wanted.kind, []).append(wanted.symbol)
    return [_request("subscribe", asked, kind, of_kind) for kind, of_kind in symbols.items()]


def _renew_frames(asked: _Asked, wanted: Subscription) -> Sequence[str]:
    kind, symbols = wanted.kind, [wanted.symbol]
    return [
        _request("unsubscribe", asked, kind, symbols),
        _request("subscribe", asked, kind, symbols),
    ]


def _request(
    method: Literal["subscribe", "unsubscribe"],
    asked: _Asked,
    kind: TickKind,
    symbols: Sequence[str],
) -> str:
    pairs = [Instrument.parse(symbol) for symbol in symbols]
    params = {**asked[kind], "symbol": [f"{pair.base}/{pair.quote}" for pair in pairs]}
    if kind == "trade" and method == "subscribe":
        params["snapshot"] = False
    return msgspec.json.encode({"method": method, "params": params}).decode()


_TICKER_ROW: Final = Venue(
    name="kraken",
    title="Kraken",
    url="wss://ws.kraken.com/v2",
    symbols=(*majors_in("USD"), "BTC-EUR", "ETH-EUR", "BTC-USDC", "USDT-USD"),
    kinds=("trade", "quote"),
    parser=KrakenParser,
    connect_url=_connect_url,
    subscribe_frames=partial(_subscribe_frames, _BY_TICKER),
    renew_frames=partial(_renew_frames, _BY_TICKER),
    trade_ids="consecutive",  # "a sequence number, unique per book"
    subscriptions_per_connection_max=200,
    subscribe_pace_s=0.2,
    silence_limit_s=10.0,  # a heartbeat a second, once anything is subscribed to
    ping_frame='{"method":"ping"}',  # an idle connection is closed after a minute
    ping_interval_s=20.0,
)

KRAKEN: Final = msgspec.structs.replace(
    _TICKER_ROW,
    by_book=msgspec.structs.replace(
        _TICKER_ROW,
        subscribe_frames=partial(_subscribe_frames, _BY_BOOK),
        renew_frames=partial(_renew_frames, _BY_BOOK),
    ),
)
