"""Candles: exact, final once, and corrected in the open."""

from fractions import Fraction
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.derived.candles import CANDLES
from feeds.derived.intervals import INTERVALS
from feeds.market import Candle, Channel, Missing, Side, Tick, Trade
from tests.candle_market import (
    DAY_US,
    LATENESS_US,
    LENGTHS_US,
    MARKET,
    NOON_US,
    SECOND_US,
    candles,
    exact,
    finals,
    naive,
    newest,
    of,
    played,
    status,
    trade,
    woken,
)


def test_a_candle_says_what_its_trades_come_to() -> None:
    ticks = [
        trade(NOON_US + 1, "100.10", "0.50", "buy"),
        trade(NOON_US + 2, "100.30", "0.25", "sell"),
        trade(NOON_US + 3, "100.00", "0.25", "buy"),
    ]
    (told, *_) = finals(played(candles(), ticks, NOON_US + 4 * SECOND_US), "1s")
    assert told == Candle(
        NOON_US, "100.10", "100.30", "100.00", "100.00", "1", "100.125", "100.125", "0.75", 3,
        final=True, venue_us=NOON_US + 3, received_us=NOON_US + 3,
    )  # fmt: skip
    assert msgspec.json.decode(msgspec.json.encode(told), type=Candle) == told
    assert msgspec.json.decode(msgspec.json.encode(told))["n"] == 3


def test_a_second_is_final_once_the_venues_clock_has_passed_it_by_the_lateness() -> None:
    one = candles()
    told = one.take([trade(NOON_US)], NOON_US)
    assert one.take([trade(NOON_US + SECOND_US + LATENESS_US - 1)], NOON_US + 1) == []
    assert finals(told, "1s") == []
    at_us = NOON_US + SECOND_US + LATENESS_US
    assert len(finals(one.take([trade(at_us)], at_us), "1s")) == 1


def test_a_venues_clock_runs_on_while_it_says_nothing() -> None:
    # Its stamps are half a second behind our clock.
    one = candles()
    one.take([trade(NOON_US, late_us=500_000)], NOON_US + 500_000)
    assert finals(woken(one, NOON_US + SECOND_US + LATENESS_US + 499_999), "1s") == []
    assert len(finals(woken(one, NOON_US + SECOND_US + LATENESS_US + 500_000), "1s")) == 1


def test_one_stamp_from_the_future_does_not_end_everything() -> None:
    one = candles()
    one.take([trade(NOON_US)], NOON_US)
    wrong = Trade("100", "1", "buy", "2", NOON_US + DAY_US, NOON_US + 1)
    assert finals(one.take([Tick(Channel("trade", *MARKET), wrong)], NOON_US + 1), "1s") == []


def test_intervals_without_a_trade_are_flat_and_final_too() -> None:
    told = played(candles(), [trade(NOON_US, "100.50")], NOON_US + 183 * SECOND_US)
    assert [each.start_us for each in finals(told, "1s")] == [
        NOON_US + second * SECOND_US for second in range(180 + 1)
    ][: len(finals(told, "1s"))]
    first, second, third = finals(told, "1m")
    assert (first.trades, second.trades, third.trades) == (1, 0, 0)
    assert (second.open, second.high, second.low, second.close) == ("100.50",) * 4
    assert (second.volume, second.quote_volume, second.vwap) == ("0", "0", "100.50")
    assert not second.partial


def test_the_open_is_the_first_trade_and_not_the_close_before() -> None:
    ticks = [trade(NOON_US, "100"), trade(NOON_US + 90 * SECOND_US, "110")]
    told = played(candles(), ticks, NOON_US + 123 * SECOND_US)
    _, second = finals(told, "1m")
    assert (second.open, second.low) == ("110", "110")


def test_a_trade_within_the_lateness_takes_its_place() -> None:
    ticks = [
        trade(NOON_US + 500_000, "101"),
        trade(NOON_US + SECOND_US, "102"),
        trade(NOON_US + 1, "100", late_us=SECOND_US),
    ]
    told = played(candles(), ticks, NOON_US + 4 * SECOND_US)
    first = finals(told, "1s")[0]
    assert (first.open, first.close, first.trades, first.version) == ("100", "101", 2, 1)


