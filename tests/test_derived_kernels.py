"""Indicators one value at a time, against TA-Lib over the whole series, after warm-up."""

import csv
import gzip
import io
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import islice
from math import fsum, isclose, log, sqrt
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from feeds.derived.kernels import Atr, Bollinger, Ema, Macd, Rma, Rsi, Surprise, Vwap, ZScore

MINUTES = 14 * 24 * 60
RECORDED = (
    Path(__file__)
    .resolve()
    .parents[2]
    .joinpath("shared/replay/btc-perp-20211231-20220201_1m.csv.gz")
)


class Candle(NamedTuple):
    high: float
    low: float
    close: float
    volume: float


def _recorded() -> list[Candle]:
    with gzip.open(RECORDED) as binary:
        rows = list(islice(csv.DictReader(io.TextIOWrapper(binary)), MINUTES))
    fields = ("high", "low", "close", "volume")
    return [Candle(*(float(row[name]) for name in fields)) for row in rows]


def _generated() -> list[Candle]:
    random, close, made = Random(6), 46_000.0, []
    for _ in range(MINUTES):
        close += random.choice((-12.5, -1.0, 0.0, 0.5, 13.0))
        reach = random.random() * 20
        made.append(Candle(close + reach, close - reach / 2, close, random.random() * 1e6))
    return made


MARKETS = {"recorded": _recorded, "generated": _generated}
is_absent = pytest.mark.skipif(not RECORDED.exists(), reason=f"{RECORDED.name} is not there")
every_market = pytest.mark.parametrize(
    "market", [pytest.param("recorded", marks=is_absent), "generated"]
)


@cache
def candles(market: str) -> list[Candle]:
    return MARKETS[market]()


def equal(ours: Iterable[float | None], batch: Iterable[float], *, warm_up: int) -> None:
    """Nothing before the warm-up is over; from then on the same."""
    pairs = list(zip(ours, batch, strict=True))
    assert [one for one, _ in pairs[:warm_up]] == [None] * warm_up
    wrong = [
        (at, one, other)
        for at, (one, other) in enumerate(pairs[warm_up:], warm_up)
        if one is None or not isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    ]
    assert wrong[:3] == []


def column(values: Sequence[tuple[float, ...] | None], name: str) -> list[float | None]:
    return [None if value is None else getattr(value, name) for value in values]


@pytest.fixture(scope="module")
def talib() -> object:
    return pytest.importorskip("talib", reason="TA-Lib is the reference")


def _array(values: Iterable[float]) -> object:
    numpy = pytest.importorskip("numpy")
    return numpy.array(list(values), dtype=float)


@every_market
@pytest.mark.parametrize("period", [2, 12, 50, 200])
def test_ema_equals_the_batch(market: str, period: int, talib) -> None:
    closes, one = [each.close for each in candles(market)], Ema(period)
    batch = talib.EMA(_array(closes), timeperiod=period)
    equal([one.update(close) for close in closes], batch, warm_up=period - 1)


@every_market
@pytest.mark.parametrize("period", [2, 14])
def test_rsi_equals_the_batch(market: str, period: int, talib) -> None:
    closes, one = [each.close for each in candles(market)], Rsi(period)
    batch = talib.RSI(_array(closes), timeperiod=period)
    equal([one.update(close) for close in closes], batch, warm_up=period)


@every_market
@pytest.mark.parametrize("periods", [(12, 26, 9), (5, 35, 5)])
def test_macd_equals_the_batch(market: str, periods: tuple[int, int, int], talib) -> None:
    closes, one = [each.close for each in candles(market)], Macd(*periods)
    ours = [one.update(close) for close in closes]
    batch = talib.MACD(_array(closes), *periods)
    for name, expected in zip(("macd", "signal", "histogram"), batch, strict=True):
        equal(column(ours, name), expected, warm_up=periods[1] + periods[2] - 2)


@every_market
@pytest.mark.parametrize("period", [2, 14])
def test_atr_equals_the_batch(market: str, period: int, talib) -> None:
    rows, one = candles(market), Atr(period)
    ours = [one.update(each.high, each.low, each.close) for each in rows]
    columns = [_array(getattr(each, name) for each in rows) for name in ("high", "low", "close")]
    equal(ours, talib.ATR(*columns, timeperiod=period), warm_up=period)


@every_market
@pytest.mark.parametrize("period", [5, 20, 300])
def test_bollingers_bands_equal_the_batch(market: str, period: int, talib) -> None:
    closes, one = [each.close for each in candles(market)], Bollinger(period)
    ours = [one.update(close) for close in closes]
    batch = talib.BBANDS(_array(closes), timeperiod=period, nbdevup=2, nbdevdn=2, matype=0)
    for name, expected in zip(("upper", "middle", "lower"), batch, strict=True):
        equal(column(ours, name), expected, warm_up=period - 1)


