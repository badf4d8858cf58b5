"""Averages that decay, and what is made of them: EMA, RMA, RSI, MACD, ATR. Pure."""

from typing import NamedTuple


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
