"""What a feed offers: numbered messages of a few channels of every kind. Nothing here fails."""

from random import Random

import msgspec

from feeds.market import Channel, Quote, Status, Tick, Trade
from tests.simulation.truth import Truth

STATUS = Channel.parse("status:sim:VENUE")
CHANNELS = [
    Channel.parse(name)
    for name in (
        "trade:sim:BTC-USD",
        "trade:sim:ETH-USD",
        "quote:sim:BTC-USD",
        "candle.1m:sim:BTC-USD",
        "signal:sim:BTC-USD",
        "custom:sim:BTC-USD",
    )
]
WILDCARD = "trade:sim:*"
LATE = [Channel.parse("trade:sim:SOL-USD"), Channel.parse("trade:sim:XRP-USD")]
"""Channels that begin when others have been there for a while."""


class _Value(msgspec.Struct):
    """Of channels whose payload is nobody's business."""

    value: str = msgspec.field(name="v")
    received_us: int | None = msgspec.field(name="rx", default=None)


class _Unsound(_Value):
    """`n` is the gateway's own."""

    n: int = 1


class Offers:
    """Makes ticks, each channel's numbered from 1 on."""

    def __init__(self, random: Random, truth: Truth) -> None:
        self._random = random
        self._truth = truth

    def ticks(self, channel: Channel, count: int) -> list[Tick]:
        first = self._truth.offered.get(channel.name, 0) + 1
        self._truth.offered[channel.name] = first + count - 1
        return [self._tick(channel, number) for number in range(first, first + count)]

    def status(self, since_us: int) -> list[Tick]:
        return [Tick(STATUS, Status("live", since_us))]

    def _tick(self, channel: Channel, number: int) -> Tick:
        price = f"{100 + number * 37 % 11}.{number:06d}"
        match channel.kind:
            case "trade":
                size = f"{self._random.randrange(1, 5_000) / 1_000:.3f}"
                side = "buy" if self._random.random() < 0.5 else "sell"
                return Tick(channel, Trade(price, size, side, str(number), number))
            case "quote":
                return Tick(channel, Quote(price, "200", "1", "2", number))
            case "custom" if self._random.random() < 0.03:
                return Tick(channel, _Unsound(price))  # type: ignore[arg-type]
            case _:
                return Tick(channel, _Value(price))  # type: ignore[arg-type]
