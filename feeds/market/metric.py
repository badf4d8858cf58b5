"""A metric: its name, what it means and how it is read; and a histogram that costs one bisection.

Pure. What counts knows nothing of who asks: counters are read when somebody looks, and not before.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, Literal, TypeVar

import msgspec

Source = TypeVar("Source")

DELAY_BOUNDS_S: Final = (
    *(0.000_25, 0.000_5, 0.001, 0.002, 0.003, 0.005, 0.007_5),
    *(0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Where delays are told apart: finest where they are to be."""


class Histogram:
    """How often a value was at most each bound. 0.3 us an observation, whatever the bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = DELAY_BOUNDS_S) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        """Of each bound alone; the last: above all of them."""
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times


Reading = float | Histogram | Mapping[tuple[str, ...], float]
"""A value; or one for each of the labels' values, in the order of the labels."""


class Metric(msgspec.Struct, Generic[Source], frozen=True):
    """A row of the table of metrics."""

    name: str
    """With its unit; a counter ends in `_total`."""
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    """Each with few values, whatever clients and venues do."""
    meaning: str
    read: Callable[[Source], Reading]
