"""The leaky bucket against a naive one: a count of tokens that refills as time passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.limits import Budget, Gcra, interval_us

RATES = st.sampled_from((0.5, 1.0, 4.0, 32.0))
BURSTS = st.integers(1, 8)
# Binary fractions: neither bucket has to round, so they may be compared to the last bit.
PAUSES = st.lists(st.integers(0, 4 * 64).map(lambda steps: steps / 64), max_size=200)


class NaiveBucket:
    """Tokens, one taken each time; `rate_per_s` come back, never more than `burst`."""

    def __init__(self, rate_per_s: float, burst: int, now_s: float) -> None:
        self.rate_per_s, self.burst = rate_per_s, burst
        self.tokens, self.at_s = float(burst), now_s

    def admits(self, now_s: float) -> bool:
        refilled = self.tokens + (now_s - self.at_s) * self.rate_per_s
        self.tokens, self.at_s = min(float(self.burst), refilled), now_s
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@given(rate=RATES, burst=BURSTS, pauses=PAUSES)
def test_it_admits_exactly_what_a_bucket_of_tokens_admits(
    rate: float, burst: int, pauses: list[float]
) -> None:
    now_s = 1_000.0
    gcra, naive = Gcra(rate, burst), NaiveBucket(rate, burst, now_s)
    for pause_s in pauses:
        now_s += pause_s
        assert (gcra.wait_s(now_s) == 0.0) == naive.admits(now_s)


@given(rate=RATES, burst=BURSTS, pauses=PAUSES)
def test_no_stretch_of_time_holds_more_than_its_share_and_a_burst(
    rate: float, burst: int, pauses: list[float]
) -> None:
    now_s, gcra = 1_000.0, Gcra(rate, burst)
    admitted: list[float] = []
    for pause_s in pauses:
        now_s += pause_s
        if gcra.wait_s(now_s) == 0.0:
            admitted.append(now_s)
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            stretch_s = admitted[last] - admitted[first]
            assert last - first + 1 <= rate * stretch_s + burst


@given(rate=RATES, burst=BURSTS, pauses=PAUSES)
def test_whoever_waits_as_long_as_told_is_admitted(
    rate: float, burst: int, pauses: list[float]
) -> None:
    now_s, gcra = 1_000.0, Gcra(rate, burst)
    for pause_s in pauses:
        now_s += pause_s
        wait_s = gcra.wait_s(now_s)
        if wait_s:
            now_s += wait_s
            assert gcra.wait_s(now_s) == 0.0


def test_a_refusal_costs_nothing() -> None:
    gcra = Gcra(1.0, 1)
    assert gcra.wait_s(50.0) == 0.0
    assert [gcra.wait_s(50.5) for _ in range(100)] == [0.5] * 100
    assert gcra.wait_s(51.0) == 0.0


@pytest.mark.parametrize("start_s", [0.0, 1e-3, 1e8])
def test_a_first_burst_is_whole_whenever_the_clock_began(start_s: float) -> None:
    gcra = Gcra(5.0, 20)
    assert [gcra.wait_s(start_s) for _ in range(20)] == [0.0] * 20
    assert gcra.wait_s(start_s) == pytest.approx(0.2)


@given(
    per_s=st.integers(1, 64),
    steps=st.lists(st.tuples(st.integers(0, 4 * 64), st.integers(0, 50)), max_size=100),
)
def test_a_budget_never_allows_more_than_its_share_and_one_second_more(
    per_s: int, steps: list[tuple[int, int]]
) -> None:
    now_s, sent = 1_000.0, 0
    budget = Budget(per_s, now_s)
    for pause, wanted in steps:
        now_s += pause / 64
        count = min(wanted, budget.left(now_s))
        budget.spend(count)
        sent += count
        assert sent <= per_s * (now_s - 1_000.0) + per_s


def test_a_budget_that_was_overdrawn_pays_back_first_but_no_longer_than_a_second() -> None:
    budget = Budget(10, 0.0)
    budget.spend(15)
    assert [budget.left(now_s) for now_s in (0.0, 0.5, 0.75, 100.0)] == [0, 0, 2, 10]
    budget.spend(1_000)
    assert [budget.left(100 + later_s) for later_s in (0.0, 1.0, 1.5)] == [0, 0, 5]


@pytest.mark.parametrize("rate_per_s", [1 / 6, 0.5, 1, 3, 5, 7, 20, 1_000, 9_999, 10_000])
def test_the_interval_that_redis_counts_in_is_never_too_short_and_hardly_too_long(
    rate_per_s: float,
) -> None:
    interval = interval_us(rate_per_s)
    assert interval * 4 == int(interval * 4)
    assert 0.997 * rate_per_s <= 1e6 / interval <= rate_per_s
