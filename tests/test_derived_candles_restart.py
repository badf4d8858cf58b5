"""Candles after a restart: they go on where they were, or say that something may be missing."""

from collections.abc import Sequence

import msgspec
import pytest

from feeds.derived.candles import Candles
from feeds.market import Missing, Payload, Tick
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
    woken,
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
    assert 0 <= len(seconds) - 2 - 600 < 60


LATE_US = NOON_US + 55 * SECOND_US
"""Of a trade that comes when its second and its minute are final."""
CRASH_US = NOON_US + 65 * SECOND_US


def told_before_a_crash(*later: Tick, trades: int = 64) -> tuple[list[Tick], list[Tick]]:
    """What was told of a trade a second, and the trades: the late one was published, not more."""
    ticks = [trade(NOON_US + second * SECOND_US) for second in range(trades)]
    told = played(candles(), ticks, CRASH_US - 1)
    late = trade(LATE_US + 1, "107", "2", late_us=CRASH_US - LATE_US - 1)
    return told, [*ticks, late, *later]


def test_a_correction_that_a_crash_kept_back_is_told_after_the_restart() -> None:
    told, trades = told_before_a_crash()
    assert all(each.version == 1 for each in finals(told, "1s"))
    again = played(restarted(histories(told, trades), CRASH_US), [], CRASH_US + 5 * SECOND_US)
    for name, count in (("1s", 2), ("1m", 61)):
        [owed] = [each for each in finals(again, name) if each.correction]
        was = newest(told, name)[owed.start_us]
        assert (was.trades, owed.trades) == (count - 1, count)
        assert (owed.version, owed.high, owed.partial) == (2, "107", was.partial)
        assert owed.volume == str(count + 1)
    together = [each for each in finals(again, "1m", ("agg", "BTC-USD")) if each.correction]
    assert [(each.trades, each.version) for each in together] == [(61, 2)]


def test_a_correction_that_was_told_before_a_crash_is_not_told_again() -> None:
    told, trades = told_before_a_crash()
    one = restarted(histories(told, trades), CRASH_US)
    told += played(one, [], CRASH_US + 3 * SECOND_US)
    again = played(
        restarted(histories(told, trades), CRASH_US + 4 * SECOND_US), [], CRASH_US + 9 * SECOND_US
    )
    assert not [each for name in LENGTHS_US for each in finals(again, name) if each.correction]


def test_a_minute_whose_seconds_were_corrected_before_a_crash_is_corrected_after_it() -> None:
    told, trades = told_before_a_crash()
    one = restarted(histories(told, trades), CRASH_US)
    told += [
        tick
        for tick in played(one, [], CRASH_US + 3 * SECOND_US)
        if tick.channel.kind != "candle.1m"
    ]
    again = played(
        restarted(histories(told, trades), CRASH_US + 4 * SECOND_US), [], CRASH_US + 9 * SECOND_US
    )
    assert not [each for each in finals(again, "1s") if each.correction]
    [owed] = [each for each in finals(again, "1m") if each.correction]
    assert (owed.trades, owed.version) == (61, 2)


def test_what_can_not_be_added_up_any_more_is_told_to_be_partial() -> None:
    told, trades = told_before_a_crash()
    history = histories(told, trades)
    # Busy since: the stream has no trade any more from before the second that is owed one.
    history["trade:kraken:BTC-USD"] = history["trade:kraken:BTC-USD"][-9:]
    again = played(restarted(history, CRASH_US), [], CRASH_US + 5 * SECOND_US)
    for name in ("1s", "1m"):
        [owed] = [each for each in finals(again, name) if each.correction]
        was = newest(told, name)[owed.start_us]
        assert (owed.trades, owed.version, owed.partial) == (was.trades, 2, True)


def test_flat_seconds_stand_at_the_close_that_a_crash_kept_back() -> None:
    told, trades = told_before_a_crash(trades=56)
    one = restarted(histories(told, trades), CRASH_US)
    again = played(one, [], CRASH_US + 3 * SECOND_US)
    seconds = newest([*told, *again], "1s")
    after = [each for start_us, each in sorted(seconds.items()) if start_us > LATE_US]
    assert len(after) >= 7
    assert {each.close for each in after} == {"107"}


def test_trades_that_had_to_make_room_since_the_last_final_candle_are_told_to_be_missing() -> None:
    ticks = [trade(NOON_US + second * SECOND_US) for second in range(10)]
    told = played(candles(), ticks, NOON_US + 12 * SECOND_US)
    first = NOON_US + 13 * SECOND_US
    busy = [numbered(number, first + number) for number in range(1_200)]
    one = restarted(histories(told, [*ticks, *busy]), first + SECOND_US)
    told = played(one, [numbered(1_200, first + SECOND_US)], first + 5 * SECOND_US)
    second = newest(told, "1s")[first]
    assert (second.trades, second.partial) == (1_000, True)


def test_where_nobody_told_a_status_before_a_restart_trades_may_be_missing() -> None:
    ticks = [trade(NOON_US + second * SECOND_US) for second in (1, 2, 3, 20, 21, 22)]
    told = played(candles(), ticks[:1], NOON_US + 3 * SECOND_US)
    history = histories(told, ticks)
    # One process ended at 4 s and another began at 20 s: its statuses are there as well.
    history["status:kraken:VENUE"] = [
        status("live", NOON_US + second * SECOND_US).payload for second in (1, 2, 3, 4, 20, 21, 22)
    ]
    again = played(restarted(history, NOON_US + 22 * SECOND_US), [], NOON_US + 26 * SECOND_US)
    partial = {(one.start_us - NOON_US) // SECOND_US: one.partial for one in finals(again, "1s")}
    assert all(partial[second] for second in range(4, 21))
    assert not any(partial[second] for second in (2, 3, 21, 22))


def test_what_is_found_missing_after_it_was_told_final_is_told_again_as_partial() -> None:
    one = candles()
    told = played(one, [trade(NOON_US + second * SECOND_US) for second in range(10)])
    told += woken(one, NOON_US + 15 * SECOND_US)
    assert not any(each.partial for each in finals(told, "1s"))
    next_one = trade(NOON_US + 15 * SECOND_US)
    hole = msgspec.structs.replace(next_one, missing=Missing("venue", 3))
    again = one.take([hole], NOON_US + 15 * SECOND_US)
    assert [
        ((each.start_us - NOON_US) // SECOND_US, each.version, each.correction, each.partial)
        for each in finals(again, "1s")
    ] == [(second, 2, True, True) for second in (9, 10, 11, 12)]
    assert finals(woken(one, NOON_US + 70 * SECOND_US), "1m")[0].partial


def test_a_venue_that_is_told_to_be_away_since_a_while_was_missed_since_then() -> None:
    one = candles()
    told = played(one, [trade(NOON_US + second * SECOND_US) for second in range(10)])
    told += woken(one, NOON_US + 15 * SECOND_US)
    away = status("stale", NOON_US + 8 * SECOND_US)
    again = one.take([away], NOON_US + 15 * SECOND_US)
    starts = [(each.start_us - NOON_US) // SECOND_US for each in finals(again, "1s")]
    assert starts == [9, 10, 11, 12]
    assert all(each.partial and each.correction for each in finals(again, "1s"))


def numbered(number: int, at_us: int) -> Tick:
    tick = trade(at_us)
    return msgspec.structs.replace(
        tick, payload=msgspec.structs.replace(tick.payload, id=str(number))
    )
