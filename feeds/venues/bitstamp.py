"""Bitstamp: live trades, and quotes from the top of its order book channel.

https://www.bitstamp.net/websocket/v2/ (read 2026-11).
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from msgspec import Raw

from feeds.listing import Listing
from feeds.market import Instrument, Quote, Tick, Trade
from feeds.market.digits import positive
from feeds.venue import Confirmed, Event, Leaving, Refused, Subscription, TickKind, Venue
from feeds.wire import FrameParser, TradeId, best, best_size, trade_id, written

_TRADES: Final = "live_trades_"
_BOOK: Final = "order_book_"
_CHANNELS: Final[dict[TickKind, str]] = {"trade": _TRADES, "quote": _BOOK}
_PERPETUAL: Final = "-perp"
# Native names are joined (`btcusd`), but for perpetuals' ending. The longest of these that ends a
# name is its quote asset.
_QUOTES: Final = (
    "USD",
    "EUR",
    "GBP",
    "BTC",
    "ETH",
    "USDT",
    "USDC",
    "PAX",
    "PYUSD",
    "RLUSD",
    "EURC",
)


class _Outer(msgspec.Struct, gc=False):
    event: str = ""
    channel: str = ""
    data: Raw = Raw()


class _Trade(msgspec.Struct, gc=False):
    """`price` and `amount` are floats that lost their zeros; the texts beside them have all."""

    id: TradeId
    type: Literal[0, 1]
    """The taker's side: 0 bought, 1 sold."""
    microtimestamp: str
    price_str: str | None = None
    amount_str: str | None = None
    price: Raw = Raw()
    amount: Raw = Raw()


class _Book(msgspec.Struct, gc=False):
    """The top 100 levels a side, best first."""

    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    microtimestamp: str


class _Error(msgspec.Struct):
    code: int | None = None
    message: str = ""


_decode_outer = msgspec.json.Decoder(_Outer).decode
_decode_trade = msgspec.json.Decoder(_Trade).decode
_decode_book = msgspec.json.Decoder(_Book).decode
_decode_error = msgspec.json.Decoder(_Error).decode


def instrument(native: str) -> Instrument:
    """The instrument of `btcusd` or `btcusd-perp`. Raises InstrumentError."""
    joined = native.removesuffix(_PERPETUAL)
    pair = Instrument.split(joined, _QUOTES)
    return pair if joined == native else Instrument.of(pair.base, pair.quote, "PERP")


class BitstampParser(FrameParser):
    """Stateless but for the names it has seen."""

    def __init__(self, symbol: str | None = None) -> None:
        super().__init__(Listing("bitstamp", instrument, symbol))

    def read(self, frame: str | bytes, received_us: int | None) -> Sequence[Event]:
        outer = _decode_outer(frame)
        match outer.event:
            case "trade" if outer.channel.startswith(_TRADES) or not outer.channel:
                native = outer.channel.removeprefix(_TRADES)
                return self._trade(_decode_trade(_data(outer)), native, received_us)
            case "data" if outer.channel.startswith(_BOOK):
                native = outer.channel.removeprefix(_BOOK)
                return self._quote(_decode_book(_data(outer)), native, received_us)
            case "bts:subscription_succeeded":
                return (Confirmed(),)
            case "bts:request_reconnect":
                return (Leaving("the server asks for a reconnect"),)
            case "bts:error":
                return (Refused(_complaint(_decode_error(_data(outer)), outer.channel)),)
            case "":
                raise ValueError("no message of Bitstamp: no event")
        return ()

    def _trade(self, seen: _Trade, native: str, received_us: int | None) -> Sequence[Event]:
        trade = Trade(
            positive(_number(seen.price_str, seen.price)),
            positive(_number(seen.amount_str, seen.amount)),
            "sell" if seen.type else "buy",
            trade_id(seen.id),
            _time_us(seen.microtimestamp),
            received_us,
        )
        return (Tick(self.listing.trade(native), trade),)

    def _quote(self, seen: _Book, native: str, received_us: int | None) -> Sequence[Event]:
        """None of a book with an empty side: a quote needs two."""
        channel = self.listing.quote(native)
        venue_us = _time_us(seen.microtimestamp)
        if not (seen.bids and seen.asks):
            return ()
        (bid_price, bid_size), (ask_price, ask_size) = seen.bids[0], seen.asks[0]
        bid, ask = best(bid_price), best(ask_price)
        quote = Quote(bid, ask, best_size(bid_size), best_size(ask_size), venue_us, received_us)
        return (Tick(channel, quote),) if bid and ask else ()


def _data(outer: _Outer) -> Raw:
    if not outer.data:
        raise ValueError("no data")
    return outer.data


def _number(text: str | None, number: Raw) -> str:
    """The digits as text, else (in recordings of before 2019) those of the JSON number."""
    if text is not None:
        return text
    return written(number) if number else ""


def _time_us(microtimestamp: str) -> int:
    if microtimestamp.isascii() and microtimestamp.isdigit() and len(microtimestamp) <= 17:
        return int(microtimestamp)
    raise ValueError(f"not microseconds since 1970: {microtimestamp[:40]!r}")


def _complaint(error: _Error, channel: str) -> str:
    said = error.message or "no reason given"
    return f"{channel}: {said}" if channel else said


def _connect_url(url: str, subscriptions: Sequence[Subscription]) -> str:
    return url


def _subscribe_frames(subscriptions: Sequence[Subscription]) -> Sequence[str]:
    """A frame a channel: the venue takes no more."""
    return [_request("bts:subscribe", wanted) for wanted in subscriptions]


def _renew_frames(wanted: Subscription) -> Sequence[str]:
    return [_request(event, wanted) for event in ("bts:unsubscribe", "bts:subscribe")]


def _request(event: str, wanted: Subscription) -> str:
    channel = _CHANNELS[wanted.kind] + _joined(wanted.symbol)
    return msgspec.json.encode({"event": event, "data": {"channel": channel}}).decode()


def _joined(symbol: str) -> str:
    wanted = Instrument.parse(symbol)
    ending = _PERPETUAL if wanted.contract == "PERP" else ""
    return (wanted.base + wanted.quote).lower() + ending


BITSTAMP: Final = Venue(
    name="bitstamp",
    title="Bitstamp",
    url="wss://ws.bitstamp.net",
    symbols=(
        "BTC-USD",
        "ETH-USD",
        "XRP-USD",
        "SOL-USD",
        "LTC-USD",
        "BTC-EUR",
        "ETH-EUR",
        "USDT-USD",
    ),
    kinds=("trade", "quote"),
    parser=BitstampParser,
    connect_url=_connect_url,
    subscribe_frames=_subscribe_frames,
    renew_frames=_renew_frames,
    trade_ids="unique",  # counted over all pairs together
    # 1,024 are allowed, and one more closes the connection without a word; one frame each, at this
    # pace, takes 10 s for as many as this.
    subscriptions_per_connection_max=100,
    subscribe_pace_s=0.1,
    silence_limit_s=10.0,  # two pings unanswered, and no book has changed either
    ping_frame='{"event":"bts:heartbeat"}',  # answered with the same event
    ping_interval_s=4.0,
)
