"""Whether models can run with what was set about them. Pure.

Memory is bounded by the longest period: no setting is without a limit.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from feeds.derived.intervals import INTERVALS
from feeds.derived.models import MODELS
from feeds.derived.signal_settings import GradeSettings, ModelSettings, SignalSettings

_PERIOD_MAX: Final = 10_000
_FACTOR_MAX: Final = 1_000.0
_DAY_MS: Final = 86_400_000


def fault_of(signal: SignalSettings, grade: GradeSettings) -> str | None:
    """The first thing that can't be, as a sentence that begins with its name; None: all can."""
    return next(_faults(signal, grade), None)


def _faults(signal: SignalSettings, grade: GradeSettings) -> Iterator[str]:
    for name in signal.models:
        if name not in MODELS:
            yield f"signal.models: there is no {name}; there are {', '.join(MODELS)}"
    if len(set(signal.models)) < len(signal.models):
        yield "signal.models names one of them twice"
    intervals = [each.name for each in INTERVALS]
    if signal.interval and signal.interval not in intervals:
        yield f"signal.interval must be one of {', '.join(intervals)}, is {signal.interval}"
    yield from _outside("signal.outage_max", signal.outage_max, 0, _PERIOD_MAX)
    yield from _outside("signal.late_max_s", signal.late_max_s, 1, 86_400)
    yield from _outside("grade.interval_ms", grade.interval_ms, 1, _DAY_MS)
    for name, row in MODELS.items():
        yield from _faults_of_model(f"signal.{name}", row.settings(signal))
    trend = signal.trend
    if not trend.fast < trend.slow or not trend.macd[0] < trend.macd[1]:
        yield "signal.trend: a fast period must be shorter than the slow one"


def _faults_of_model(path: str, settings: ModelSettings) -> Iterator[str]:
    if not 0.0 < settings.leave <= settings.enter <= 1.0:
        yield f"{path}.leave must be more than 0 and at most {path}.enter, and that at most 1"
    for name, value in msgspec.structs.asdict(settings).items():
        numbers = value if isinstance(value, tuple) else (value,)
        for number in numbers:
            if isinstance(number, int):
                yield from _outside(f"{path}.{name}", number, 1, _PERIOD_MAX)
            elif not 0.0 < number <= _FACTOR_MAX:
                yield f"{path}.{name} must be more than 0 and at most {_FACTOR_MAX:g}, is {number}"


def _outside(name: str, number: int, least: int, most: int) -> Iterator[str]:
    if not least <= number <= most:
        yield f"{name} must be {least} to {most}, is {number}"
