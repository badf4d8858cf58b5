"""Markets for models: a seeded walk, structure planted into one, and how models hear them."""

from collections.abc import Callable, Iterable, Sequence
from math import exp
from random import Random
from typing import NamedTuple

import msgspec

from feeds.derived.derivation import Derivation
from feeds.derived.models import Step
from feeds.derived.settings import DerivedSettings
from feeds.derived.signal_settings import SignalSettings
from feeds.derived.signals import Signals
from feeds.market import Candle, Channel, Price, Signal, Tick

MINUTE_US = 60_000_000
START_US = 1_763_632_800_000_000
LATE_US = 2_000_000
"""How long after its end a candle is told."""
PAIR = "BTC-USD"
CANDLES = Channel("candle.1m", "agg", PAIR)
PRICES = Channel("price", "agg", PAIR)


class Shape(NamedTuple):
    """One candle's doing: the logarithm of its move, its volume, the part that takers bought."""

    move: float
    volume: float
    bought: float


def candle(number: int, shape: Shape, open_: float = 100.0, **changes: object) -> Candle:
    close = open_ * exp(shape.move)
    high, low = max(open_, close) * 1.0002, min(open_, close) * 0.9998
    start_us = START_US + number * MINUTE_US
    turnover = shape.volume * close
    text = [f"{value:.6f}" for value in (open_, high, low, close, shape.volume, turnover, close)]
    bought = f"{shape.volume * shape.bought:.6f}"
    made = Candle(start_us, *text, bought, 9, final=True, received_us=start_us + MINUTE_US)
    return msgspec.structs.replace(made, **changes)


def market(shapes: Iterable[Shape]) -> list[Candle]:
    made: list[Candle] = []
    for number, shape in enumerate(shapes):
        made.append(candle(number, shape, float(made[-1].close) if made else 100.0))
    return made


def shapes(
    count: int, seed: int, drift: Callable[[int, float], float] = lambda _, __: 0.0
) -> list[Shape]:
    """A walk of 5 basis points a minute; `drift(number, bought before)` is added."""
    random, made, bought = Random(seed), [], 0.5
    for number in range(count):
        move = random.gauss(0.0, 0.0005) + drift(number, bought)
        bought = min(0.95, max(0.05, 0.5 + random.gauss(0.0, 0.15)))
        made.append(Shape(move, exp(random.gauss(2.0, 0.5)), bought))
    return made


def walk(count: int, seed: int) -> list[Candle]:
    return market(shapes(count, seed))


def trending(count: int, seed: int, length: int = 300) -> list[Candle]:
    """Up for `length` minutes, down for as many, by 3 basis points each."""
    return market(shapes(count, seed, lambda at, _: 0.0003 if at // length % 2 == 0 else -0.0003))


def prices(candles: Sequence[Candle], *, state: str = "live") -> list[Tick]:
    """A consolidated price at each candle's close, told just before the candle is."""
    return [price(each, state=state) for each in candles]


def price(each: Candle, *, state: str = "live") -> Tick:
    at_us = each.start_us + MINUTE_US + LATE_US
    text = {"px": each.close} if state == "live" else {}
    whole = {
        "state": state, "method": "median-v1", "version": 1, "voters": 2, "min": 2,
        "floor_ppm": 50, "age_max_ms": 10_000, "venues": [], "at": at_us, "rx": at_us - 7, **text,
    }  # fmt: skip
    return Tick(PRICES, msgspec.convert(whole, Price))


def step(each: Candle) -> Step:
    """As a model is told of it, without quotes."""
    numbers = (each.high, each.low, each.close, each.volume, each.buy_volume)
    end_us = each.start_us + MINUTE_US
    return Step(end_us, *map(float, numbers), each.trades, each.partial, None)


def settings(*models: str, **changes: object) -> DerivedSettings:
    return DerivedSettings(signal=SignalSettings(models=models, **changes))  # type: ignore[arg-type]


def told_us(each: Candle) -> int:
    return each.start_us + MINUTE_US + LATE_US


def hear(one: Derivation, candles: Iterable[Candle]) -> list[Signal]:
    """Each candle when it is told."""
    ticks = [tick for each in candles for tick in one.take([Tick(CANDLES, each)], told_us(each))]
    return [tick.payload for tick in ticks if isinstance(tick.payload, Signal)]


def signals_of(candles: Iterable[Candle], *models: str, **changes: object) -> list[Signal]:
    """What is said of candles alone: each signal starts from a close."""
    return hear(Signals(settings(*models, **changes)), candles)


def moves(candles: Sequence[Candle], signals: Iterable[Signal]) -> list[float]:
    """What following each signal gave over its horizon, where the end of that is there."""
    closes = {each.start_us + MINUTE_US: float(each.close) for each in candles}
    sides = {"bull": 1, "neutral": 0, "bear": -1}
    made: list[float] = []
    for signal in signals:
        begin_us = signal.computed_us - LATE_US
        end = closes.get(begin_us + signal.horizon_s * 1_000_000)
        if end is not None and signal.direction != "neutral":
            made.append(sides[signal.direction] * (end / closes[begin_us] - 1.0))
    return made
