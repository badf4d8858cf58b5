"""The contract of a model: final candles of one pair in, an opinion after each. Pure.

O(1) memory and time a candle. The same candles give the same opinions. A model says nothing before
its warm-up is over, and never sees what is later than the candle that it speaks after.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec

from feeds.derived.signal_settings import ModelSettings, SignalSettings


class Step(NamedTuple):
    """A final candle as numbers, and what the quotes were like meanwhile."""

    end_us: int
    high: float
    low: float
    close: float
    volume: float
    buy_volume: float
    trades: int
    is_partial: bool
    pressure: float | None
    """From -1, all size stands at the ask, to 1, all at the bid; None: no quote gave sizes."""


class Opinion(NamedTuple):
    """What a model says after a candle."""

    score: float
    """From -1, surely down, to 1, surely up."""
    probability_up: float | None = None


class Model(Protocol):
    """One pair's."""

    def update(self, step: Step) -> Opinion | None:
        """None: it is still warming up."""

    def reasons(self) -> dict[str, float]:
        """The numbers that spoke in its newest opinion, by name. Asked for where it is told."""

    def restart(self) -> None:
        """Too many candles are missing: what depends on neighbours begins anew."""


class ModelRow(msgspec.Struct, frozen=True):
    """One model. All that varies is in this row."""

    name: str
    title: str
    version: int
    """Of its formulas and of the defaults of its settings: a record is of one version."""
    settings: Callable[[SignalSettings], ModelSettings]
    make: Callable[[SignalSettings, int], Model]
    """For one pair, and candles of so many microseconds."""
    modules: tuple[str, ...] = ()
    """Of optional packages, that it imports when it needs them."""


def told(**numbers: float | None) -> dict[str, float]:
    """Reasons, to six digits; what is not known is left out."""
    return {
        name: float(f"{number:.6g}") + 0.0 for name, number in numbers.items() if number is not None
    }


def within(value: float, limit: float = 1.0) -> float:
    """The value, drawn in to at most `limit` either side of 0."""
    return max(-limit, min(limit, value))
