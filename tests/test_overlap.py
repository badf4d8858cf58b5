"""Two sockets that say the same: whatever each says and when, all comes once and in order."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.market import Channel, Quote, Tick, Trade
from feeds.overlap import Overlap

BTC = Channel("trade", "toy", "BTC-USD")
ETH = Channel("trade", "toy", "ETH-USD")
QUOTES = Channel("quote", "toy", "BTC-USD")


def trades(numbers: Sequence[int], channel: Channel = BTC) -> list[Tick]:
    return [Tick(channel, Trade("1", "1", "buy", str(number))) for number in numbers]


def quote(bid: int, venue_us: int | None, received_us: int) -> Tick:
    return Tick(QUOTES, Quote(str(bid), "99", venue_us=venue_us, received_us=received_us))


def bids(ticks: Sequence[Tick]) -> list[int]:
    return [int(tick.payload.bid) for tick in ticks if isinstance(tick.payload, Quote)]


@given(
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(0, 30),
    st.lists(st.booleans(), max_size=60),
)
def test_what_the_old_one_did_not_say_comes_from_the_new_one_in_order(
    joined: int, old_until: int, new_until: int, turns: list[bool]
) -> None:
    """The new one joins at some trade; each is as far as it is when the old one goes."""
    overlap = Overlap(1_000)
    old = trades(range(old_until))
    new = trades(range(min(joined, old_until), new_until))
    passed: list[Tick] = []
    for is_old in [*turns, *([True] * 30), *([False] * 30)]:
        if is_old and old:
            passed.append(old[0])
            overlap.old_said([old.pop(0)])
        elif not is_old and new:
            overlap.new_said([new.pop(0)])
    passed += overlap.rest()
    assert passed == trades(range(max(old_until, new_until)))


def test_equal_ids_of_two_channels_are_two_trades() -> None:
    overlap = Overlap(100)
    overlap.old_said(trades([1, 2]))
    overlap.new_said([*trades([1, 2]), *trades([1, 2], ETH)])
    assert list(overlap.rest()) == trades([1, 2], ETH)


def test_a_trade_that_the_new_one_repeats_comes_once() -> None:
    overlap = Overlap(100)
    overlap.new_said([*trades([1, 2]), *trades([1, 2, 3])])
    assert list(overlap.rest()) == trades([1, 2, 3])


@pytest.mark.parametrize(
    ("old", "new", "rest"),
    [
        ([(1, 10), (2, 20)], [(1, 10), (2, 20), (3, 30)], [3]),
        ([(1, 10), (2, 20)], [(1, 10)], []),
        ([(2, 20)], [(3, 30), (4, 40)], [3, 4]),
        ([(1, 10)], [], []),
        ([], [(1, 10)], [1]),
    ],
)
def test_quotes_are_told_apart_by_their_venues_time(
    old: list[tuple[int, int]], new: list[tuple[int, int]], rest: list[int]
) -> None:
    overlap = Overlap(100)
    overlap.old_said([quote(bid, at, 1_000 + at) for bid, at in old])
    overlap.new_said([quote(bid, at, 2_000 + at) for bid, at in new])
    assert bids(overlap.rest()) == rest


def test_quotes_without_a_time_are_told_apart_by_what_they_say_and_when_they_came() -> None:
    overlap = Overlap(100)
    overlap.old_said([quote(1, None, 10), quote(2, None, 20), quote(1, None, 30)])
    overlap.new_said([quote(2, None, 25), quote(1, None, 35), quote(3, None, 40)])
    assert bids(overlap.rest()) == [3]
    silent = Overlap(100)
    silent.old_said([quote(5, None, 30)])
    silent.new_said([quote(1, None, 20), quote(2, None, 40)])
    assert bids(silent.rest()) == [2]


def test_it_says_when_it_holds_as_much_as_it_may() -> None:
    overlap = Overlap(3)
    overlap.old_said(trades(range(100)))
    assert not overlap.is_full
    overlap.new_said(trades(range(97, 100)))
    assert overlap.is_full
    assert not overlap.rest()
    assert not overlap.is_full
