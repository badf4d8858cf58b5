"""Reversion: where RSI and Bollinger's bands both say that the price went too far. Pure.

The score is the geometric mean of the two, against the move; 0 where they don't agree.
"""

from math import copysign, sqrt
from typing import Final

from feeds.derived.kernels import Bollinger, Rsi
from feeds.derived.models.model import ModelRow, Opinion, Step, told, within
from feeds.derived.signal_settings import ReversionSettings

_BAND_FULL: Final = 1.5
"""So many times the band's reach from the middle is the most that it can say."""
_RSI_FULL: Final = 30.0
"""So far from 50 is the most that RSI can say: 80, and 20."""


class Reversion:
    """A Model."""

    def __init__(self, settings: ReversionSettings) -> None:
        self._settings = settings
        self.restart()

    def restart(self) -> None:
        settings = self._settings
        self._rsi = Rsi(settings.rsi)
        self._bands = Bollinger(settings.bollinger, settings.deviations)
        self._band = 0.0

    def update(self, step: Step) -> Opinion | None:
        rsi, bands = self._rsi.update(step.close), self._bands.update(step.close)
        if rsi is None or bands is None:
            return None
        reach = bands.upper - bands.middle
        band = (step.close - bands.middle) / reach if reach > 0.0 else 0.0
        by_band = within(-band / _BAND_FULL)
        by_rsi = within((50.0 - rsi) / _RSI_FULL)
        agreed = by_band * by_rsi
        score = copysign(sqrt(agreed), by_band) if agreed > 0.0 else 0.0
        self._band = band
        return Opinion(score)

    def reasons(self) -> dict[str, float]:
        bands = self._bands.value
        return told(
            rsi=self._rsi.value,
            band=self._band,
            band_upper=bands and bands.upper,
            band_middle=bands and bands.middle,
            band_lower=bands and bands.lower,
        )


REVERSION: Final = ModelRow(
    name="reversion",
    title="Reversion: RSI and Bollinger's bands",
    version=1,
    settings=lambda settings: settings.reversion,
    make=lambda settings, _: Reversion(settings.reversion),
)
