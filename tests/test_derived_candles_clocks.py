"""Candles of all venues together, where one of them is late, quiet, or has another time."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.derived.candles import Candles
from feeds.market import Candle, Tick
from tests.candle_market import (
    LATENESS_US,
    LENGTHS_US,
    NOON_US,
    SECOND_US,
    candles,
    exact,
    finals,
    naive,
    played,
    status,
    trade,
    woken,
)

MINUTE_US = 60 * SECOND_US
BEHIND_MAX_US = 5 * SECOND_US
TOGETHER = ("agg", "BTC-USD")
SLOW = ("slow", "BTC-USD")
QUIET = ("slow", "XYZ-USD")


def heard_at(at_us: int, received_us: int, market: tuple[str, str], price: str = "100") -> Tick:
    return trade(at_us, price, late_us=received_us - at_us, market=market)


def minute_of_trades(*lagging: tuple[tuple[str, str], int], seconds: int = 90) -> list[Tick]:
    """One a second of a venue that is in time, and of markets that are so many behind."""
    ticks = []
    for number in range(seconds):
        now_us = NOON_US + number * SECOND_US
        ticks.append(trade(now_us))
        ticks += [
            heard_at(now_us - lag_s * SECOND_US, now_us, market, "101") for market, lag_s in lagging
        ]
    return ticks


def both_live() -> Candles:
    one = candles()
    one.take([status("live", NOON_US, "slow")], NOON_US)
    return one


def told_at_us(one: Candles, ticks: list[Tick]) -> tuple[list[Tick], dict[int, int]]:
    """And when each second of all venues together was told final first."""
    told: list[Tick] = []
    at_us: dict[int, int] = {}
    for tick in ticks:
        received_us = tick.payload.received_us
        assert received_us is not None
        while (due_us := one.next_us()) is not None and due_us <= received_us:
            some = one.wake(due_us)
            told += some
            at_us |= {each.start_us: due_us for each in firsts(some)}
        some = one.take([tick], received_us)
        told += some
        at_us |= {each.start_us: received_us for each in firsts(some)}
    return told, at_us


def firsts(told: list[Tick]) -> list[Candle]:
    return [each for each in finals(told, "1s", TOGETHER) if not each.correction]


@pytest.mark.parametrize("age_s", [1, 6, 600, 3_600])
def test_the_first_trade_of_a_quiet_pair_may_be_old_and_holds_nobody_up(age_s: int) -> None:
    one = both_live()
    before = heard_at(NOON_US - age_s * SECOND_US, NOON_US, QUIET)
    told = played(one, [before, *minute_of_trades()], NOON_US + 120 * SECOND_US)
    assert [each.start_us for each in finals(told, "1m", TOGETHER)] == [NOON_US]
    assert finals(told, "1m", TOGETHER)[0].trades == 60
    assert NOON_US in newest_of(told, "1m", QUIET)
    assert NOON_US in newest_of(told, "1m", ("agg", QUIET[1]))


def newest_of(told: list[Tick], interval: str, market: tuple[str, str]) -> dict[int, Candle]:
    return {each.start_us: each for each in finals(told, interval, market)}


def test_what_is_heard_first_after_a_venue_was_away_does_not_set_its_clock_back() -> None:
    one = both_live()
    played(one, [heard_at(NOON_US, NOON_US, QUIET)])
    back_us = NOON_US + 200 * SECOND_US
    one.take([status("stale", NOON_US + SECOND_US, "slow")], NOON_US + SECOND_US)
    one.take([status("live", back_us, "slow")], back_us)
    told = played(
        one, [heard_at(back_us - 50 * SECOND_US, back_us, QUIET)], back_us + 9 * SECOND_US
    )
    assert max(newest_of(told, "1s", QUIET)) >= back_us


def test_a_venue_that_is_behind_is_waited_for_no_longer_than_is_set() -> None:
    _, at_us = told_at_us(both_live(), minute_of_trades((SLOW, 120)))
    delays_us = {at - start_us - SECOND_US for start_us, at in at_us.items() if start_us > NOON_US}
    assert len(at_us) > 70
    assert delays_us == {BEHIND_MAX_US + LATENESS_US}


def test_who_is_too_far_behind_to_correct_what_was_told_makes_it_partial() -> None:
    told = played(both_live(), minute_of_trades((SLOW, 120)), NOON_US + 75 * SECOND_US)
    [minute] = [each for each in finals(told, "1m", TOGETHER) if not each.correction]
    assert (minute.trades, minute.partial) == (60, True)


def test_what_comes_later_than_is_waited_for_corrects_what_was_told() -> None:
    told = played(both_live(), minute_of_trades((SLOW, 12)), NOON_US + 150 * SECOND_US)
    second = NOON_US + 30 * SECOND_US
    first, *_, last = [each for each in finals(told, "1s", TOGETHER) if each.start_us == second]
    assert (first.trades, first.version, first.correction) == (1, 1, False)
    assert (last.trades, last.version, last.correction) == (2, 2, True)
    assert not last.partial
    assert last.high == "101"
    assert newest_of(told, "1m", TOGETHER)[NOON_US].trades == 120


def test_a_venue_alone_is_waited_for_however_far_it_is_behind() -> None:
    ticks = minute_of_trades((QUIET, 120), seconds=200)
    told = played(both_live(), ticks, NOON_US + 330 * SECOND_US)
    its = newest_of(told, "1m", QUIET)
    assert its == newest_of(told, "1m", ("agg", QUIET[1]))
    assert (its[NOON_US].trades, its[NOON_US].version) == (60, 1)


def test_where_all_stamps_are_off_it_is_our_clock_and_all_are_waited_for() -> None:
    one = both_live()
    ticks = [heard_at(NOON_US - 9 * SECOND_US, NOON_US, SLOW)]
    for number in range(90):
        at_us = NOON_US + number * SECOND_US
        ticks += [heard_at(at_us, at_us + 9 * SECOND_US, ("kraken", "BTC-USD"))]
        ticks += [heard_at(at_us + 1, at_us + 9 * SECOND_US + 1, SLOW)]
    told = played(one, ticks, NOON_US + 110 * SECOND_US)
    minute = newest_of(told, "1m", TOGETHER)[NOON_US]
    assert (minute.trades, minute.version) == (120, 1)


def test_only_venues_that_trade_the_pair_are_waited_for() -> None:
    _, at_us = told_at_us(both_live(), minute_of_trades((QUIET, 4)))
    assert {at - start_us - SECOND_US for start_us, at in at_us.items()} == {LATENESS_US}


def test_one_more_venue_that_trades_a_pair_changes_nothing_of_what_was_final() -> None:
    ticks = minute_of_trades(seconds=30)
    for second in range(20, 60):
        at_us = NOON_US + second * SECOND_US
        ticks.append(trade(at_us, "102", late_us=3 * SECOND_US, market=SLOW))
    received = sorted(ticks, key=lambda tick: tick.payload.received_us or 0)
    told = played(both_live(), received, NOON_US + 90 * SECOND_US)
    starts = [each.start_us for each in firsts(told)]
    assert starts == list(range(NOON_US, starts[-1] + 1, SECOND_US))
    assert newest_of(told, "1m", TOGETHER)[NOON_US].trades == 30 + 40


def test_a_trade_too_late_to_correct_its_second_makes_what_it_is_part_of_partial() -> None:
    one = candles(correctable_s=2)
    ticks = [trade(NOON_US + second * SECOND_US) for second in range(20)]
    told = played(one, ticks, NOON_US + 30 * SECOND_US)
    told += one.take([trade(NOON_US + 9, late_us=30 * SECOND_US - 9)], NOON_US + 30 * SECOND_US)
    told += woken(one, NOON_US + 80 * SECOND_US)
    [minute] = finals(told, "1m", TOGETHER)
    assert (minute.trades, minute.partial) == (20, True)
    assert one.too_late == 2


VENUES = ("kraken", "slow", "third")
SYMBOLS = ("BTC-USD", "ETH-USD")
PRICES = st.integers(1, 10**6).map(lambda number: f"{number // 100}.{number % 100:02}")
ROWS = st.lists(
    st.tuples(
        st.integers(0, 3 * SECOND_US),
        st.sampled_from(VENUES),
        st.sampled_from(SYMBOLS),
        PRICES,
        st.integers(0, 9 * SECOND_US),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=30, deadline=None)
@given(rows=ROWS, lag_us=st.integers(0, 25 * SECOND_US))
def test_whoever_is_late_each_second_is_final_once_and_complete_in_the_end(
    rows: list[tuple[int, str, str, str, int]], lag_us: int
) -> None:
    one = candles()
    for venue in VENUES[1:]:
        one.take([status("live", NOON_US, venue)], NOON_US)
    at_us, ticks = NOON_US, []
    for step_us, venue, symbol, price, late_us in rows:
        at_us += step_us + 1
        behind_us = lag_us if venue == "slow" else 0
        ticks.append(trade(at_us, price, late_us=late_us + behind_us, market=(venue, symbol)))
    received = sorted(ticks, key=lambda tick: tick.payload.received_us or 0)
    told = played(one, received, at_us + 100 * SECOND_US)
    for symbol in SYMBOLS:
        market = ("agg", symbol)
        for interval, length_us in LENGTHS_US.items():
            once = Counter(
                each.start_us for each in finals(told, interval, market) if not each.correction
            )
            assert set(once.values()) <= {1}
            last = newest_of(told, interval, market)
            its = [tick for tick in ticks if tick.channel.symbol == symbol]
            expected = naive(its, length_us)
            if one.too_late == 0:
                assert {at: exact(last[at]) for at in expected if at in last} == {
                    at: cell for at, cell in expected.items() if at in last
                }
