"""How fast a process grows, from readings of its memory. Pure.

Memory grows by steps, and what only wanders is not sure to grow: readings that follow each other
are alike, so that a straight line through them seems surer than it is. So the slope is what it grew
by from the window's beginning to its end, and how sure that is tell the growths of its parts, by
how much they differ.
"""

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec

_PARTS: Final = 20
_T: Final = 2.09
"""Student's, of 19 degrees of freedom: what is told holds 95 of 100 times."""
_AROUND: Final = 2
_POINTS_LEAST: Final = 2 * _PARTS


class Growth(msgspec.Struct, frozen=True):
    """Of one process over a window; NaN: too few readings to tell."""

    mib: float
    """At the window's beginning."""
    grown_kib: float
    """Until its end."""
    percent_per_h: float
    error_percent_per_h: float
    """To so much either side it is told."""

    @property
    def most_percent_per_h(self) -> float:
        return self.percent_per_h + self.error_percent_per_h

    @property
    def least_percent_per_h(self) -> float:
        return self.percent_per_h - self.error_percent_per_h


def growth_of(points: Sequence[tuple[float, float]]) -> Growth:
    """Of readings (seconds, bytes), evenly in time; there is at least one."""
    if len(points) < _POINTS_LEAST:
        return Growth(points[0][1] / 2**20, math.nan, math.nan, math.nan)
    marks = [round(part * (len(points) - 1) / _PARTS) for part in range(_PARTS + 1)]
    sizes = [_size_at(mark, points) for mark in marks]
    growths = [later - earlier for earlier, later in pairwise(sizes)]
    grown = sum(growths)
    error = _T * statistics.stdev(growths) * math.sqrt(_PARTS)
    hours = (points[-1][0] - points[0][0]) / 3_600
    per_h = 100 / sizes[0] / hours
    return Growth(sizes[0] / 2**20, grown / 1_024, grown * per_h, error * per_h)


def _size_at(mark: int, points: Sequence[tuple[float, float]]) -> float:
    """The median of some readings around it: one that is off counts for nothing."""
    around = points[max(0, mark - _AROUND) : mark + _AROUND + 1]
    return statistics.median(size for _, size in around)
