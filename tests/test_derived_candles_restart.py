"""Candles after a restart: they go on where they were, or say that something may be missing."""

from collections.abc import Sequence

import msgspec
import pytest

from feeds.derived.candles import Candles
from feeds.market import Payload, Tick
from tests.candle_market import (
    LENGTHS_US,
    NOON_US,
    SECOND_US,
    candles,
    finals,
    newest,
    played,
    status,
    trade,
)


def histories(told: Sequence[Tick], trades: Sequence[Tick]) -> dict[str, list[Payload]]:
    """As they stand in Redis."""
    kept: dict[str, list[Payload]] = {}
    for tick in [*told, *trades]:
        kept.setdefault(tick.channel.name, []).append(tick.payload)
    return {name: payloads[-1_000:] for name, payloads in kept.items()}


def restarted(history: dict[str, list[Payload]], now_us: int) -> Candles:
    one = candles(None)
    one.restore(history, now_us)
    return one


@pytest.mark.parametrize("at_s", [17.4, 60.0, 1_200.5])
def test_a_restart_in_mid_interval_goes_on_where_it_was(at_s: float) -> None:
    start_us = NOON_US - 1_200 * SECOND_US
    ticks = [
        trade(start_us + 1 + number * 1_400_000, f"{100 + number % 17}.5", "0.1")
        for number in range(900)
    ]
    cut_us = start_us + int(at_s * SECOND_US)
    before = [tick for tick in ticks if (tick.payload.received_us or 0) < cut_us]
    after = [tick for tick in ticks if (tick.payload.received_us or 0) >= cut_us]
    whole = played(candles(start_us), ticks, start_us + 1_265 * SECOND_US)
    told = played(candles(start_us), before, cut_us)
    live = status("live", cut_us)
    history = {**histories(told, before), live.channel.name: [live.payload]}
    told += played(restarted(history, cut_us), after, start_us + 1_265 * SECOND_US)
    for name in LENGTHS_US:
        assert newest(told, name) == newest(whole, name)


def test_what_was_missed_while_nobody_listened_is_partial() -> None:
    ticks = [trade(NOON_US + second * SECOND_US) for second in range(90)]
    told = played(candles(), ticks, NOON_US + 90 * SECOND_US)
    away_us = NOON_US + 100 * SECOND_US
    one = restarted(histories(told, ticks), away_us)
    told += played(one, [trade(away_us)], NOON_US + 200 * SECOND_US)
    assert [each.partial for each in finals(told, "1m")] == [False, True, False]
    assert newest(told, "1m")[NOON_US + 60 * SECOND_US].trades == 31


def test_a_restart_without_any_history_begins_anew_and_says_so() -> None:
    one = restarted({}, NOON_US + 30 * SECOND_US)
    told = played(one, [trade(NOON_US + 30 * SECOND_US)], NOON_US + 64 * SECOND_US)
    assert finals(told, "1m")[0].partial


def test_a_restart_that_finds_only_a_part_of_the_smaller_ones_says_so() -> None:
    ticks = [trade(NOON_US + second * SECOND_US) for second in range(40)]
    told = played(candles(), ticks, NOON_US + 40 * SECOND_US)
    history = histories(told, ticks)
    history["candle.1s:kraken:BTC-USD"] = history["candle.1s:kraken:BTC-USD"][-20:]
    one = restarted(history, NOON_US + 40 * SECOND_US)
    told = played(one, [trade(NOON_US + 40 * SECOND_US)], NOON_US + 64 * SECOND_US)
    assert finals(told, "1m")[0].partial


def test_an_end_that_was_reached_and_not_told_is_told_once_after_the_restart() -> None:
    ticks = [trade(NOON_US + second * SECOND_US) for second in range(62)]
    told = played(candles(), ticks, NOON_US + 62 * SECOND_US + 1)
    assert [each.start_us for each in finals(told, "1m")] == [NOON_US]
    history = histories(told, ticks)
    before = [payload for payload in history["candle.1m:kraken:BTC-USD"] if not payload.final]
    history["candle.1m:kraken:BTC-USD"] = before
    cut_us = NOON_US + 63 * SECOND_US
    again = played(restarted(history, cut_us), [trade(cut_us)], NOON_US + 70 * SECOND_US)
    [owed] = finals(again, "1m")
    assert owed == finals(told, "1m")[0]


def test_a_trade_that_is_the_next_one_by_its_number_shows_that_none_was_missed() -> None:
    ticks = [numbered(second, NOON_US + second * SECOND_US) for second in range(30)]
    told = played(candles(), ticks, NOON_US + 30 * SECOND_US)
    back_us = NOON_US + 40 * SECOND_US
    one = restarted(histories(told, ticks), back_us)
    told += played(one, [numbered(30, back_us)], NOON_US + 70 * SECOND_US)
    [minute] = finals(told, "1m")
    assert (minute.trades, minute.partial) == (31, False)


def test_a_number_that_skips_some_shows_nothing() -> None:
    ticks = [numbered(second, NOON_US + second * SECOND_US) for second in range(30)]
    told = played(candles(), ticks, NOON_US + 30 * SECOND_US)
    back_us = NOON_US + 40 * SECOND_US
    one = restarted(histories(told, ticks), back_us)
    told += played(one, [numbered(32, back_us)], NOON_US + 70 * SECOND_US)
    assert finals(told, "1m")[0].partial


def test_a_venue_is_not_heard_before_it_is_live() -> None:
    one = candles(None)
    told = one.take([status("waiting", NOON_US)], NOON_US)
    live_us = NOON_US + SECOND_US // 2
    told += one.take([status("live", live_us)], live_us)
    told += played(one, [trade(live_us + 1)], NOON_US + 4 * SECOND_US)
    assert finals(told, "1s")[0].partial


def test_a_long_pause_after_the_last_trades_is_not_told_second_by_second() -> None:
    one = candles()
    told = one.take([trade(NOON_US), trade(NOON_US + SECOND_US)], NOON_US + SECOND_US)
    told += one.take([status("stale", NOON_US + 10**15)], NOON_US + 10**15)
    seconds = finals(told, "1s")
    assert [each.trades for each in seconds[:3]] == [1, 1, 0]
    assert len(seconds) == 2 + 600


def numbered(number: int, at_us: int) -> Tick:
    tick = trade(at_us)
    return msgspec.structs.replace(
        tick, payload=msgspec.structs.replace(tick.payload, id=str(number))
    )
