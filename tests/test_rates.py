"""Rates: the ends of the clock's intervals, and what may be had at which rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.market import KINDS, Moment
from gateway.fanout.rates import ALL, LATEST, RATES, Wheel, served

INTERVALS_US = {
    "50ms": 50_000,
    "100ms": 100_000,
    "200ms": 200_000,
    "500ms": 500_000,
    "1s": 1_000_000,
    "2s": 2_000_000,
    "5s": 5_000_000,
}


@pytest.mark.parametrize("rate", INTERVALS_US)
@given(utc_us=st.integers(0, 2**52), monotonic_s=st.floats(0, 1e6))
def test_a_rate_is_due_at_the_end_of_the_clocks_interval(
    rate: str, utc_us: int, monotonic_s: float
) -> None:
    wheel, interval_us = Wheel(), INTERVALS_US[rate]
    assert wheel.wind([rate], Moment(utc_us, monotonic_s))
    due_s = wheel.next_s()
    assert due_s is not None
    end_us = utc_us + (due_s - monotonic_s) * 1e6
    assert 0 < end_us - utc_us <= interval_us + 1
    off_us = end_us % interval_us
    assert min(off_us, interval_us - off_us) < 2


def test_what_is_due_is_taken_once() -> None:
    wheel = Wheel()
    wheel.wind(["100ms", "1s"], Moment(950_000, 10.0))
    assert wheel.take_due(10.04) == []
    assert sorted(wheel.take_due(10.06)) == ["100ms", "1s"]
    assert wheel.take_due(99.0) == []
    assert wheel.next_s() is None


def test_a_wound_rate_keeps_its_time_when_the_clock_of_the_world_is_set() -> None:
    wheel = Wheel()
    wheel.wind(["1s"], Moment(900_000, 10.0))
    assert not wheel.wind(["1s"], Moment(0, 10.05))
    assert wheel.take_due(10.11) == ["1s"]


def test_the_latest_waits_for_no_clock() -> None:
    assert not Wheel().wind([LATEST], Moment(0, 0.0))


@pytest.mark.parametrize("kind", ["candle", "signal"])
def test_what_is_never_conflated_comes_whole_at_every_rate(kind: str) -> None:
    assert {served(KINDS[kind], rate) for rate in RATES} == {ALL}


@pytest.mark.parametrize("rate", RATES)
def test_a_quote_comes_at_the_rate_that_was_asked_for(rate: str) -> None:
    assert served(KINDS["quote"], rate) == rate