def test_a_later_trade_makes_a_correction_of_all_it_is_part_of() -> None:
    one = candles()
    played(one, [trade(NOON_US, "100")], NOON_US + 63 * SECOND_US)
    late = trade(NOON_US + 59 * SECOND_US, "90", late_us=5 * SECOND_US)
    told = one.take([late], NOON_US + 64 * SECOND_US)
    for interval in ("1s", "1m"):
        correction = of(told, interval)[0]
        assert (correction.final, correction.correction, correction.version) == (True, True, 2)
        assert (correction.low, correction.close) == ("90", "90")
    assert of(told, "5m") == []
    (running,) = of(woken(one, NOON_US + 66 * SECOND_US), "5m")[-1:]
    assert (running.trades, running.low, running.final) == (2, "90", False)


def test_flat_candles_after_a_correction_stand_at_the_new_close() -> None:
    one = candles()
    played(one, [trade(NOON_US, "100")], NOON_US + 8 * SECOND_US)
    told = one.take([trade(NOON_US + 1, "90", late_us=8 * SECOND_US)], NOON_US + 8 * SECOND_US + 1)
    corrected = finals(told, "1s")
    assert [each.close for each in corrected] == ["90"] * 6
    assert [each.version for each in corrected] == [2] * 6


def test_a_trade_too_late_for_a_correction_changes_nothing_and_is_counted() -> None:
    one = candles(correctable_s=2)
    played(one, [trade(NOON_US, "100")], NOON_US + 10 * SECOND_US)
    told = one.take([trade(NOON_US, "90", late_us=10 * SECOND_US)], NOON_US + 10 * SECOND_US)
    assert finals(told, "1s") == []
    assert one.too_late == 2  # of the venue's, and of all venues'


def test_what_was_not_heard_from_its_beginning_is_partial() -> None:
    one = candles(NOON_US + 30 * SECOND_US)
    told = played(one, [trade(NOON_US + 40 * SECOND_US)], NOON_US + 130 * SECOND_US)
    assert [each.partial for each in finals(told, "1m")] == [True, False]
    assert not any(each.partial for each in finals(told, "1s"))


