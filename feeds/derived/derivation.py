"""The contract of a derivation: a frozen row (Derived) and a Derivation: no I/O, no clock.

Ticks in, ticks out. The same ticks at the same times give the same ticks, live or from a file.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol, runtime_checkable

import msgspec

from feeds.derived.settings import DerivedSettings
from feeds.market import AGGREGATE, Outcome, Payload, Signal, Tick

NO_MARKETS: Final = frozenset(("sim", "replay"))
"""Venues that are none: what they say never enters what is told of live ones together."""


class Derivation(Protocol):
    """What it has heard so far. Times are microseconds UTC and never go back."""

    def take(self, ticks: Iterable[Tick], now_us: int) -> list[Tick]:
        """What some ticks, in order, give at once; ticks of no interest give nothing."""

    def wake(self, now_us: int) -> list[Tick]:
        """What is due by the clock alone."""

    def next_us(self) -> int | None:
        """When to be woken; None: only a tick can change anything."""

    def restore(self, told: Mapping[str, Sequence[Payload]], now_us: int) -> None:
        """Goes on from the histories of channels, by name, oldest message first.

        Called once, before the first tick. What is not there is as if it never was.
        """


@runtime_checkable
class Retracting(Protocol):
    """A Derivation that goes by what was told of signals."""

    def withhold(self, payload: Signal | Outcome) -> None:
        """That was not told after all, and never will be. An outcome follows its signal."""


class Derived(msgspec.Struct, frozen=True):
    """One derivation. All that varies is in this row."""

    name: str
    """As in its channels' kind: `price`, `candle`."""
    title: str
    reads: frozenset[str]
    """The kinds of channels that it is to be told: `quote`, `trade`, `status`, `price` …"""
    make: Callable[[DerivedSettings], Derivation]
    history: frozenset[str]
    """The kinds of channels whose histories it goes on from after a restart."""
    load: Callable[[DerivedSettings], None] | None = None
    """Imports what takes seconds to import, in a thread; the others begin without it."""


__all__ = ["AGGREGATE", "NO_MARKETS", "Derivation", "Derived", "Retracting"]
