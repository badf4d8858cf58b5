"""Flow: do takers buy more than is usual here, and does more size wait at the bid? Pure.

Imbalance is of averages that decay, measured against the pair's own history: markets have a bias
of their own. Quotes speak where the venues give sizes; a candle alone is enough.
"""

from math import tanh
from typing import Final

from feeds.derived.kernels import Ema, ZScore
from feeds.derived.models.model import ModelRow, Opinion, Step, told
from feeds.derived.signal_settings import FlowSettings

_QUOTES: Final = 0.4
"""The share of the quotes in the score, where they speak."""


class Flow:
    """A Model."""

    def __init__(self, settings: FlowSettings) -> None:
        self._settings = settings
        self.restart()

    def restart(self) -> None:
        settings = self._settings
        self._bought, self._volume = Ema(settings.decay), Ema(settings.decay)
        self._usual = ZScore(settings.history)
        self._pressure = Ema(settings.decay)
        self._imbalance = 0.0

    def update(self, step: Step) -> Opinion | None:
        bought = self._bought.update(2.0 * step.buy_volume - step.volume)
        volume = self._volume.update(step.volume)
        pressure = self._pressure.value
        if step.pressure is not None:
            pressure = self._pressure.update(step.pressure)
        if bought is None or volume is None:
            return None
        imbalance = bought / volume if volume > 0.0 else 0.0
        deviations = self._usual.update(imbalance)
        if deviations is None:
            return None
        # One-sided throughout: whoever made these candles did not know who took. And more than is
        # usual is not yet more than the other side.
        if abs(imbalance) > 1.0 - 1e-9 or imbalance * deviations <= 0.0:
            score = 0.0
        else:
            score = tanh(deviations / 2.0)
        if pressure is not None:
            score += (pressure - score) * _QUOTES
        self._imbalance = imbalance
        return Opinion(score)

    def reasons(self) -> dict[str, float]:
        return told(
            imbalance=self._imbalance,
            imbalance_z=self._usual.value,
            quote_pressure=self._pressure.value,
        )


FLOW: Final = ModelRow(
    name="flow",
    title="Flow: taker imbalance and quote pressure",
    version=1,
    settings=lambda settings: settings.flow,
    make=lambda settings, _: Flow(settings.flow),
)
