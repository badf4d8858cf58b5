"""The median of as many numbers as there may be, in a bounded place. Pure.

The first thousand are kept as they are; then all are counted by their first three digits, which is
what a reader sees of a median.
"""

from array import array
from bisect import bisect_left, insort
from itertools import accumulate
from math import copysign
from typing import Final

import msgspec

EXACT_MAX: Final = 1_000
"""Up to so many the median is exact; beyond, to three digits."""

_DIGITS: Final = 1_000
_LEAST_POWER: Final = -12
"""What is smaller than 1e-12 counts as nothing."""
_GREATEST_POWER: Final = 12


class Numbers(msgspec.Struct, frozen=True):
    """What is known of them."""

    exact: list[float] = []
    """In order."""
    places: list[int] = []
    """Each stands for a number of three digits, in order: see `_number`."""
    counts: list[int] = []
    """How many there were of each."""


class Median:
    """Of the numbers so far."""

    def __init__(self, numbers: Numbers | None = None) -> None:
        known = numbers or Numbers()
        self._exact = array("d", known.exact)
        self._places = array("i", known.places)
        self._counts = array("q", known.counts)

    @property
    def numbers(self) -> Numbers:
        """To go on from, later."""
        return Numbers(self._exact.tolist(), self._places.tolist(), self._counts.tolist())

    def add(self, number: float) -> None:
        if self._places:
            self._count(number)
            return
        insort(self._exact, number)
        if len(self._exact) > EXACT_MAX:
            for each in self._exact:
                self._count(each)
            self._exact = array("d")

    def value(self) -> float | None:
        """None: there is no number."""
        if self._exact:
            ordered, middle = self._exact, len(self._exact) // 2
            is_odd = len(ordered) % 2
            return ordered[middle] if is_odd else (ordered[middle - 1] + ordered[middle]) / 2
        if not self._places:
            return None
        until = list(accumulate(self._counts))
        low, high = (until[-1] - 1) // 2, until[-1] // 2
        first, second = (self._places[bisect_left(until, rank + 1)] for rank in (low, high))
        return (_number(first) + _number(second)) / 2

    def _count(self, number: float) -> None:
        place = _place(number)
        at = bisect_left(self._places, place)
        if at < len(self._places) and self._places[at] == place:
            self._counts[at] += 1
        else:
            self._places.insert(at, place)
            self._counts.insert(at, 1)


def _place(number: float) -> int:
    """Greater for the greater of two numbers; the same for what is alike in three digits."""
    text = f"{abs(number):.2e}"  # Rounded alike by every machine, which logarithms are not.
    power, digits = int(text[5:]), int(text[0] + text[2:4])
    if power < _LEAST_POWER:
        return 0
    place = (min(power, _GREATEST_POWER) - _LEAST_POWER) * _DIGITS + digits
    return -place if number < 0 else place


def _number(place: int) -> float:
    if not place:
        return 0.0
    power, digits = divmod(abs(place), _DIGITS)
    return copysign(float(f"{digits}e{power + _LEAST_POWER - 2}"), place)
