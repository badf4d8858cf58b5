"""What depends on the last so many values and on nothing before: Bollinger, z-score, VWAP. Pure."""

from collections import deque
from math import fsum, sqrt
from typing import Final, NamedTuple

_REFRESH: Final = 512
"""Running sums are summed anew so often: the rounding errors of sliding would add up."""


class _Window:
    """Sums over the last `period` values; those of squares are taken about a value of the window,
    as prices are large and their spread is small."""

    __slots__ = ("_about", "_age", "_squares", "_sum", "_values", "period")

    def __init__(self, period: int) -> None:
        self.period = period
        self._values: deque[float] = deque(maxlen=period)
        self._about = 0.0
        self._sum = 0.0
        self._squares = 0.0
        self._age = 0

    def update(self, value: float) -> bool:
        """Whether it is full."""
        values = self._values
        if len(values) == self.period:
            old = values[0] - self._about
            self._sum -= old
            self._squares -= old * old
        values.append(value)
        self._age += 1
        if self._age >= min(_REFRESH, 4 * self.period) or len(values) <= 1:
            self._refresh()
        else:
            new = value - self._about
            self._sum += new
            self._squares += new * new
        return len(values) == self.period

    @property
    def newest(self) -> float:
        return self._values[-1]

    @property
    def mean(self) -> float:
        return self._about + self._sum / len(self._values)

    @property
    def deviation(self) -> float:
        """Of a whole population: divided by their number."""
        count = len(self._values)
        mean = self._sum / count
        return sqrt(max(0.0, self._squares / count - mean * mean))

    def _refresh(self) -> None:
        self._age = 0
        self._about = fsum(self._values) / len(self._values)
        shifted = [value - self._about for value in self._values]
        self._sum = fsum(shifted)
        self._squares = fsum(value * value for value in shifted)


class Bands(NamedTuple):
    """The mean, and so many deviations beside it."""

    upper: float
    middle: float
    lower: float


class Bollinger:
    """Bollinger's bands."""

    __slots__ = ("_deviations", "_window", "value")

    def __init__(self, period: int = 20, deviations: float = 2.0) -> None:
        self._window = _Window(period)
        self._deviations = deviations
        self.value: Bands | None = None

    def update(self, close: float) -> Bands | None:
        window = self._window
        if window.update(close):
            middle, reach = window.mean, self._deviations * window.deviation
            self.value = Bands(middle + reach, middle, middle - reach)
        return self.value


class ZScore:
    """How many deviations the newest value is from the mean of the last; 0 where none differ."""

    __slots__ = ("_window", "value")

    def __init__(self, period: int = 20) -> None:
        self._window = _Window(period)
        self.value: float | None = None

    def update(self, value: float) -> float | None:
        window = self._window
        if window.update(value):
            deviation = window.deviation
            self.value = (window.newest - window.mean) / deviation if deviation > 0.0 else 0.0
        return self.value


class Vwap:
    """The average price of the last `period` candles by volume; None where nobody traded."""

    __slots__ = ("_turnover", "_volume", "value")

    def __init__(self, period: int) -> None:
        self._turnover = _Window(period)
        self._volume = _Window(period)
        self.value: float | None = None

    def update(self, price: float, volume: float) -> float | None:
        is_full = self._volume.update(volume)
        self._turnover.update(price * volume)
        if is_full:
            mean = self._volume.mean
            self.value = self._turnover.mean / mean if mean > 0.0 else None
        return self.value
