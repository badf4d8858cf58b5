"""How sure a share is, and the difference of two shares of the same cases. Pure.

All intervals hold 95 of 100 times, if the cases don't depend on each other.
"""

from math import sqrt
from statistics import NormalDist
from typing import Final, NamedTuple

_Z: Final = NormalDist().inv_cdf(0.975)


class Interval(NamedTuple):
    """What was measured, and where the truth lies."""

    low: float
    middle: float
    high: float


class Pairs(NamedTuple):
    """The same cases, judged twice: in how many both were right, one of them, neither."""

    both: int
    first_only: int
    second_only: int
    neither: int


def wilson(hits: int, of: int) -> Interval:
    """A share's, by Wilson's score (1927); `of` is at least 1. Never outside of 0 to 1."""
    share = hits / of
    square = _Z * _Z / of
    centre = share + square / 2
    reach = _Z * sqrt(share * (1 - share) / of + square / (4 * of))
    low, high = (centre - reach) / (1 + square), (centre + reach) / (1 + square)
    return Interval(max(0.0, low) if hits else 0.0, share, min(1.0, high) if hits < of else 1.0)


def paired_difference(pairs: Pairs) -> Interval:
    """The first's share less the second's; there is at least one case.

    R. G. Newcombe, Improved confidence intervals for the difference between binomial proportions
    based on paired data, Statistics in Medicine 17 (1998) 2635-2650, method 10: Wilson's intervals
    of both, squared and added, with their correlation, corrected for continuity.
    """
    of = sum(pairs)
    low_1, share_1, high_1 = wilson(pairs.both + pairs.first_only, of)
    low_2, share_2, high_2 = wilson(pairs.both + pairs.second_only, of)
    correlation = _correlation(pairs)
    difference = share_1 - share_2
    below = _added(share_1 - low_1, high_2 - share_2, correlation)
    above = _added(high_1 - share_1, share_2 - low_2, correlation)
    return Interval(difference - below, difference, difference + above)


def _added(first: float, second: float, correlation: float) -> float:
    # Nothing below zero but by rounding: both are alike and wholly correlated.
    return sqrt(max(0.0, first * first - 2 * correlation * first * second + second * second))


def _correlation(pairs: Pairs) -> float:
    both, first_only, second_only, neither = pairs
    margins = (
        (both + first_only)
        * (second_only + neither)
        * (both + second_only)
        * (first_only + neither)
    )
    if not margins:
        return 0.0
    product = both * neither - first_only * second_only
    if product > 0:
        return max(0.0, product - sum(pairs) / 2) / sqrt(margins)
    return product / sqrt(margins)
