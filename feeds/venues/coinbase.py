"""Coinbase: the Exchange feed, and the messages of its younger sibling, Advanced Trade.

https://docs.cdp.coinbase.com/exchange/websocket-feed/channels and
https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels
(read 2026-11). In both a trade's side is the MAKER's: the taker's, ours, is the opposite.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from feeds.listing import Listing
from feeds.market import Channel, Instrument, Quote, Side, Tick, Trade
from feeds.market.digits import positive
from feeds.market.times import rfc3339_us
from feeds.venue import Confirmed, Event, Refused, Subscription, TickKind, Venue
from feeds.venues.majors import majors_in
from feeds.wire import Count, FrameParser, TradeId, best, best_size, oldest_first, trade_id

_CHANNELS: Final[dict[TickKind, str]] = {"trade": "matches", "quote": "ticker"}

# The Exchange documents a match's `side` as the maker order's, and its ticker of the same trade has
# the opposite one (34 of 34 captured on 2021-04-17). For Advanced Trade the BTC-USD connection
# captured on 2026-08-09 says so: against the best bid and ask of the ticker before them, all 36
# trades of side SELL in its updates were at the ask, so the taker bought, and all 11 of side BUY
# at the bid, so the taker sold.
_TAKER: Final[dict[str, Side]] = {"buy": "sell", "sell": "buy", "BUY": "sell", "SELL": "buy"}


class _Outer(msgspec.Struct, gc=False):
    """What tells messages apart: Exchange has a type, Advanced Trade a channel."""

    type: str = ""
    channel: str = ""


class _Match(msgspec.Struct, gc=False):
    trade_id: TradeId
    price: str
    size: str
    side: Literal["buy", "sell"]
    time: str
    product_id: str = ""


class _Ticker(msgspec.Struct, gc=False):
    """Sent at each match, with its time. The first one is the last match's: its best bid and ask
    are of then, too (captured 2021-04-17, beside other ones in the books of that moment). The sizes
    came in 2022; a product that was never traded has no time."""

    product_id: str = ""
    best_bid: str | None = None
    best_ask: str | None = None
    best_bid_size: str | None = None
    best_ask_size: str | None = None
    time: str | None = None
    sequence: Count | None = None
    """Grows with each message of the product, most of which are not asked for."""


class _Error(msgspec.Struct):
    message: str = ""
    reason: str = ""


class _AdvancedTrade(msgspec.Struct, gc=False):
    trade_id: TradeId
    price: str
    size: str
    side: Literal["BUY", "SELL"]
    time: str
    product_id: str = ""


class _AdvancedTicker(msgspec.Struct, gc=False):
    """Has no time of its own: the envelope's is taken."""

    product_id: str = ""
    best_bid: str | None = None
    best_ask: str | None = None
    best_bid_quantity: str | None = None
    best_ask_quantity: str | None = None


class _TradesEvent(msgspec.Struct, gc=False):
    trades: list[_AdvancedTrade]


class _TickersEvent(msgspec.Struct, gc=False):
    tickers: list[_AdvancedTicker]


class _MarketTrades(msgspec.Struct, gc=False):
    events: list[_TradesEvent]


class _Tickers(msgspec.Struct, gc=False):
    timestamp: str
    events: list[_TickersEvent]


_decode_outer = msgspec.json.Decoder(_Outer).decode
_decode_match = msgspec.json.Decoder(_Match).decode
_decode_ticker = msgspec.json.Decoder(_Ticker).decode
_decode_error = msgspec.json.Decoder(_Error).decode
_decode_market_trades = msgspec.json.Decoder(_MarketTrades).decode
_decode_tickers = msgspec.json.Decoder(_Tickers).decode


def instrument(native: str) -> Instrument:
    """The instrument of `BTC-USD`; a product of more parts keeps its name (`BTC-PERP-INTX`).

    Raises InstrumentError.
    """
    base, _, rest = native.partition("-")
    quote, _, contract = rest.partition("-")
    return Instrument.of(base, quote, contract)


