"""A model's opinion of a pair as subscribers are told it, what came of it; a pair's grade. Pure.

Prices are exact text; scores, probabilities and returns are numbers: statistics, not money.
A return is a fraction: 0.01 is one percent.
"""

from typing import Literal

import msgspec

Direction = Literal["bull", "bear", "neutral"]


class Reference(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The message whose price a signal starts from, or an outcome ends with."""

    channel: str = msgspec.field(name="ch")
    """`price:agg:BTC-USD`; of a backtest over candles: the candle's channel."""
    price: str = msgspec.field(name="px")
    at_us: int = msgspec.field(name="at")
    """When that price was computed, microseconds UTC."""
    epoch: str | None = None
    seq: int | None = None
    """Its position there; None until the bus has answered, and in a backtest."""


class Signal(msgspec.Struct, frozen=True, omit_defaults=True):
    """One opinion. It says nothing after it has expired."""

    id: str
    """`<model>-<version>:<BASE>-<QUOTE>:<end of the candle that it was given after>`, microseconds:
    unique; the same whenever it is computed again."""
    model: str
    version: int
    direction: Direction
    score: float
    """From -1, surely down, to 1, surely up."""
    computed_us: int = msgspec.field(name="at")
    horizon_s: int
    """Seconds after `at` for which it speaks: its outcome is taken there."""
    expires_us: int = msgspec.field(name="expires")
    reference: Reference = msgspec.field(name="ref")
    reasons: dict[str, float]
    """The numbers that spoke, by name."""
    last_move: float | None = None
    """The pair's return over as long a time before `at`; None where not so much is known."""
    probability_up: float | None = msgspec.field(name="p_up", default=None)
    """Of a higher price at the horizon's end; models that give none leave it out."""
    simulated: bool = False
    """Whether it speaks of a generated market."""
    received_us: int | None = msgspec.field(name="rx", default=None)
    """When the newest of what it was made of was received."""


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of a signal: told once, when its horizon ends."""

    signal: str
    """The signal's id."""
    model: str
    version: int
    direction: Direction
    due_us: int = msgspec.field(name="due")
    """Where the horizon ended, microseconds UTC."""
    cost_bps: float
    """Of getting in and out, together, in hundredths of a percent."""
    reference: Reference | None = msgspec.field(name="ref", default=None)
    """The price then; None where there was none: such an outcome counts nowhere, and is told."""
    move: float | None = None
    """The pair's return over the horizon."""
    result: float | None = None
    """What following it returned, after costs; of a neutral one nothing was done: 0."""
    best: float | None = None
    """The best return on the way for one who followed it, before costs."""
    worst: float | None = None
    last_move: float | None = None
    probability_up: float | None = msgspec.field(name="p_up", default=None)
    partial: bool = False
    """Not the whole way was seen: `best` and `worst` are of what was."""
    why: str | None = None
    """Why there is no price."""
    simulated: bool = False
    received_us: int | None = msgspec.field(name="rx", default=None)


class GradePart(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one model says, and what its word weighs."""

    model: str
    score: float
    """From -1 to 1; 0 where its signal has expired or it has none."""
    weight: float
    """Its share, 0 to 1; all parts' weights add up to 1, or to 0 where no model has a record."""
    outcomes: int
    """How many outcomes its record has."""
    hit_rate: float | None = None


class Grade(msgspec.Struct, frozen=True, omit_defaults=True):
    """A pair from 0 (surely down) by 50 (nothing known) to 100 (surely up), and why."""

    grade: int
    parts: tuple[GradePart, ...]
    computed_us: int = msgspec.field(name="at")
    version: int
    simulated: bool = False
    received_us: int | None = msgspec.field(name="rx", default=None)
