"""After a pause no interval of a minute and longer lacks its final candle; seconds may."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from feeds.derived.signals import Signals
from feeds.derived.voices import candle_end_us
from feeds.market import Tick
from tests import model_market
from tests.candle_market import (
    DAY_US,
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

LONGER = [name for name in LENGTHS_US if name != "1s"]


def told_over_a_pause(from_s: int, pause_s: int, flat_max: int = 600) -> list[Tick]:
    """The venue is away for so long."""
    one = candles(flat_max=flat_max)
    began_us = NOON_US + from_s * SECOND_US
    again_us = began_us + pause_s * SECOND_US
    told = played(one, [trade(began_us, "99"), trade(began_us + 1, "100")], began_us + 1)
    told += one.take([status("stale", began_us + 2)], began_us + 2)
    told += one.take([status("live", again_us)], again_us)
    return told + played(one, [trade(again_us + 1, "101")], again_us + 400 * SECOND_US)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 4_000), st.integers(5, 12_000), st.integers(1, 700))
def test_seconds_are_left_out_and_nothing_else_changes(
    from_s: int, pause_s: int, flat_max: int
) -> None:
    whole = told_over_a_pause(from_s, pause_s, 10**6)
    told = told_over_a_pause(from_s, pause_s, flat_max)
    for name in LONGER:
        assert finals(told, name) == finals(whole, name)
    seconds = newest(told, "1s")
    assert seconds.items() <= newest(whole, "1s").items()


def test_after_forty_five_minutes_of_outage_each_minute_is_told_and_is_partial() -> None:
    told = told_over_a_pause(0, 45 * 60)
    minutes = finals(told, "1m")
    assert [one.start_us for one in minutes] == [
        NOON_US + number * 60 * SECOND_US for number in range(51)
    ]
    assert [one.partial for one in minutes] == [True] * 46 + [False] * 5
    assert {(one.trades, one.close) for one in minutes[1:45]} == {(0, "100")}
    assert [one.partial for one in finals(told, "15m")] == [True] * 3


def test_what_nobody_looked_at_is_partial_though_no_venue_was_away() -> None:
    one, again_us = candles(), NOON_US + 45 * 60 * SECOND_US
    told = one.take([trade(NOON_US)], NOON_US)
    told += one.take([trade(again_us)], again_us)
    minutes = finals(told + played(one, [], again_us + 63 * SECOND_US), "1m")
    assert [one.partial for one in minutes] == [True] * 34 + [False] * 12


def test_of_a_pause_of_days_minutes_are_left_out_and_hours_are_not() -> None:
    told = told_over_a_pause(0, 3 * 86_400)
    assert len(finals(told, "1m")) < 1_200
    for name in ("15m", "1h", "4h"):
        starts = [one.start_us for one in finals(told, name)]
        assert {later - one for one, later in pairwise(starts)} == {LENGTHS_US[name]}
        assert starts[-1] + 2 * LENGTHS_US[name] > NOON_US + 3 * DAY_US


def test_minutes_of_which_nobody_heard_anything_are_missing_to_the_models() -> None:
    up = model_market.market([model_market.Shape(0.0005, 5.0, 0.6)] * 150)
    chosen = model_market.settings("trend", outage_max=5)
    gap, filled = Signals(chosen), Signals(chosen)
    unheard = [replace(each, trades=0, partial=True) for each in up[40:70]]
    told = model_market.hear(gap, up[:40] + up[70:])
    assert [candle_end_us(each.id) for each in told] != []
    assert model_market.hear(filled, up[:40] + unheard + up[70:]) == told