class CoinbaseParser(FrameParser):
    """Stateless but for the names it has seen."""

    def __init__(self, symbol: str | None = None) -> None:
        super().__init__(Listing("coinbase", instrument, symbol))

    def read(self, frame: str | bytes, received_us: int | None) -> Sequence[Event]:
        outer = _decode_outer(frame)
        match outer.type or outer.channel:
            case "subscriptions":
                return (Confirmed(),)
            case "error":
                return (Refused(_complaint(_decode_error(frame))),)
            case "":
                raise ValueError("no message of Coinbase: neither a type nor a channel")
        if outer.type:
            return self._exchange(outer.type, frame, received_us)
        return self._advanced(outer.channel, frame, received_us)

    def _exchange(self, kind: str, frame: str | bytes, received_us: int | None) -> Sequence[Event]:
        match kind:
            case "match" | "last_match":
                return (Tick(*self._trade(_decode_match(frame), received_us)),)
            case "ticker":
                return self._ticker(_decode_ticker(frame), received_us)
        return ()

    def _advanced(
        self, channel: str, frame: str | bytes, received_us: int | None
    ) -> Sequence[Event]:
        match channel:
            case "market_trades":
                return self._trades(_decode_market_trades(frame), received_us)
            case "ticker" | "ticker_batch":
                return self._tickers(_decode_tickers(frame), received_us)
        return ()

    def _trades(self, seen: _MarketTrades, received_us: int | None) -> Sequence[Event]:
        """A snapshot's and an update's trades stand newest first."""
        trades = [trade for event in seen.events for trade in event.trades]
        return oldest_first([self._trade(trade, received_us) for trade in trades])

    def _trade(
        self, seen: _Match | _AdvancedTrade, received_us: int | None
    ) -> tuple[Channel, Trade]:
        return self.listing.trade(seen.product_id), Trade(
            positive(seen.price),
            positive(seen.size),
            _TAKER[seen.side],
            trade_id(seen.trade_id),
            rfc3339_us(seen.time),
            received_us,
        )

    def _ticker(self, seen: _Ticker, received_us: int | None) -> Sequence[Event]:
        channel = self.listing.quote(seen.product_id)
        bid, ask = best(seen.best_bid), best(seen.best_ask)
        quote = Quote(
            bid,
            ask,
            best_size(seen.best_bid_size),
            best_size(seen.best_ask_size),
            rfc3339_us(seen.time) if seen.time else None,
            received_us,
        )
        return (Tick(channel, quote, seen.sequence),) if bid and ask else ()

    def _tickers(self, seen: _Tickers, received_us: int | None) -> Sequence[Event]:
        venue_us = rfc3339_us(seen.timestamp)
        ticks = []
        for ticker in (ticker for event in seen.events for ticker in event.tickers):
            channel = self.listing.quote(ticker.product_id)
            bid, ask = best(ticker.best_bid), best(ticker.best_ask)
            bid_size = best_size(ticker.best_bid_quantity)
            ask_size = best_size(ticker.best_ask_quantity)
            if bid and ask:
                quote = Quote(bid, ask, bid_size, ask_size, venue_us, received_us)
                ticks.append(Tick(channel, quote))
        return ticks


def _complaint(error: _Error) -> str:
    return ": ".join(part for part in (error.message, error.reason) if part) or "no reason given"


def _connect_url(url: str, subscriptions: Sequence[Subscription]) -> str:
    return url


def _subscribe_frames(subscriptions: Sequence[Subscription]) -> Sequence[str]:
    """A frame a product: one that Coinbase doesn't know fails the whole frame it stands in.

    With the heartbeat of each, a second apart, silence means a dead connection.
    """
    kinds: dict[str, list[str]] = {}
    for wanted in subscriptions:
        kinds.setdefault(wanted.symbol, ["heartbeat"]).append(_CHANNELS[wanted.kind])
    return [
        msgspec.json.encode(
            {"type": "subscribe", "product_ids": [symbol], "channels": sorted(channels)}
        ).decode()
        for symbol, channels in kinds.items()
    ]


def _renew_frames(wanted: Subscription) -> Sequence[str]:
    """The heartbeat stays."""
    asked = {"product_ids": [wanted.symbol], "channels": [_CHANNELS[wanted.kind]]}
    return [
        msgspec.json.encode({"type": request} | asked).decode()
        for request in ("unsubscribe", "subscribe")
    ]


COINBASE: Final = Venue(
    name="coinbase",
    title="Coinbase",
    url="wss://ws-feed.exchange.coinbase.com",
    # No USDC: its books are those of dollars.
    symbols=(*majors_in("USD"), "BTC-EUR", "ETH-EUR", "USDT-USD"),
    kinds=("trade", "quote"),
    parser=CoinbaseParser,
    connect_url=_connect_url,
    subscribe_frames=_subscribe_frames,
    renew_frames=_renew_frames,
    trade_ids="consecutive",  # by product
    subscriptions_per_connection_max=60,  # spread, says the venue: a full socket is a slow one
    # 8 requests a second an address, 20 in bursts, and the first within 5 s of connecting:
    # https://docs.cdp.coinbase.com/exchange/websocket-feed/rate-limits
    subscribe_pace_s=0.15,
    silence_limit_s=10.0,  # a heartbeat a second
)
