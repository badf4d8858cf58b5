"""OKX spot, version 5 of its API: aggregated trades, and the best bid and ask of every 10 ms.

https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-trades-channel and
…-ws-order-book-channel (read 2026-11). A trade's side is the taker's.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from feeds.listing import Listing
from feeds.market import Instrument, InstrumentError, Quote, Side, Tick, Trade
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
from feeds.wire import Count, FrameParser, best, best_size, trade_id

_CHANNELS: Final[dict[TickKind, str]] = {"trade": "trades", "quote": "bbo-tbt"}
_PONG: Final = ("pong", b"pong")
"""The answer to the text `ping`: the only message that is no JSON, as text and as bytes."""
_SERVICE_UPGRADE: Final = "64008"
"""The code of the notice that precedes the end of a connection, by 30 to 60 s."""
_OTHER_EVENTS: Final = frozenset(
    ("unsubscribe", "notice", "channel-conn-count", "channel-conn-count-error")
)
_DIGITS_MAX: Final = 14
"""Of a time in milliseconds, until the year 5138."""

_REQUEST_ARGS_MAX: Final = 50
"""Channels in one request: with the longest symbols that is 3.5 kB. Of the limits that OKX has had,
4,096 bytes and 64 KB, it keeps both."""
REQUESTS_PER_HOUR_MAX: Final = 480
"""Requests that OKX takes of one connection, to subscribe and to unsubscribe together."""


class _Argument(msgspec.Struct, frozen=True, gc=False):
    """What a message is about."""

    channel: str = ""
    native: str = msgspec.field(name="instId", default="")


_NO_ARGUMENT: Final = _Argument()


class _Outer(msgspec.Struct, gc=False):
    """Data has an argument, all else an event."""

    argument: _Argument = msgspec.field(name="arg", default=_NO_ARGUMENT)
    data: Raw = Raw()
    event: str = ""
    code: str = ""
    msg: str = ""


class _Trade(msgspec.Struct, gc=False):
    """The fills of one taker order at one price. `id` is the last one's, and those of the others
    come right before it: 123 with a count of 3 stands for 121, 122 and 123."""

    id: str = msgspec.field(name="tradeId")
    price: str = msgspec.field(name="px")
    size: str = msgspec.field(name="sz")
    side: Side
    time: str = msgspec.field(name="ts")
    native: str = msgspec.field(name="instId", default="")
    count: str = "1"
    """Captures of before 2023 have none: there each fill is a message."""


class _Level(msgspec.Struct, array_like=True, gc=False):
    """Two more elements follow: what is always 0, and how many orders stand there."""

    price: str
    size: str


class _Best(msgspec.Struct, gc=False):
    """A side without orders is empty."""

    bids: list[_Level]
    asks: list[_Level]
    time: str = msgspec.field(name="ts")
    sequence: Count | None = msgspec.field(name="seqId", default=None)
    """The same on all connections. Repeated where nothing changed for a minute; set back, seldom,
    by maintenance: then the venue's time tells that the quote is a new one."""


_decode_outer = msgspec.json.Decoder(_Outer).decode
_decode_trades = msgspec.json.Decoder(list[_Trade]).decode
_decode_bests = msgspec.json.Decoder(list[_Best]).decode


def instrument(native: str) -> Instrument:
    """The instrument of `BTC-USDT`. Raises InstrumentError; also for a contract (`BTC-USDT-SWAP`):
    the sizes of those are counted in contracts, not in the base asset."""
    base, _, quote = native.partition("-")
    if "-" in quote:
        raise InstrumentError(f"no spot pair, and contracts are not read: {native[:40]!r}")
    return Instrument.of(base, quote)


class OkxParser(FrameParser):
    """Stateless but for the names it has seen."""

    def __init__(self, symbol: str | None = None) -> None:
        super().__init__(Listing("okx", instrument, symbol))

    def read(self, frame: str | bytes, received_us: int | None) -> Sequence[Event]:
        if frame in _PONG:
            return ()
        outer = _decode_outer(frame)
        if outer.event:
            return _answer(outer)
        if not outer.argument.channel:
            raise ValueError("no message of OKX's version 5: neither an event nor a channel")
        if outer.argument.channel not in _CHANNELS.values():
            return ()
        if not outer.data:
            raise ValueError("no data")
        native = outer.argument.native
        if outer.argument.channel == "trades":
            seen = _decode_trades(outer.data)
            if len(seen) > 1:
                seen.sort(key=_age)
            return [self._trade(trade, native, received_us) for trade in seen]
        quotes = [self._quote(one, native, received_us) for one in _decode_bests(outer.data)]
        return [quote for quote in quotes if quote is not None]

    def _trade(self, seen: _Trade, native: str, received_us: int | None) -> Tick:
        trade = Trade(
            positive(seen.price),
            positive(seen.size),
            seen.side,
            trade_id(seen.id),
            _time_us(seen.time),
            received_us,
        )
        return Tick(self.listing.trade(seen.native or native), trade, fills=_fills(seen.count))

    def _quote(self, seen: _Best, native: str, received_us: int | None) -> Tick | None:
        """None of a book with an empty side: a quote needs two."""
        channel, venue_us = self.listing.quote(native), _time_us(seen.time)
        if not (seen.bids and seen.asks):
            return None
        highest, lowest = seen.bids[0], seen.asks[0]
        bid, ask = best(highest.price), best(lowest.price)
        quote = Quote(
            bid, ask, best_size(highest.size), best_size(lowest.size), venue_us, received_us
        )
        return Tick(channel, quote, seen.sequence) if bid and ask else None


