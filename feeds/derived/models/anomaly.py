"""Anomaly: volume and move both far beyond what is usual for this very pair. Pure.

What is usual is learned from candles in which somebody traded, robustly. A flag stands for the
horizon, in the move's direction: what came of it is in the outcome.
"""

from math import copysign, log, tanh
from typing import Final

from feeds.derived.kernels import Surprise
from feeds.derived.models.model import ModelRow, Opinion, Step, told
from feeds.derived.signal_settings import AnomalySettings

_NOTHING: Final = Opinion(0.0)


class Anomaly:
    """A Model. Volumes are compared by their logarithms: they grow by factors, not by steps."""

    def __init__(self, settings: AnomalySettings, interval_us: int) -> None:
        self._settings = settings
        self._horizon_us = settings.horizon * interval_us
        self._volume, self._move = Surprise(settings.history), Surprise(settings.history)
        self._before: float | None = None
        self._flag = _NOTHING
        self._reasons: dict[str, float] = {}
        self._until_us = 0

    def restart(self) -> None:
        """What is usual stays so; the move across the gap is none."""
        self._before = None

    def update(self, step: Step) -> Opinion | None:
        before = self._before
        if step.volume > 0.0:
            self._before = step.close
            # A part of a candle is a small one, and no measure.
            z_volume = None if step.is_partial else self._volume.update(log(step.volume))
            if before is not None:
                move = log(step.close / before)
                z_move = self._move.update(move)
                if z_volume is not None and z_move is not None:
                    self._judge(step, move, z_volume, z_move)
        if self._volume.value is None or self._move.value is None:
            return None
        if step.end_us >= self._until_us:
            self._flag, self._reasons = _NOTHING, {}
        return self._flag

    def reasons(self) -> dict[str, float]:
        """Those of the flag, as long as it stands."""
        return self._reasons

    def _judge(self, step: Step, move: float, z_volume: float, z_move: float) -> None:
        settings = self._settings
        strength = min(z_volume / settings.z_volume, abs(z_move) / settings.z_move)
        if strength >= 1.0:
            self._reasons = told(
                volume=step.volume, volume_z=z_volume, move=move, move_z=z_move, close=step.close
            )
            self._flag = Opinion(copysign(tanh(strength), z_move))
            self._until_us = step.end_us + self._horizon_us


ANOMALY: Final = ModelRow(
    name="anomaly",
    title="Anomaly: unusual volume and move",
    version=1,
    settings=lambda settings: settings.anomaly,
    make=lambda settings, interval_us: Anomaly(settings.anomaly, interval_us),
)
