"""Trend: a fast and a slow average, as far apart as true ranges count, and MACD to confirm. Pure.

Where MACD's histogram points the other way the score is halved: a trend may last so, not begin.
"""

from math import tanh
from typing import Final

from feeds.derived.kernels import Atr, Ema, Macd
from feeds.derived.models.model import ModelRow, Opinion, Step, told
from feeds.derived.signal_settings import TrendSettings

_UNCONFIRMED: Final = 0.5


class Trend:
    """A Model."""

    def __init__(self, settings: TrendSettings) -> None:
        self._settings = settings
        self.restart()

    def restart(self) -> None:
        settings = self._settings
        self._fast, self._slow = Ema(settings.fast), Ema(settings.slow)
        self._macd, self._atr = Macd(*settings.macd), Atr(settings.atr)
        self._distance = 0.0

    def update(self, step: Step) -> Opinion | None:
        fast, slow = self._fast.update(step.close), self._slow.update(step.close)
        macd = self._macd.update(step.close)
        reach = self._atr.update(step.high, step.low, step.close)
        if fast is None or slow is None or macd is None or reach is None:
            return None
        distance = (fast - slow) / reach if reach > 0.0 else 0.0
        score = tanh(distance / self._settings.distance_atr)
        if score * macd.histogram <= 0.0:
            score *= _UNCONFIRMED
        self._distance = distance
        return Opinion(score)

    def reasons(self) -> dict[str, float]:
        macd = self._macd.value
        return told(
            ema_fast=self._fast.value,
            ema_slow=self._slow.value,
            atr=self._atr.value,
            distance_atr=self._distance,
            macd=macd and macd.macd,
            macd_histogram=macd and macd.histogram,
        )


TREND: Final = ModelRow(
    name="trend",
    title="Trend: moving averages and MACD",
    version=1,
    settings=lambda settings: settings.trend,
    make=lambda settings, _: Trend(settings.trend),
)
