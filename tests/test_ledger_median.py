"""The median that a ledger remembers: exact for a thousand, to three digits for any number."""

from random import Random
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.ledger.median import EXACT_MAX, Median

NUMBERS = st.floats(-1e6, 1e6).filter(lambda each: abs(each) > 1e-9 or each == 0)


def heard(numbers: list[float]) -> Median:
    one = Median()
    for number in numbers:
        one.add(number)
    return one


def test_of_nothing_there_is_none() -> None:
    assert Median().value() is None


@given(st.lists(NUMBERS, min_size=1, max_size=60))
def test_of_few_it_is_exact(numbers: list[float]) -> None:
    assert heard(numbers).value() == median(numbers)


@settings(max_examples=10, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=30), st.integers(1, 5))
def test_of_many_it_has_three_digits(numbers: list[float], odd: int) -> None:
    many = numbers * (EXACT_MAX // len(numbers) + odd)
    low, high = sorted(many)[(len(many) - 1) // 2], sorted(many)[len(many) // 2]
    slack = 0.005 * max(abs(low), abs(high))
    assert heard(many).value() == pytest.approx(median(many), abs=slack)


def test_what_it_remembers_has_a_bound() -> None:
    random = Random(1)
    one = heard([random.gauss(0, 0.01) for _ in range(30_000)])
    assert one.numbers.exact == []
    assert len(one.numbers.places) < 4_000
    assert sum(one.numbers.counts) == 30_000


@pytest.mark.parametrize("count", [10, EXACT_MAX, EXACT_MAX + 1, 3_000])
def test_it_goes_on_from_what_it_remembered(count: int) -> None:
    random = Random(2)
    numbers = [random.gauss(0, 0.01) for _ in range(count)]
    half = heard(numbers[: count // 2])
    rest = Median(half.numbers)
    for number in numbers[count // 2 :]:
        rest.add(number)
    assert rest.numbers == heard(numbers).numbers


@pytest.mark.parametrize(
    ("number", "told"),
    [(0.0021149, 0.00211), (-0.0021151, -0.00212), (0.99951, 1.0), (9.9951e-5, 1e-4), (1e-15, 0.0)],
)
def test_a_number_is_counted_by_its_first_three_digits(number: float, told: float) -> None:
    assert heard([number] * (EXACT_MAX + 1)).value() == told
