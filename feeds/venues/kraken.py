"""Kraken spot, version 2 of its WebSocket API: numbers are JSON floats, whose digits we keep.

https://docs.kraken.com/api/docs/websocket-v2/trade and …/ticker (read 2026-11). A trade's side is
the taker's.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from feeds.listing import Listing
from feeds.market import Channel, Instrument, Quote, Side, Tick, Trade
from feeds.market.digits import positive
from feeds.market.times import rfc3339_us
from feeds.venue import Confirmed, Event, Refused, Subscription, TickKind, Venue
from feeds.wire import (
    TradeId,
    best,
    best_size,
    oldest_first,
    parsed,
    trade_id,
    written,
)

_CHANNELS: Final[dict[TickKind, str]] = {"trade": "trade", "quote": "ticker"}


class _Outer(msgspec.Struct, gc=False):
    """Data has a channel, the answer to a request a method and whether it was a success."""

    channel: str = ""
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


_decode_outer = msgspec.json.Decoder(_Outer).decode
_decode_trades = msgspec.json.Decoder(list[_Trade]).decode
_decode_tickers = msgspec.json.Decoder(list[_Ticker]).decode


def instrument(native: str) -> Instrument:
    """The instrument of `BTC/USD`, or of the older `XBT/USD`. Raises InstrumentError."""
    base, _, quote = native.partition("/")
    return Instrument.of(base, quote)


class KrakenParser:
    """Stateless but for the names it has seen."""

    def __init__(self, symbol: str | None = None) -> None:
        self._listing = Listing("kraken", instrument, symbol)

    def feed(self, frame: str | bytes, received_ns: int | None) -> Sequence[Event]:
        """See `Parser.feed`."""
        return parsed(self._read, frame, received_ns)

    def _read(self, frame: str | bytes, received_us: int | None) -> Sequence[Event]:
        if frame[:1] in ("[", b"["):
            raise ValueError("a message of Kraken's version 1; this reads version 2")
        outer = _decode_outer(frame)
        if outer.method or outer.success is False:
            return _answer(outer)
        if not outer.channel:
            raise ValueError("no message of Kraken's version 2: neither a channel nor a method")
        if outer.channel not in _CHANNELS.values():
            return ()
        if not outer.data:
            raise ValueError("no data")
        if outer.channel == "trade":
            return oldest_first(
                [self._trade(trade, received_us) for trade in _decode_trades(outer.data)]
            )
        quotes = [self._quote(ticker, received_us) for ticker in _decode_tickers(outer.data)]
        return [quote for quote in quotes if quote is not None]

    def _trade(self, seen: _Trade, received_us: int | None) -> tuple[Channel, Trade]:
        return self._listing.trade(seen.symbol), Trade(
            positive(written(seen.price)),
            positive(written(seen.qty)),
            seen.side,
            trade_id(seen.trade_id),
            rfc3339_us(seen.timestamp),
            received_us,
        )

    def _quote(self, seen: _Ticker, received_us: int | None) -> Tick | None:
        channel = self._listing.quote(seen.symbol)
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


def _answer(outer: _Outer) -> Sequence[Event]:
    if outer.success is False:
        return (Refused(outer.error or "no reason given"),)
    return (Confirmed(),) if outer.method == "subscribe" else ()


def _connect_url(url: str, subscriptions: Sequence[Subscription]) -> str:
    return url


def _subscribe_frames(subscriptions: Sequence[Subscription]) -> Sequence[str]:
    """A frame a channel: Kraken answers for each symbol, and a bad one fails by itself.

    No snapshot of trades: after a reconnect it would repeat what we had.
    """
    symbols: dict[TickKind, list[str]] = {}
    for wanted in subscriptions:
        symbols.setdefault(wanted.kind, []).append(wanted.symbol)
    return [_request("subscribe", kind, of_kind) for kind, of_kind in symbols.items()]


def _request(method: str, kind: TickKind, symbols: Sequence[str]) -> str:
    pairs = [Instrument.parse(symbol) for symbol in symbols]
    asked: dict[str, object] = {
        "channel": _CHANNELS[kind],
        "symbol": [f"{pair.base}/{pair.quote}" for pair in pairs],
    }
    if kind == "quote":
        asked["event_trigger"] = "bbo"
    elif method == "subscribe":
        asked["snapshot"] = False
    return msgspec.json.encode({"method": method, "params": asked}).decode()


def _renew_frames(wanted: Subscription) -> Sequence[str]:
    return [
        _request(method, wanted.kind, [wanted.symbol]) for method in ("unsubscribe", "subscribe")
    ]


KRAKEN: Final = Venue(
    name="kraken",
    title="Kraken",
    url="wss://ws.kraken.com/v2",
    symbols=("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "DOGE-USD", "ADA-USD", "LTC-USD"),
    kinds=("trade", "quote"),
    parser=KrakenParser,
    connect_url=_connect_url,
    subscribe_frames=_subscribe_frames,
    renew_frames=_renew_frames,
    trade_ids="consecutive",  # "a sequence number, unique per book"
    subscriptions_per_connection_max=200,
    subscribe_pace_s=0.2,
    silence_limit_s=10.0,  # a heartbeat a second, once anything is subscribed to
    ping_frame='{"method":"ping"}',  # an idle connection is closed after a minute
    ping_interval_s=20.0,
)
