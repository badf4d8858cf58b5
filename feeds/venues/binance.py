"""Binance spot: the public market streams, by themselves or in the combined envelope.

https://developers.binance.com/en/docs/products/spot/web-socket-streams (read 2026-11).
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from feeds.listing import Listing
from feeds.market import Instrument, Quote, Tick, Trade
from feeds.market.digits import positive
from feeds.venue import (
    EXCERPT_CHARS,
    Confirmed,
    Event,
    Leaving,
    Refused,
    Subscription,
    TickKind,
    Venue,
)
from feeds.venues.majors import majors_in
from feeds.wire import Count, FrameParser, TradeId, best, best_size, opening, trade_id, written

# AEUR and XUSD are left out: they'd take the end of ADAEUR and AVAXUSD.
_QUOTE_ASSETS: Final = (
    "USDT USDC FDUSD TUSD BUSD USDP USDS PAX DAI USD1 UST USDE USD U EURI EUR GBP AUD BRL TRY "
    "RUB UAH NGN ZAR BIDR IDRT IDR BKRW BVND VAI PLN RON ARS CZK JPY MXN COP KZT BTC ETH BNB "
    "TRX XRP DOGE DOT SOL"
)
_EARLY_ASSETS: Final = (
    "BTC ETH BNB SOL XRP USDT USDC ARB SHIB ANT APT BAT BNT DOT FET GRT HNT ONT QNT"
)
# Native names are joined (`BTCUSDT`): a name is cut before the longest quote asset that ends it.
# That is wrong where a base's last letter and the quote look like a longer quote: BNBUSD is no BN
# in BUSD, USDTUSD no USD in TUSD. The assets that this happens to come first, spelled out.
_QUOTES: Final = tuple(_QUOTE_ASSETS.split())
_EXPLICIT: Final = {
    base + quote: Instrument(base, quote)
    for base in _EARLY_ASSETS.split()
    for quote in _QUOTES
    if base != quote
}

_STREAMS: Final[dict[TickKind, str]] = {"trade": "trade", "quote": "bookTicker"}
_MILLISECONDS_END = 10**14
"""Below it a time is milliseconds (until the year 5138), from it on microseconds (since 1973):
a connection chooses by `timeUnit`, and recordings of both kinds exist."""
_MICROSECONDS_END = 10**17


class _Outer(msgspec.Struct, gc=False):
    """Any message: the combined envelope, an event by itself, or the answer to a request."""

    stream: str = ""
    data: Raw = Raw()
    result: Raw = Raw()
    error: Raw = Raw()
    code: int | None = None
    msg: str = ""


class _Kind(msgspec.Struct, gc=False):
    """What tells events apart: `e`, which a spot bookTicker and a partial book lack."""

    event: str = msgspec.field(name="e", default="")
    bid: Raw = msgspec.field(name="b", default=Raw())
    ask: Raw = msgspec.field(name="a", default=Raw())
    book_id: Raw = msgspec.field(name="lastUpdateId", default=Raw())


class _Trade(msgspec.Struct, gc=False):
    id: TradeId = msgspec.field(name="t")
    price: str = msgspec.field(name="p")
    size: str = msgspec.field(name="q")
    time: Count = msgspec.field(name="T")
    buyer_is_maker: bool = msgspec.field(name="m")
    native: str = msgspec.field(name="s", default="")


class _AggregateTrade(msgspec.Struct, gc=False):
    """The fills of one taker order at one price."""

    id: TradeId = msgspec.field(name="a")
    price: str = msgspec.field(name="p")
    size: str = msgspec.field(name="q")
    time: Count = msgspec.field(name="T")
    buyer_is_maker: bool = msgspec.field(name="m")
    native: str = msgspec.field(name="s", default="")


class _BookTicker(msgspec.Struct, gc=False):
    bid: str = msgspec.field(name="b")
    bid_size: str = msgspec.field(name="B")
    ask: str = msgspec.field(name="a")
    ask_size: str = msgspec.field(name="A")
    native: str = msgspec.field(name="s", default="")
    time: Count | None = msgspec.field(name="T", default=None)
    """Futures have it; spot gives none."""
    update_id: Count | None = msgspec.field(name="u", default=None)
    """Grows with each change of the pair's book."""


class _Complaint(msgspec.Struct):
    msg: str = ""


_decode_outer = msgspec.json.Decoder(_Outer).decode
_decode_kind = msgspec.json.Decoder(_Kind).decode
_decode_trade = msgspec.json.Decoder(_Trade).decode
_decode_aggregate = msgspec.json.Decoder(_AggregateTrade).decode
_decode_book_ticker = msgspec.json.Decoder(_BookTicker).decode
_decode_complaint = msgspec.json.Decoder(_Complaint).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode


def instrument(native: str) -> Instrument:
    """The instrument of `BTCUSDT`. Raises InstrumentError where no known quote asset ends it."""
    name = native.upper()
    return _EXPLICIT.get(name) or Instrument.split(name, _QUOTES)


