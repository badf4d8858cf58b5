"""Indicators one value at a time: the same numbers as TA-Lib computes of a whole series at once.

Pure. O(1) a value, bounded memory, floats: statistics, not money. Before its warm-up is over a
kernel says None, as a value that depends on where one began to listen would be no value.
"""

from collections import deque
from math import fsum, sqrt
from typing import NamedTuple

_REFRESH: int = 512
"""Running sums are summed anew so often: the rounding errors of sliding would add up."""


class Ema:
    """Exponential moving average. Begins with the mean of its first `period` values."""

    __slots__ = ("_alpha", "_left", "_sum", "value")

    def __init__(self, period: int) -> None:
        self._alpha = 2.0 / (period + 1)
        self._left = period
        self._sum = 0.0
        self.value: float | None = None

    def update(self, value: float) -> float | None:
        if self.value is not None:
            self.value += (value - self.value) * self._alpha
            return self.value
        self._sum += value
        self._left -= 1
        if not self._left:
            self.value = self._sum / round(2.0 / self._alpha - 1)
        return self.value


class Rma:
    """Wilder's moving average: the mean of its first `period` values, then 1/`period` of each."""

    __slots__ = ("_left", "_period", "_sum", "value")

    def __init__(self, period: int) -> None:
        self._period = period
        self._left = period
        self._sum = 0.0
        self.value: float | None = None

    def update(self, value: float) -> float | None:
        if self.value is not None:
            self.value = (self.value * (self._period - 1) + value) / self._period
            return self.value
        self._sum += value
        self._left -= 1
        if not self._left:
            self.value = self._sum / self._period
        return self.value


class Rsi:
    """Relative strength index, 0 to 100; 0 where nothing ever moved, as TA-Lib has it."""

    __slots__ = ("_before", "_gains", "_losses", "value")

    def __init__(self, period: int = 14) -> None:
        self._gains, self._losses = Rma(period), Rma(period)
        self._before: float | None = None
        self.value: float | None = None

    def update(self, close: float) -> float | None:
        before, self._before = self._before, close
        if before is None:
            return None
        change = close - before
        gains = self._gains.update(max(change, 0.0))
        losses = self._losses.update(max(-change, 0.0))
        if gains is not None and losses is not None:
            moved = gains + losses
            self.value = 100.0 * gains / moved if moved > 0.0 else 0.0
        return self.value


class MacdValue(NamedTuple):
    """The distance of two averages, its own average, and the distance of these."""

    macd: float
    signal: float
    histogram: float


class Macd:
    """Moving average convergence and divergence."""

    __slots__ = ("_fast", "_signal", "_skip", "_slow", "value")

    def __init__(self, fast: int = 12, slow: int = 26, signal: int = 9) -> None:
        self._fast, self._slow, self._signal = Ema(fast), Ema(slow), Ema(signal)
        self._skip = slow - fast
        """The fast average begins so much later, that both end their beginnings together."""
        self.value: MacdValue | None = None

    def update(self, close: float) -> MacdValue | None:
        slow = self._slow.update(close)
        if self._skip:
            self._skip -= 1
            return None
        fast = self._fast.update(close)
        if fast is None or slow is None:
            return None
        macd = fast - slow
        signal = self._signal.update(macd)
        if signal is not None:
            self.value = MacdValue(macd, signal, macd - signal)
        return self.value


class Atr:
    """Average true range: how far a candle reaches, the jump from the close before included."""

    __slots__ = ("_average", "_before", "value")

    def __init__(self, period: int = 14) -> None:
        self._average = Rma(period)
        self._before: float | None = None
        self.value: float | None = None

    def update(self, high: float, low: float, close: float) -> float | None:
        before, self._before = self._before, close
        if before is None:
            return None
        reach = max(high - low, abs(high - before), abs(low - before))
        self.value = self._average.update(reach)
        return self.value


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