@every_market
@pytest.mark.parametrize("period", [2, 60])
def test_vwap_equals_the_batch(market: str, period: int, talib) -> None:
    rows, one = candles(market), Vwap(period)
    turnover = talib.SUM(_array(each.close * each.volume for each in rows), timeperiod=period)
    volume = talib.SUM(_array(each.volume for each in rows), timeperiod=period)
    ours = [one.update(each.close, each.volume) for each in rows]
    equal(ours, turnover / volume, warm_up=period - 1)


# What TA-Lib has not, and so a definition of its own: over the whole window, each time anew.


def over_windows(
    rows: Sequence[Candle], period: int, formula: Callable[[Sequence[Candle]], float]
) -> list[float]:
    nothing = [0.0] * (period - 1)
    ends = range(period, len(rows) + 1)
    return nothing + [formula(rows[end - period : end]) for end in ends]


def deviations_off(rows: Sequence[Candle]) -> float:
    mean = fsum(row.close for row in rows) / len(rows)
    deviation = sqrt(fsum((row.close - mean) ** 2 for row in rows) / len(rows))
    return (rows[-1].close - mean) / deviation if deviation else 0.0


def average_by_volume(rows: Sequence[Candle]) -> float:
    return fsum(row.close * row.volume for row in rows) / fsum(row.volume for row in rows)


def wilders(values: Sequence[float], period: int) -> list[float]:
    told = [0.0] * (period - 1) + [fsum(values[:period]) / period]
    for value in values[period:]:
        told.append(told[-1] + (value - told[-1]) / period)
    return told


@every_market
@pytest.mark.parametrize("period", [2, 20, 100])
def test_z_score_equals_its_definition(market: str, period: int) -> None:
    rows, one = candles(market), ZScore(period)
    ours = [one.update(each.close) for each in rows]
    equal(ours, over_windows(rows, period, deviations_off), warm_up=period - 1)


@every_market
@pytest.mark.parametrize("period", [2, 60])
def test_vwap_equals_its_definition(market: str, period: int) -> None:
    rows, one = candles(market), Vwap(period)
    ours = [one.update(each.close, each.volume) for each in rows]
    equal(ours, over_windows(rows, period, average_by_volume), warm_up=period - 1)


@every_market
@pytest.mark.parametrize("period", [2, 14])
def test_rma_equals_its_definition(market: str, period: int) -> None:
    closes, one = [each.close for each in candles(market)], Rma(period)
    ours = [one.update(close) for close in closes]
    equal(ours, wilders(closes, period), warm_up=period - 1)


def surprises(values: Sequence[float], period: int) -> list[float]:
    """Usual is a decaying mean and deviation; nothing moves them more than three of the latter."""
    mean = fsum(values[:period]) / period
    deviation = sqrt(fsum((value - mean) ** 2 for value in values[:period]) / period)
    told, weight = [0.0] * period, 2 / (period + 1)
    for value in values[period:]:
        told.append((value - mean) / deviation if deviation else 0.0)
        away = min(max(value - mean, -3 * deviation), 3 * deviation) if deviation else value - mean
        old_mean, mean = mean, mean + weight * away
        squares = (1 - weight) * (deviation**2 + (mean - old_mean) ** 2)
        deviation = sqrt(squares + weight * (old_mean + away - mean) ** 2)
    return told


@every_market
@pytest.mark.parametrize("period", [2, 240])
def test_surprise_equals_its_definition(market: str, period: int) -> None:
    volumes, one = [log(1 + each.volume) for each in candles(market)], Surprise(period)
    ours = [one.update(volume) for volume in volumes]
    equal(ours, surprises(volumes, period), warm_up=period)


def test_a_burst_does_not_become_usual_at_once() -> None:
    one, plain = Surprise(60), ZScore(60)
    calm = [float(at % 2) for at in range(300)]
    for value in [*calm, *[50.0] * 3]:
        told = one.update(value), plain.update(value)
    assert told[0] is not None
    assert told[1] is not None
    assert told[0] > 4 * told[1]


def test_a_market_that_stands_still_is_no_error() -> None:
    rsi, score, bands, vwap = Rsi(2), ZScore(2), Bollinger(2), Vwap(2)
    for _ in range(5):
        told = (rsi.update(5.0), score.update(5.0), bands.update(5.0), vwap.update(5.0, 0.0))
    assert told == (0.0, 0.0, (5.0, 5.0, 5.0), None)
