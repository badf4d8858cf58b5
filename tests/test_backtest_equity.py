"""What following signals makes of 1: by hand, and against the plainest reckoning."""

import pytest

from feeds.backtest.drive import Mark
from feeds.backtest.equity import Equity, equity
from feeds.market import Direction, Reference, Signal

COST_BPS = 20.0
SIDE = 1 - 0.001


def signal(at: int, direction: Direction, price: float, horizon: int = 100) -> Signal:
    return Signal(
        f"m-1:B-Q:{at}", "m", 1, direction, 0.5, at, horizon, at + horizon,
        Reference("price:agg:B-Q", str(price), at), {},
    )  # fmt: skip


def followed(prices: list[float], *signals: Signal) -> list[float]:
    marks = [Mark(10 * number, price) for number, price in enumerate(prices)]
    return equity("m", marks, signals, COST_BPS).followed


def test_without_a_signal_nothing_is_won_or_lost() -> None:
    assert followed([100, 110, 90]) == [1, 1, 1]


def test_a_bull_wins_with_the_price_and_pays_to_get_in_and_out() -> None:
    told = followed([100, 110, 121, 200], signal(0, "bull", 100), signal(20, "neutral", 121))
    assert told == pytest.approx([SIDE, 1.1 * SIDE, 1.21 * SIDE**2, 1.21 * SIDE**2])


def test_a_bear_wins_when_the_price_falls() -> None:
    told = followed([100, 90, 110], signal(0, "bear", 100))
    assert told == pytest.approx([SIDE, 1.1 * SIDE, 0.9 * SIDE])


def test_a_turn_pays_both_ways() -> None:
    told = followed([100, 110, 121], signal(0, "bull", 100), signal(10, "bear", 110))
    assert told[1] == pytest.approx(1.1 * SIDE**3)
    assert told[2] == pytest.approx(1.1 * 0.9 * SIDE**3)


def test_a_signal_that_has_run_out_is_left_at_the_first_mark_after() -> None:
    told = followed([100, 110, 121, 50], signal(0, "bull", 100, horizon=15))
    assert told == pytest.approx([SIDE, 1.1 * SIDE, 1.21 * SIDE**2, 1.21 * SIDE**2])


def test_a_signal_that_goes_on_costs_nothing() -> None:
    told = followed(
        [100, 110, 121], signal(0, "bull", 100, horizon=10), signal(10, "bull", 110, horizon=50)
    )
    assert told == pytest.approx([SIDE, 1.1 * SIDE, 1.21 * SIDE])


def test_who_has_lost_all_is_out() -> None:
    told = followed([100, 250, 50, 100], signal(0, "bear", 100, horizon=1_000))
    assert told == [pytest.approx(SIDE), 0.0, 0.0, 0.0]


def test_holding_pays_to_get_in() -> None:
    found = equity("m", [Mark(0, 200), Mark(1, 100)], [], COST_BPS)
    assert found.held == pytest.approx([SIDE, 0.5 * SIDE])


def test_a_drawdown_is_measured_from_the_highest_so_far() -> None:
    found = Equity("m", [0, 1, 2, 3], [1.0, 2.0, 1.0, 3.0], [1.0] * 4)
    assert found.drawdowns == pytest.approx([0, 0, -0.5, 0])