def _age(seen: _Trade) -> tuple[int, str]:
    """Ids count up; of two without leading zeros the longer is the greater."""
    return len(seen.id), seen.id


def _time_us(milliseconds: str) -> int:
    if milliseconds.isascii() and milliseconds.isdigit() and len(milliseconds) <= _DIGITS_MAX:
        return int(milliseconds) * 1_000
    raise ValueError(f"not milliseconds since 1970: {milliseconds[:40]!r}")


def _fills(count: str) -> int:
    if count == "1":
        return 1
    if count.isascii() and count.isdigit() and len(count) <= _DIGITS_MAX and int(count):
        return int(count)
    raise ValueError(f"not a count of trades: {count[:40]!r}")


def _answer(outer: _Outer) -> Sequence[Event]:
    """What is no data: answers to requests, and what the venue announces."""
    match outer.event:
        case "subscribe":
            return (Confirmed(),)
        case "error":
            return (Refused(_complaint(outer)),)
        case "notice" if outer.code == _SERVICE_UPGRADE:
            return (Leaving(f"a service upgrade, code {outer.code}"),)
    if outer.event not in _OTHER_EVENTS:
        raise ValueError("no message of OKX's version 5: no event of it")
    return ()


def _complaint(outer: _Outer) -> str:
    """OKX answers for each channel of a request, and names it in words or as the argument. The
    first sentence says what is wrong; what follows is advice."""
    named = " ".join(part for part in (outer.argument.channel, outer.argument.native) if part)
    said = outer.msg.partition(". ")[0][:EXCERPT_CHARS] or "no reason given"
    return (f"{named}: " if named else "") + f"{said} (code {outer.code or 'unknown'})"


def _connect_url(url: str, subscriptions: Sequence[Subscription]) -> str:
    return url


def _subscribe_frames(subscriptions: Sequence[Subscription]) -> Sequence[str]:
    """Each channel is answered for, and one that OKX doesn't know fails by itself."""
    starts = range(0, len(subscriptions), _REQUEST_ARGS_MAX)
    return [
        _request("subscribe", subscriptions[start : start + _REQUEST_ARGS_MAX]) for start in starts
    ]


def _renew_frames(wanted: Subscription) -> Sequence[str]:
    return [_request(operation, [wanted]) for operation in ("unsubscribe", "subscribe")]


def _request(operation: str, subscriptions: Sequence[Subscription]) -> str:
    arguments = [
        {"channel": _CHANNELS[wanted.kind], "instId": wanted.symbol} for wanted in subscriptions
    ]
    return msgspec.json.encode({"op": operation, "args": arguments}).decode()


OKX: Final = Venue(
    name="okx",
    title="OKX",
    url="wss://ws.okx.com/ws/v5/public",  # port 8443 is closed since 2026-10-31
    # USDT alone: since 2026-09-30 there are no USD pairs, and those of USDC are books in which
    # dollars and USDC trade as one (https://www.okx.com/docs-v5/log_en/).
    symbols=majors_in("USDT"),
    kinds=("trade", "quote"),
    parser=OkxParser,
    connect_url=_connect_url,
    subscribe_frames=_subscribe_frames,
    renew_frames=_renew_frames,
    trade_ids="consecutive",  # in all of 110 captured trades; `count` says how many one stands for
    # If all of these were silent beside others for an hour, they would be asked for again 7 times
    # each, by two requests: 420 of 480.
    subscriptions_per_connection_max=30,
    subscribe_pace_s=0.35,  # 3 connections a second an address
    silence_limit_s=10.0,  # two pings unanswered, and no quote has changed either
    ping_frame="ping",
    ping_interval_s=4.0,  # OKX itself ends what was silent for 30 s
)
