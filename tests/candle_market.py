"""Trades for candles, the playing of them, and what they come to by the plainest reckoning."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

import msgspec

from feeds.derived.candles import Candles
from feeds.derived.intervals import INTERVALS
from feeds.derived.settings import CandleSettings
from feeds.market import Candle, Channel, Side, Status, Tick, Trade

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
NOON_US = 20_000 * DAY_US + DAY_US // 2
LATENESS_US = 2 * SECOND_US
LENGTHS_US = {each.name: each.length_us for each in INTERVALS}
MARKET = ("kraken", "BTC-USD")


def trade(
    at_us: int,
    price: str = "100",
    size: str = "1",
    side: Side = "buy",
    *,
    late_us: int = 0,
    market: tuple[str, str] = MARKET,
) -> Tick:
    payload = Trade(price, size, side, str(at_us), at_us, at_us + late_us)
    return Tick(Channel("trade", *market), payload)


def status(state: str, at_us: int, venue: str = "kraken") -> Tick:
    payload = msgspec.convert({"state": state, "since": at_us, "rx": at_us}, Status)
    return Tick(Channel("status", venue, "VENUE"), payload)


def candles(since_us: int | None = NOON_US, **settings: int) -> Candles:
    """Who has listened since then; None: to nobody yet."""
    one = Candles(msgspec.convert(settings, CandleSettings))
    if since_us is not None:
        one.take([status("live", since_us)], since_us)
    return one


def woken(one: Candles, until_us: int) -> list[Tick]:
    told: list[Tick] = []
    while (at_us := one.next_us()) is not None and at_us <= until_us:
        told += one.wake(at_us)
    return told


def played(one: Candles, ticks: Iterable[Tick], until_us: int = 0) -> list[Tick]:
    """Each tick when it was received, and all that the clock brings between them."""
    told: list[Tick] = []
    for tick in ticks:
        at_us = tick.payload.received_us
        assert at_us is not None
        told += woken(one, at_us)
        told += one.take([tick], at_us)
    return told + woken(one, until_us)


def of(told: Iterable[Tick], interval: str, market: tuple[str, str] = MARKET) -> list[Candle]:
    channel = Channel(f"candle.{interval}", *market)
    found = [tick.payload for tick in told if tick.channel == channel]
    return [payload for payload in found if isinstance(payload, Candle)]


def finals(told: Iterable[Tick], interval: str, market: tuple[str, str] = MARKET) -> list[Candle]:
    return [one for one in of(told, interval, market) if one.final]


def newest(told: Iterable[Tick], interval: str) -> dict[int, Candle]:
    """What was said last of each interval that is final."""
    return {one.start_us: one for one in finals(told, interval)}


def exact(one: Candle) -> tuple[Fraction | int, ...]:
    numbers = (one.open, one.high, one.low, one.close, one.volume, one.quote_volume, one.buy_volume)
    return (*map(Fraction, numbers), one.trades)


def naive(trades: Sequence[Tick], length_us: int) -> dict[int, tuple[Fraction | int, ...]]:
    """Of intervals with trades; `trades` in the order in which they happened."""
    cells: dict[int, list[Trade]] = {}
    for tick in trades:
        payload = tick.payload
        assert isinstance(payload, Trade)
        assert payload.venue_us is not None
        cells.setdefault(payload.venue_us // length_us * length_us, []).append(payload)
    return {start_us: _naive(cell) for start_us, cell in cells.items()}


def _naive(cell: Sequence[Trade]) -> tuple[Fraction | int, ...]:
    prices = [Fraction(one.price) for one in cell]
    sizes = [Fraction(one.size) for one in cell]
    turnover = sum(price * size for price, size in zip(prices, sizes, strict=True))
    bought = sum(Fraction(one.size) for one in cell if one.side == "buy")
    edges = (prices[0], max(prices), min(prices), prices[-1])
    return (*edges, sum(sizes), turnover, bought, len(cell))
