"""What a model's outcomes come to, beside what would have come of knowing nothing. Pure.

Returns are fractions after costs. Intervals hold 95 of 100 times.
"""

import msgspec


class Share(msgspec.Struct, frozen=True):
    """How often something was so, and between which bounds that lies."""

    hits: int
    of: int
    share: float | None
    """None where there is nothing to count."""
    low: float | None
    high: float | None


class Baseline(msgspec.Struct, frozen=True):
    """What somebody without the model would have had at the same times."""

    name: str
    """`always long`, `coin flip` or `last move continues`."""
    hit_rate: Share
    mean_return: float | None
    edge: float | None
    """The model's hit rate less this one's, over the same outcomes."""
    edge_low: float | None
    edge_high: float | None


class TrackRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One model's record, over all pairs or of one."""

    model: str
    version: int
    simulated: bool
    signals: int
    """That were given, neutral ones included."""
    open: int
    """Whose horizon has not ended."""
    outcomes: int
    """That count: of signals with a direction, and with a price at the horizon's end."""
    unpriced: int
    """Without one: they count nowhere else."""
    hit_rate: Share
    mean_return: float | None
    median_return: float | None
    baselines: tuple[Baseline, ...]
    verdict: str
    """In plain words; `no edge shown` where an interval covers its baseline."""
    has_edge: bool
    pair: str | None = None
    """None: all of them."""
    brier: float | None = None
    """The mean squared error of the probabilities given, where the model gives some: 0.25 is what
    always saying one half has."""
    calibration: tuple[tuple[float, float, int], ...] = ()
    """By tenths of the probability given: its mean, how often it went up, and of how many."""
    from_us: int | None = None
    until_us: int | None = None
    entries: int | None = None
    """How many entries the ledger had when this was computed, and its last one's hash."""
    head: str | None = None
