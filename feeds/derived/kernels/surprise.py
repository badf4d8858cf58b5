"""How unusual a value is among those before it, where some of those were unusual too. Pure."""

from math import fsum, sqrt
from typing import Final

_LIMIT: Final = 3.0


class Surprise:
    """How many deviations a value is from what was usual before it.

    Usual are a decaying mean and deviation, which begin with the first `period` values. No value
    moves them by more than three deviations would: a burst does not become usual at once, as it
    would in a plain window, and what lasts becomes so in time.
    """

    __slots__ = ("_alpha", "_first", "_left", "_mean", "_variance", "value")

    def __init__(self, period: int) -> None:
        self._alpha = 2.0 / (period + 1)
        self._left = period
        self._first: list[float] = []
        self._mean = 0.0
        self._variance = 0.0
        self.value: float | None = None

    def update(self, value: float) -> float | None:
        """0 where nothing before it ever differed."""
        if self._left:
            self._begin(value)
            return None
        away = value - self._mean
        deviation = sqrt(self._variance)
        self.value = away / deviation if deviation > 0.0 else 0.0
        if deviation > 0.0:
            limit = _LIMIT * deviation
            away = max(-limit, min(limit, away))
        self._mean += away * self._alpha
        self._variance = (1.0 - self._alpha) * (self._variance + self._alpha * away * away)
        return self.value

    def _begin(self, value: float) -> None:
        first = self._first
        first.append(value)
        self._left -= 1
        if not self._left:
            self._mean = fsum(first) / len(first)
            self._variance = fsum((each - self._mean) ** 2 for each in first) / len(first)
            first.clear()
