"""How delays are spread: counts in buckets at most 1/128 wide. Pure; bounded whatever comes.

The layout is that of an HDR histogram. The package of that name can't hold what is below zero, and
two clocks that disagree make such delays: they are counted as they are, on the other side of zero.
"""

import math
from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import Final

_BITS: Final = 7
_EXACT_BELOW: Final = 2 << _BITS
_LIMIT: Final = 1 << 50
"""More than 35 years of microseconds: what is beyond is a stamp that means nothing."""
_FRESH_MAX: Final = 4_096
"""Sorted into buckets together, most of them being equal to others, at a fifth of the cost."""


class Histogram:
    """Of whole numbers. The least and the greatest are exact, quantiles to 0.4 %."""

    __slots__ = ("_counts", "_fresh", "_greatest", "_least", "_total")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._fresh: list[int] = []
        self._total = 0
        self._least = _LIMIT
        self._greatest = -_LIMIT

    def add(self, value: int) -> None:
        fresh = self._fresh
        fresh.append(value)
        if len(fresh) >= _FRESH_MAX:
            self._sort_in()

    def merge(self, other: "Histogram") -> None:
        """Takes in all of another's."""
        self._sort_in()
        other._sort_in()
        for index, count in other._counts.items():
            self._counts[index] = self._counts.get(index, 0) + count
        self._total += other._total
        self._least = min(self._least, other._least)
        self._greatest = max(self._greatest, other._greatest)

    @property
    def total(self) -> int:
        """How many there are."""
        return self._total + len(self._fresh)

    @property
    def negative(self) -> int:
        """How many are below zero."""
        self._sort_in()
        return sum(count for index, count in self._counts.items() if index < 0)

    def quantiles(self, *shares: float) -> list[float]:
        """The least value that is not below such a share of all; 0 and 1 are exact.

        Of none it is NaN.
        """
        self._sort_in()
        if not self._total:
            return [math.nan] * len(shares)
        indexes = sorted(self._counts)
        below = list(accumulate(self._counts[index] for index in indexes))
        return [self._quantile(share, indexes, below) for share in shares]

    def _quantile(self, share: float, indexes: list[int], below: list[int]) -> float:
        rank = math.ceil(share * self._total)
        if rank <= 1:
            return self._least
        if rank >= self._total:
            return self._greatest
        middle = _middle(indexes[bisect_left(below, rank)])
        return min(max(middle, self._least), self._greatest)

    def _sort_in(self) -> None:
        if not self._fresh:
            return
        fresh, counts = Counter(self._fresh), self._counts
        self._total += len(self._fresh)
        self._fresh.clear()
        for value, count in fresh.items():
            bounded = min(max(value, 1 - _LIMIT), _LIMIT - 1)
            index = _index(bounded) if bounded >= 0 else ~_index(-bounded)
            counts[index] = counts.get(index, 0) + count
        self._least = max(1 - _LIMIT, min(self._least, *fresh))
        self._greatest = min(_LIMIT - 1, max(self._greatest, *fresh))


def _index(value: int) -> int:
    shift = value.bit_length() - _BITS - 1
    return (shift << _BITS) + (value >> shift) if shift > 0 else value


def _middle(index: int) -> float:
    if index < 0:
        return -_middle(~index)
    if index < _EXACT_BELOW:
        return index
    shift = (index >> _BITS) - 1
    low = (index - (shift << _BITS)) << shift
    return low + ((1 << shift) - 1) / 2
