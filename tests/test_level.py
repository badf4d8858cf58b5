"""Prices too far from those before to be believed."""

from hypothesis import given
from hypothesis import strategies as st

from feeds.watching.level import FAR, Level


def doubted(*prices: float) -> list[bool]:
    level = Level()
    return [level.doubts(price) for price in prices]


def test_a_price_far_from_the_last_ones_is_doubted_and_the_next_normal_one_is_not() -> None:
    assert doubted(100.0, 101.0, 1.0, 100.5, 1e9, 99.0) == [False, False, True, False, True, False]


def test_a_market_that_walks_is_followed() -> None:
    prices = [100 * 1.05**step for step in range(60)]
    assert not any(doubted(*prices, *reversed(prices)))


def test_a_crash_is_believed_from_the_fourth_price_on() -> None:
    assert doubted(100.0, 50.0, 51.0, 50.5, 50.6, 50.4) == [False, True, True, True, False, False]


def test_the_same_mistake_now_and_then_never_becomes_the_level() -> None:
    assert doubted(*[100.0, 999.0] * 50) == [False, True] * 50


def test_mistakes_that_do_not_agree_never_become_the_level() -> None:
    assert doubted(100.0, 1.0, 1e6, 1.0, 1e6, 1.0, 1e6, 100.0)[-1] is False


@given(st.floats(1e-12, 1e12), st.floats(-FAR * 0.99, FAR * 0.99))
def test_what_is_within_a_tenth_is_never_doubted(price: float, share: float) -> None:
    assert doubted(price, price * (1 + share)) == [False, False]


@given(st.lists(st.floats(1e-12, 1e12), max_size=50), st.floats(1e-12, 1e12))
def test_wherever_the_price_stays_it_is_believed_in_the_end(
    before: list[float], price: float
) -> None:
    assert doubted(*before, *[price] * 5)[-2:] == [False, False]