def test_what_the_venue_was_away_in_is_partial() -> None:
    at_us = NOON_US + 70 * SECOND_US
    ticks = [trade(NOON_US), status("stale", at_us), status("live", at_us + SECOND_US // 2)]
    told = played(candles(), [*ticks, trade(at_us + SECOND_US)], NOON_US + 300 * SECOND_US)
    assert [each.partial for each in finals(told, "1m")] == [False, True, False, False]
    partial = [each.start_us for each in finals(told, "1s") if each.partial]
    assert partial == [at_us]


def test_a_gap_that_the_feed_announces_makes_partial() -> None:
    late = trade(NOON_US + 3 * SECOND_US)
    gap = msgspec.structs.replace(late, missing=Missing("venue", 3))
    told = played(candles(), [trade(NOON_US + SECOND_US), gap], NOON_US + 9 * SECOND_US)
    assert [each.partial for each in finals(told, "1s")] == [True] * 3 + [False] * 3


def test_a_candle_is_told_while_it_runs_at_its_rate() -> None:
    ticks = [trade(NOON_US + ms * 1_000, str(ms + 1)) for ms in range(0, 3_000, 10)]
    told = played(candles(), ticks, NOON_US + 3 * SECOND_US)
    running = [each for each in of(told, "1m") if not each.final]
    assert [each.close for each in running] == ["991", "1991", "2991"]
    assert [each.trades for each in running] == [100, 200, 300]
    assert len([each for each in of(told, "1s") if not each.final]) == 12


def test_all_live_venues_together_wait_for_the_slowest() -> None:
    one = candles()
    one.take([status("live", NOON_US, "slow")], NOON_US)
    slow = ("slow", "BTC-USD")
    ticks = [
        trade(NOON_US, "100"),
        trade(NOON_US + 1, "102", late_us=1_500_000, market=slow),
        trade(NOON_US + 2, "101", late_us=1_500_000),
    ]
    told = played(one, ticks, NOON_US + SECOND_US + LATENESS_US + 1_499_998)
    assert len(finals(told, "1s")) >= 1
    assert finals(told, "1s", ("agg", "BTC-USD")) == []
    told = woken(one, NOON_US + SECOND_US + LATENESS_US + 1_500_000)
    (first,) = finals(told, "1s", ("agg", "BTC-USD"))
    assert (first.open, first.high, first.close, first.trades) == ("100", "102", "101", 3)


@pytest.mark.parametrize(
    "market", [("sim", "BTC-USD"), ("kraken", "BTC-USDT"), ("replay", "BTC-USD")]
)
def test_neither_other_currencies_nor_generated_trades_enter(market: tuple[str, str]) -> None:
    ticks = [trade(NOON_US, "100"), trade(NOON_US + 1, "1", market=market)]
    told = played(candles(), ticks, NOON_US + 5 * SECOND_US)
    first = finals(told, "1s", ("agg", "BTC-USD"))[0]
    assert (first.trades, first.low) == (1, "100")
    assert finals(told, "1s", market)[0].low == "1"


prices = st.integers(1, 10**6).map(lambda number: f"{number // 100}.{number % 100:02}")
sizes = st.integers(1, 10**9).map(lambda number: f"{number / 10**8:.8f}")
steps = st.one_of(st.just(0), st.integers(0, SECOND_US), st.integers(0, 40 * SECOND_US))
markets = st.lists(
    st.tuples(steps, prices, sizes, st.sampled_from(["buy", "sell"]), st.integers(0, 20)),
    min_size=1,
    max_size=15,
)


@settings(max_examples=40)
@given(rows=markets)
def test_whatever_the_trades_each_interval_is_final_once_and_exact(
    rows: list[tuple[int, str, str, Side, int]],
) -> None:
    at_us, ticks = NOON_US, []
    for step_us, price, size, side, late_s in rows:
        at_us += step_us + 1
        ticks.append(trade(at_us, price, size, side, late_us=late_s * SECOND_US))
    received = sorted(ticks, key=lambda tick: tick.payload.received_us or 0)
    one = candles(flat_max=10**6)
    told = played(one, received, at_us + 330 * SECOND_US)
    for name, length_us in LENGTHS_US.items():
        once = [each.start_us for each in finals(told, name) if each.version == 1]
        assert len(once) == len(set(once))
        if once:
            assert once == list(range(once[0], once[-1] + 1, length_us))
        expected = {at: cell for at, cell in naive(ticks, length_us).items() if at in once}
        last = newest(told, name)
        if one.too_late == 0:
            assert {at: exact(last[at]) for at in expected} == expected
            assert all(each.trades == 0 for at, each in last.items() if at not in expected)


@settings(max_examples=40)
@given(rows=markets)
def test_longer_candles_agree_with_the_shorter_ones_they_are_made_of(
    rows: list[tuple[int, str, str, Side, int]],
) -> None:
    at_us, ticks = NOON_US, []
    for step_us, price, size, side, late_s in rows:
        at_us += step_us + 1
        ticks.append(trade(at_us, price, size, side, late_us=late_s * SECOND_US))
    received = sorted(ticks, key=lambda tick: tick.payload.received_us or 0)
    told = played(candles(flat_max=10**6), received, at_us + 330 * SECOND_US)
    last = {name: newest(told, name) for name in LENGTHS_US}
    for shorter, longer in pairwise(INTERVALS):
        for start_us, whole in last[longer.name].items():
            ends_us = start_us + longer.length_us
            parts = [
                last[shorter.name][at]
                for at in range(start_us, ends_us, shorter.length_us)
                if at in last[shorter.name]
            ]
            traded = [part for part in parts if part.trades] or parts[-1:]
            assert whole.open == traded[0].open
            assert whole.close == traded[-1].close
            assert Fraction(whole.high) == max(Fraction(part.high) for part in traded)
            assert Fraction(whole.low) == min(Fraction(part.low) for part in traded)
            assert Fraction(whole.volume) == sum(Fraction(part.volume) for part in parts)
            quoted = sum(Fraction(part.quote_volume) for part in parts)
            assert Fraction(whole.quote_volume) == quoted
            assert whole.trades == sum(part.trades for part in parts)


def test_a_doubtful_trade_is_in_its_venues_candles_and_not_in_those_of_all() -> None:
    doubted = Trade("9", "1", "buy", "2", NOON_US + 1, NOON_US + 1, suspect=True)
    ticks = [trade(NOON_US), Tick(Channel("trade", *MARKET), doubted)]
    told = played(candles(), ticks, NOON_US + 5 * SECOND_US)
    assert finals(told, "1s")[0].low == "9"
    assert finals(told, "1s", ("agg", "BTC-USD"))[0].low == "100"


def test_its_row_says_what_it_reads() -> None:
    assert CANDLES.reads == {"trade", "status"}
