"""Recorded candles of several venues become those of all, and longer ones, as trades would."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from feeds.backtest.bars import FLAT_MAX, Bars
from feeds.backtest.readers.columns import candle
from feeds.backtest.source import FileError
from feeds.derived.derivation import Derivation
from feeds.market import Candle, Channel, Tick
from tests.backtest_files import MINUTE_US, QUICK, START_US, candle_csv, lean_zip, run, walk
from tests.conftest import SHARED

LEAN = SHARED / "replay" / "lean_minute"


def bar(venue: str, minute: int, prices: Sequence[str], volume: str) -> Tick:
    channel = Channel("candle.1m", venue, "BTC-USD")
    return Tick(channel, candle(START_US + minute * MINUTE_US, list(prices), volume))


def played(bars: Derivation, *ticks: Tick) -> list[Tick]:
    """Each bar at its end; woken whenever it is due before that."""
    told: list[Tick] = []
    for tick in ticks:
        assert isinstance(tick.payload, Candle)
        now_us = tick.payload.start_us + MINUTE_US
        while (due_us := bars.next_us()) is not None and due_us < now_us:
            told += bars.wake(due_us)
        told += bars.take([tick], now_us)
    return told


def of(told: Sequence[Tick], interval: str) -> list[Candle]:
    kind = f"candle.{interval}"
    return [t.payload for t in told if t.channel.kind == kind and isinstance(t.payload, Candle)]


def test_several_venues_add_up_and_the_busiest_gives_open_and_close() -> None:
    first = bar("a", 0, ("10", "12", "9", "11"), "1")
    second = bar("b", 0, ("10.5", "11", "8", "10.2"), "3")
    told = Bars("1m").take([first, second], START_US + MINUTE_US)
    ((tick),) = told
    assert tick.channel == Channel("candle.1m", "agg", "BTC-USD")
    (whole,) = of(told, "1m")
    assert (whole.open, whole.high, whole.low, whole.close) == ("10.5", "12", "8", "10.2")
    assert (whole.volume, whole.buy_volume, whole.trades, whole.final) == ("4", "2", 2, True)


def test_a_venue_that_says_the_same_minute_twice_counts_once() -> None:
    one = bar("a", 0, ("10", "12", "9", "11"), "1")
    (whole,) = of(Bars("1m").take([one, one], START_US + MINUTE_US), "1m")
    assert whole.volume == "1"


def test_simulated_and_derived_candles_are_not_those_of_venues() -> None:
    ticks = [bar(venue, 0, ("1", "1", "1", "1"), "1") for venue in ("sim", "replay", "agg")]
    assert Bars("1m").take(ticks, START_US + MINUTE_US) == []


def test_a_minute_that_nobody_has_is_flat_at_the_close_before() -> None:
    told = played(
        Bars("1m"), bar("a", 0, ("1", "2", "1", "2"), "5"), bar("a", 2, ("3", "3", "3", "3"), "1")
    )
    first, flat, third = of(told, "1m")
    assert (flat.open, flat.close, flat.volume, flat.trades) == ("2", "2", "0", 0)
    assert [first.start_us, flat.start_us, third.start_us] == [
        START_US + minute * MINUTE_US for minute in range(3)
    ]


def test_after_an_hour_without_any_nothing_is_told_until_the_next_and_the_day_is_partial() -> None:
    bars = Bars("1m")
    later = 1_000
    told = played(bars, bar("a", 0, ("1", "1", "1", "1"), "1"), bar("a", later, ("1",) * 4, "1"))
    minutes = of(told, "1m")
    assert len(minutes) == 1 + FLAT_MAX + 1
    assert minutes[-1].start_us == START_US + later * MINUTE_US
    assert all(each.partial for each in of(told, "4h"))


def test_a_minute_that_comes_after_a_later_one_is_left_out() -> None:
    bars = Bars("1m")
    told = played(bars, bar("a", 3, ("1", "1", "1", "1"), "1"))
    assert bars.take([bar("b", 2, ("9", "9", "9", "9"), "1")], START_US + 4 * MINUTE_US) == []
    assert len(of(told, "1m")) == 1


@pytest.mark.parametrize(("interval", "minutes"), [("5m", 5), ("15m", 15), ("1h", 60)])
def test_longer_intervals_are_what_their_minutes_come_to(interval: str, minutes: int) -> None:
    rows = walk(180)
    ticks = [
        bar("a", n, [str(number) for number in prices], str(volume))
        for n, (_, *prices, volume) in enumerate(rows)
    ]
    told = played(Bars("1m"), *ticks)
    parts, wholes = of(told, "1m"), of(told, interval)
    assert len(wholes) == 180 // minutes
    for number, whole in enumerate(wholes):
        its = parts[number * minutes : (number + 1) * minutes]
        assert (whole.open, whole.close) == (its[0].open, its[-1].close)
        assert Decimal(whole.high) == max(Decimal(each.high) for each in its)
        assert Decimal(whole.low) == min(Decimal(each.low) for each in its)
        assert Decimal(whole.volume) == sum(Decimal(each.volume) for each in its)


def test_models_of_longer_candles_than_recorded_ones_read_those_made_of_them(
    tmp_path: Path,
) -> None:
    path = candle_csv(tmp_path / "walk.csv", walk(40))
    done = run([path], pair="BTC-USD")
    assert done.interval == "1m"
    assert len(done.heard.marks["BTC-USD"]) == 40


def test_bars_longer_than_what_models_read_by_default_are_what_they_read(tmp_path: Path) -> None:
    lines = [f"20251120 {hour:02}:00,1,2,1,2,3" for hour in range(9)]
    path = lean_zip(tmp_path, "crypto_bitfinex_hour_btcusd_trade", lines)
    done = run([path])
    assert done.interval == "1h"
    assert len(done.heard.marks["BTC-USD"]) == 9


def test_bars_of_two_lengths_are_not_mixed(tmp_path: Path) -> None:
    hours = lean_zip(tmp_path, "crypto_bitfinex_hour_btcusd_trade", ["20251120 12:00,1,1,1,1,1"])
    minutes = candle_csv(tmp_path / "walk.csv", walk(3))
    with pytest.raises(FileError, match="bars of several lengths"):
        run([hours, minutes])


def test_quotes_alone_are_not_enough(tmp_path: Path) -> None:
    path = lean_zip(tmp_path, "crypto_a_minute_btcusd_20251120_quote", ["0,1,1,1,1,1,2,2,2,2,1"])
    with pytest.raises(FileError, match="give trades or candles too"):
        run([path])


def test_a_file_is_not_given_twice(tmp_path: Path) -> None:
    path = candle_csv(tmp_path / "walk.csv", walk(3))
    with pytest.raises(FileError, match=r"walk\.csv is given twice"):
        run([path, tmp_path / "." / "walk.csv"])


@pytest.mark.skipif(not LEAN.exists(), reason="needs the recordings of ../shared")
def test_two_venues_minutes_give_one_price_and_signals_that_start_from_it() -> None:
    names = ("binance_minute_btcusd", "bybit_minute_btcusd")
    trades = [LEAN / f"cryptofuture_{name}_20221213_trade.zip" for name in names]
    quotes = [LEAN / "crypto_bybit_minute_btcusdt_20221213_quote.zip"]
    quotes += [LEAN / "crypto_bybit_minute_btcusdt_20221213_trade.zip"]
    trend = msgspec.structs.replace(
        QUICK, signal=msgspec.structs.replace(QUICK.signal, models=("trend",))
    )
    perpetual = run(trades, trend, pair="BTC-USD-PERP")
    spot = run(quotes, trend, pair="BTC-USDT")
    assert len(perpetual.heard.marks["BTC-USD-PERP"]) == 1_440
    channels = {signal.reference.channel for signal in spot.heard.signals}
    assert channels == {"price:agg:BTC-USDT"}
    channels = {signal.reference.channel for signal in perpetual.heard.signals}
    assert channels == {"candle.1m:agg:BTC-USD-PERP"}


def _lean(directory: Path, venue: str, kind: str, minutes: int) -> Path:
    day_us = 1_763_596_800_000_000
    lines: list[str] = []
    for start_us, *prices, volume in walk(minutes, start_us=day_us):
        ms = str((start_us - day_us) // 1_000)
        asks = [str(price + 1) for price in prices]
        bids = [str(price) for price in prices]
        trade, quote = [ms, *bids, str(volume)], [ms, *bids, "1", *asks, "2"]
        lines.append(",".join(trade if kind == "trade" else quote))
    return lean_zip(directory, f"crypto_{venue}_minute_btcusd_20251120_{kind}", lines)


def test_one_venue_that_quotes_is_enough_for_a_price(tmp_path: Path) -> None:
    files = [_lean(tmp_path, "kraken", "trade", 60), _lean(tmp_path, "coinbase", "quote", 60)]
    signals = run(files).heard.signals
    assert {signal.reference.channel for signal in signals} == {"price:agg:BTC-USD"}


def test_where_two_venues_quote_there_is_no_signal_while_one_is_silent(tmp_path: Path) -> None:
    files = [
        _lean(tmp_path, "kraken", "trade", 60),
        _lean(tmp_path, "coinbase", "quote", 60),
        _lean(tmp_path, "kraken", "quote", 30),
    ]
    done = run(files)
    last_us = max(signal.computed_us for signal in done.heard.signals)
    assert last_us <= 1_763_596_800_000_000 + 30 * MINUTE_US
    assert done.heard.why_no_price["BTC-USD"] == "1 of at least 2 venues vote: kraken stale"
