"""How the most that a server keeps up with is found in few steps. Pure.

Up by a factor until a rate fails, or down until one holds; then the middle between the highest that
held and the lowest that failed, until they are near enough. Before the first way down one leap up:
a server that joins ticks may fail at a rate and fare well at a greater one.
"""

import math
from typing import Final

RATE_MAX: Final = 10_000.0
"""Ticks per second: what the publisher is still open-loop at."""
_RATE_MIN: Final = 5.0
_NEAR: Final = 1.2
_LEAP: Final = 8.0
_STEPS_MAX: Final = 10


class Climb:
    """Of one server in one repeat. Rates are ticks per second."""

    def __init__(
        self, start: float, factor: float = 2.0, steps_max: int = _STEPS_MAX, *, leaps: bool = True
    ) -> None:
        self.held = 0.0
        """The highest rate that held; 0: none did."""
        self.is_client_limited = False
        """Whether what bounds it from above is those around the server."""
        self._failed = math.inf
        self._has_leapt = not leaps
        self._next: float | None = start
        self._factor = factor
        self._steps_left = steps_max

    def next_rate(self) -> float | None:
        """What to try now; None when it is over."""
        return self._next

    def tell(self, rate: float, *, holds: bool, is_client_limited: bool = False) -> None:
        """How that rate went."""
        self._steps_left -= 1
        if holds:
            # A busy client is no reason to stop: the more ticks wait, the less each costs it.
            self.held = max(self.held, rate)
            if self._failed < rate:
                self._failed = math.inf
            self.is_client_limited = self.is_client_limited or rate >= RATE_MAX
        elif rate < self._failed:
            self._failed = rate
            self.is_client_limited = is_client_limited
        self._next = self._following() if self._steps_left else None

    def _following(self) -> float | None:
        if not self.held:
            if not self._has_leapt and self._failed * _LEAP <= RATE_MAX:
                self._has_leapt = True
                return self._failed * _LEAP
            lower = self._failed / self._factor
            return lower if lower >= _RATE_MIN else None
        if self._failed == math.inf:
            higher = min(self.held * self._factor, RATE_MAX)
            return higher if higher > self.held else None
        if self._failed <= self.held * _NEAR * 1.001:
            return None
        return math.sqrt(self.held * self._failed)


def again(held: float, steps_max: int = _STEPS_MAX) -> Climb:
    """A later repeat: it begins where an earlier one ended, and takes small steps."""
    return Climb(held or _RATE_MIN, factor=_NEAR, steps_max=steps_max, leaps=False)