class BinanceParser(FrameParser):
    """Stateless but for the names it has seen."""

    def __init__(self, symbol: str | None = None) -> None:
        super().__init__(Listing("binance", instrument, symbol))

    def read(self, frame: str | bytes, received_us: int | None) -> Sequence[Event]:
        if frame[:1] in ("[", b"["):
            return self._events(_decode_list(frame), "", received_us)
        outer = _decode_outer(frame)
        if outer.data:
            if opening(outer.data) == b"[":
                return self._events(_decode_list(outer.data), outer.stream, received_us)
            return self._event(outer.data, outer.stream, received_us)
        if outer.result or outer.error or outer.code is not None:
            return _answer(outer)
        return self._event(frame, "", received_us)

    def _events(
        self, elements: Sequence[Raw], stream: str, received_us: int | None
    ) -> Sequence[Event]:
        """Streams of all symbols (`!ticker@arr`) put many events into one message."""
        return [found for raw in elements for found in self._event(raw, stream, received_us)]

    def _event(
        self, raw: str | bytes | Raw, stream: str, received_us: int | None
    ) -> Sequence[Event]:
        kind = _decode_kind(raw)
        match kind.event:
            case "trade":
                return self._trade(_decode_trade(raw), stream, received_us)
            case "aggTrade":
                return self._trade(_decode_aggregate(raw), stream, received_us)
            case "bookTicker":
                return self._quote(_decode_book_ticker(raw), stream, received_us)
            case "serverShutdown":
                return (Leaving("the server is about to shut down"),)
            case "":
                return self._unnamed(kind, raw, stream, received_us)
        return ()

    def _unnamed(
        self, kind: _Kind, raw: str | bytes | Raw, stream: str, received_us: int | None
    ) -> Sequence[Event]:
        """An event that doesn't say what it is: a best bid and ask, or a book."""
        channel = stream.rpartition("@")[2]
        if channel == "bookTicker" or (kind.bid and kind.ask):
            return self._quote(_decode_book_ticker(raw), stream, received_us)
        if kind.book_id or (stream and channel not in _STREAMS.values()):
            return ()
        raise ValueError("no message of Binance: neither a stream, an event nor an answer")

    def _trade(
        self, seen: _Trade | _AggregateTrade, stream: str, received_us: int | None
    ) -> Sequence[Event]:
        trade = Trade(
            positive(seen.price),
            positive(seen.size),
            "sell" if seen.buyer_is_maker else "buy",
            trade_id(seen.id),
            _time_us(seen.time),
            received_us,
        )
        return (Tick(self.listing.trade(seen.native or _native(stream)), trade),)

    def _quote(self, seen: _BookTicker, stream: str, received_us: int | None) -> Sequence[Event]:
        channel = self.listing.quote(seen.native or _native(stream))
        bid, ask = best(seen.bid), best(seen.ask)
        quote = Quote(
            bid,
            ask,
            best_size(seen.bid_size),
            best_size(seen.ask_size),
            None if seen.time is None else _time_us(seen.time),
            received_us,
        )
        return (Tick(channel, quote, seen.update_id),) if bid and ask else ()


def _native(stream: str) -> str:
    """The name in `btcusdt@trade`; blank where the stream is of no symbol (`!ticker@arr`)."""
    name = stream.partition("@")[0]
    return "" if name.startswith("!") else name


def _time_us(time: int) -> int:
    """Microseconds of a time in milliseconds or microseconds. Raises ValueError."""
    if time < _MILLISECONDS_END:
        return time * 1_000
    if time < _MICROSECONDS_END:
        return time
    raise ValueError(f"neither milliseconds nor microseconds: {str(time)[:40]}")


def _answer(outer: _Outer) -> Sequence[Event]:
    """What became of a request: refused with `error` or `code`, or a result (null: done)."""
    if outer.code is not None:
        return (Refused(f"{outer.msg or 'no reason given'} (code {outer.code})"),)
    if not outer.error:
        return (Confirmed(),) if bytes(outer.result) == b"null" else ()
    if opening(outer.error) == b"{":
        return (Refused(_decode_complaint(outer.error).msg or "no reason given"),)
    return (Refused(written(outer.error)[:EXCERPT_CHARS]),)


def _connect_url(url: str, subscriptions: Sequence[Subscription]) -> str:
    """Subscribing by URL needs no message, and nobody is banned for sending too many."""
    streams = "/".join(
        _joined(wanted.symbol) + "@" + _STREAMS[wanted.kind] for wanted in subscriptions
    )
    return f"{url.rstrip('/')}/stream?streams={streams}&timeUnit=MICROSECOND"


def _renew_frames(wanted: Subscription) -> Sequence[str]:
    stream = _joined(wanted.symbol) + "@" + _STREAMS[wanted.kind]
    return [
        msgspec.json.encode({"method": method, "params": [stream], "id": number}).decode()
        for number, method in enumerate(("UNSUBSCRIBE", "SUBSCRIBE"), 1)
    ]


def _joined(symbol: str) -> str:
    wanted = Instrument.parse(symbol)
    return (wanted.base + wanted.quote).lower()


BINANCE: Final = Venue(
    name="binance",
    title="Binance",
    url="wss://data-stream.binance.vision",  # market data only, and no port that firewalls mind
    symbols=(*majors_in("USDT"), "BTC-USDC"),
    kinds=("trade", "quote"),
    parser=BinanceParser,
    connect_url=_connect_url,
    subscribe_frames=lambda subscriptions: (),
    renew_frames=_renew_frames,
    trade_ids="consecutive",  # in all of 23,000 captured trades
    # 1,024 are allowed; 200 keep the URL under 6 kB, which proxies on the way still take.
    subscriptions_per_connection_max=200,
    subscribe_pace_s=0.3,  # 5 messages a second are allowed; we send none
    silence_limit_s=10.0,  # the best bid of a major changes many times a second
    lifetime_s=86_400.0,
)
