"""Arithmetic of the fan-out benchmarks: merged histograms, quantiles, spreads, ratios. Pure."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

Buckets = Sequence[tuple[int, int]]
"""A histogram: a bucket's lowest value, and how many fell into it."""

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


class Spread(msgspec.Struct, frozen=True):
    """One figure over the repeats."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        kept = list(values)
        return cls(statistics.median(kept), min(kept), max(kept))

    def told(self, form: str = ".1f") -> str:
        """`8.0 (7.5-9.1)`; once, what is the same thrice."""
        median, least, greatest = (format(one, form) for one in msgspec.structs.astuple(self))
        return median if least == greatest else f"{median} ({least}-{greatest})"


def merged(histograms: Iterable[Buckets]) -> Buckets:
    counts: Counter[int] = Counter()
    for buckets in histograms:
        counts.update(dict(buckets))
    return sorted(counts.items())


def quantile(buckets: Buckets, share: float) -> float:
    """The bucket in which that share of the values is reached; NaN where there are none."""
    wanted = math.ceil(share * sum(count for _, count in buckets))
    seen = 0
    for value, count in buckets:
        seen += count
        if seen >= wanted > 0:
            return value
    return math.nan


def quantiles_ms(buckets: Buckets) -> dict[str, float]:
    """Of a histogram of microseconds."""
    return {name: quantile(buckets, share) / 1_000 for name, share in SHARES.items()}


def ratio(numerator: float, denominator: float) -> float:
    """NaN, not an error, where nothing was measured to compare with."""
    return numerator / denominator if denominator else math.nan


def ratios_of_pairs(pairs: Iterable[tuple[float, float]]) -> Spread:
    """Of runs made in turn: each is compared with its own neighbour, before any median."""
    return Spread.of(ratio(one, other) for one, other in pairs)


def differences(totals: Mapping[str, float]) -> dict[str, float]:
    """What each step adds to the one before it."""
    before = 0.0
    steps = {}
    for name, total in totals.items():
        steps[name], before = total - before, total
    return steps
