"""A small exchange dialect, so that the runtime is tested without any exchange's adapter."""

from collections.abc import Sequence
from random import Random

import msgspec

from feeds.market import Channel, Clock, SystemClock, Tick, Trade
from feeds.settings import ConnectionSettings
from feeds.venue import (
    Answer,
    Confirmed,
    Event,
    Leaving,
    ParseError,
    Refused,
    Subscription,
    Torn,
    Venue,
)
from feeds.venue_feed import VenueFeed
from tests.venue_server import Side, TickList, VenueServer

QUICK = ConnectionSettings(
    backoff_first_s=0.001,
    backoff_max_s=0.01,
    close_limit_s=0.3,
    steady_after_s=0.0,
    overlap_s=0.05,
)


class ToyParser:
    """A frame is a list of `["trade", symbol, px, sz, side, id]`, `["beat"]`, `["ok"]`,
    `["no", why]`, `["bye", why]`, `["torn", symbol, why]`, `["echo", frame]`, `["bug"]`."""

    def __init__(self, symbol: str | None) -> None:
        self.symbol = symbol

    def feed(self, frame: str | bytes, received_ns: int | None) -> Sequence[Event]:
        try:
            parts = msgspec.json.decode(frame, type=list[list[str]])
        except ValueError as error:
            raise ParseError("not of this venue", frame) from error
        return [event for part in parts for event in self._events(part, frame, received_ns)]

    def _events(
        self, part: list[str], frame: str | bytes, received_ns: int | None
    ) -> Sequence[Event]:
        match part:
            case ["trade", symbol, price, size, ("buy" | "sell") as side, id_]:
                received_us = None if received_ns is None else received_ns // 1_000
                trade = Trade(price, size, side, id_, None, received_us)
                return [Tick(Channel("trade", "toy", symbol), trade)]
            case ["beat"]:
                return []
            case ["ok"]:
                return [Confirmed()]
            case ["no", why]:
                return [Refused(why)]
            case ["bye", why]:
                return [Leaving(why)]
            case ["torn", symbol, why]:
                return [Torn(Channel("trade", "toy", symbol), why)]
            case ["echo", answer]:
                return [Answer(answer)]
            case ["bug"]:
                raise KeyError("a fault of the adapter")
        raise ParseError("not of this venue", frame)


def says(*parts: list[str]) -> str:
    """A frame of the toy venue."""
    return msgspec.json.encode(parts).decode()


def a_trade(id_: int, symbol: str = "BTC-USD") -> list[str]:
    return ["trade", symbol, "68900.50", "0.0015", "buy", str(id_)]


def trade(id_: int, symbol: str = "BTC-USD") -> str:
    return says(a_trade(id_, symbol))


TOY = Venue(
    name="toy",
    title="Toy",
    url="ws://127.0.0.1:9",
    symbols=("BTC-USD",),
    kinds=("trade",),
    parser=ToyParser,
    connect_url=lambda url, subscriptions: f"{url}/{subscriptions[0].symbol}",
    subscribe_frames=lambda subscriptions: [f"sub {each.symbol}" for each in subscriptions],
    renew_frames=lambda wanted: [f"unsub {wanted.symbol}", f"sub {wanted.symbol}"],
    trade_ids="none",
    subscriptions_per_connection_max=2,
    subscribe_pace_s=0.01,
    silence_limit_s=60.0,
)


def wants(*symbols: str) -> list[Subscription]:
    return [Subscription("trade", symbol) for symbol in symbols]


def a_feed(
    venue: VenueServer | str,
    sink: TickList,
    *,
    row: Venue = TOY,
    subscriptions: list[Subscription] | None = None,
    settings: ConnectionSettings = QUICK,
    clock: Clock | None = None,
) -> VenueFeed:
    """Of a venue that is there, or of whatever is at a URL."""
    return VenueFeed(
        row,
        subscriptions or wants("BTC-USD"),
        settings,
        sink,
        clock=clock or SystemClock(),
        random=Random(7),
        url=venue if isinstance(venue, str) else venue.url,
    )


def changed(settings: ConnectionSettings = QUICK, **fields: object) -> ConnectionSettings:
    return msgspec.structs.replace(settings, **fields)


def row_with(**fields: object) -> Venue:
    return msgspec.structs.replace(TOY, **fields)


async def live(server: VenueServer, sink: TickList, id_: int = 1) -> Side:
    """A connection that has given its first trade."""
    side = await server.next_side()
    before = len(sink.ticks)
    await side.send(trade(id_))
    await sink.reach(before + 1)
    return side


def payload_id(tick: Tick) -> str:
    assert isinstance(tick.payload, Trade)
    return tick.payload.id
