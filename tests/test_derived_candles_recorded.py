"""Candles of recorded trades: the known ones of an hour of Kraken, and Binance's own minutes."""

import csv
import gzip
import io
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest

from feeds.market import Tick
from tests.candle_market import (
    LENGTHS_US,
    SECOND_US,
    candles,
    exact,
    finals,
    naive,
    newest,
    of,
    played,
    trade,
)

SHARED = Path(__file__).resolve().parents[2] / "shared"


def _kraken_hour() -> list[Tick]:
    path = SHARED / "replay" / "kraken_BTCUSD_trades_20190701_00h.csv.gz"
    with gzip.open(path) as binary:
        rows = list(csv.DictReader(io.TextIOWrapper(binary)))
    return [
        trade(int(row["t_ms"]) * 1_000, row["price"], row["amount"], row["side"])  # type: ignore[arg-type]
        for row in rows
    ]


@pytest.mark.skipif(not (SHARED / "replay").exists(), reason="needs the recordings of ../shared")
def test_krakens_hour_gives_the_known_candles() -> None:
    ticks = _kraken_hour()
    hour_us = 1_561_939_200 * SECOND_US
    told = played(candles(hour_us), ticks, hour_us + 3_603 * SECOND_US)
    counts = {name: len(finals(told, name)) for name in ("5m", "15m", "1h")}
    assert counts == {"5m": 12, "15m": 4, "1h": 1}
    (hour,) = finals(told, "1h")
    assert (hour.open, hour.close, hour.trades) == ("10749.4", "11014.3", 2_672)
    assert not hour.partial
    for name in ("1s", "1m", "5m", "15m", "1h"):
        expected = naive(ticks, LENGTHS_US[name])
        last = newest(told, name)
        assert {at: exact(last[at]) for at in expected} == expected
        assert all(each.version == 1 for each in last.values())


class Kline(msgspec.Struct):
    start_ms: int = msgspec.field(name="t")
    first_id: int = msgspec.field(name="f")
    last_id: int = msgspec.field(name="L")
    open: str = msgspec.field(name="o")
    close: str = msgspec.field(name="c")
    high: str = msgspec.field(name="h")
    low: str = msgspec.field(name="l")
    volume: str = msgspec.field(name="v")
    quote_volume: str = msgspec.field(name="q")
    buy_volume: str = msgspec.field(name="V")


class BinanceData(msgspec.Struct):
    kline: Kline | None = msgspec.field(name="k", default=None)
    price: str = msgspec.field(name="p", default="")
    size: str = msgspec.field(name="q", default="")
    first_id: int = msgspec.field(name="f", default=0)
    last_id: int = msgspec.field(name="l", default=0)
    at_ms: int = msgspec.field(name="T", default=0)
    taker_sells: bool = msgspec.field(name="m", default=False)


class BinanceFrame(msgspec.Struct):
    stream: str
    data: BinanceData


class Row(msgspec.Struct):
    text: str = msgspec.field(name="data", default="")


def _binance_session(symbol: str) -> tuple[list[BinanceData], list[Kline]]:
    path = SHARED / "captures/sessions/binance/cf-BINANCE-ee25be-2997020.jsonl.gz"
    decode = msgspec.json.Decoder(BinanceFrame).decode
    trades: list[BinanceData] = []
    klines: list[Kline] = []
    with gzip.open(path) as rows:
        texts = [msgspec.json.decode(line, type=Row).text for line in rows]
    for text in texts:
        if f'"{symbol}@aggTrade"' in text:
            trades.append(decode(text).data)
        elif f'"{symbol}@kline_1m"' in text:
            kline = decode(text).data.kline
            assert kline is not None
            klines.append(kline)
    return trades, klines


@pytest.mark.skipif(not (SHARED / "captures").exists(), reason="needs the captures of ../shared")
@pytest.mark.parametrize("symbol", ["btcusdt", "ethusdt", "dotusdt"])
def test_our_minutes_equal_the_venues_own_where_both_were_captured(symbol: str) -> None:
    trades, klines = _binance_session(symbol)
    compared = 0
    for kline in klines:
        its = [one for one in trades if kline.first_id <= one.first_id <= kline.last_id]
        if not its or its[0].first_id != kline.first_id or its[-1].last_id != kline.last_id:
            continue  # Its beginning was before the capture.
        since_us = kline.start_ms * 1_000
        one = candles(since_us)
        ticks = [
            trade(t.at_ms * 1_000, t.price, t.size, "sell" if t.taker_sells else "buy") for t in its
        ]
        (ours,) = of(played(one, ticks, since_us + 59_999_000), "1m")[-1:]
        assert (ours.open, ours.high, ours.low, ours.close) == (
            kline.open, kline.high, kline.low, kline.close,
        )  # fmt: skip
        theirs = (kline.volume, kline.quote_volume, kline.buy_volume)
        assert [Fraction(text) for text in theirs] == [
            Fraction(text) for text in (ours.volume, ours.quote_volume, ours.buy_volume)
        ]
        compared += 1
    assert compared > 0
