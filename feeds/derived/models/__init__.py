"""MODELS: each reads a pair's final candles and says what it thinks. One file and one row each.

Nothing here knows prices to start from, what was said before, or the bus: feeds/derived/signals.py
does. Whoever runs an event loop calls `load` in a thread, soon after its start.
"""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from feeds.derived.models.anomaly import ANOMALY
from feeds.derived.models.flow import FLOW
from feeds.derived.models.learned import LEARNED
from feeds.derived.models.model import Model, ModelRow, Opinion, Step
from feeds.derived.models.reversion import REVERSION
from feeds.derived.models.trend import TREND
from feeds.derived.signal_settings import SignalSettings

MODELS: Final = {row.name: row for row in (TREND, REVERSION, FLOW, ANOMALY, LEARNED)}


def chosen(settings: SignalSettings) -> Sequence[ModelRow]:
    """Those that are asked for and can run, in the order of the table."""
    rows = [row for row in MODELS.values() if row.name in settings.models]
    return [row for row in rows if not lacks(row)]


def missing(settings: SignalSettings) -> Sequence[ModelRow]:
    """Those that are asked for and can't run, as what they need is not installed."""
    return [row for row in MODELS.values() if row.name in settings.models and lacks(row)]


def lacks(row: ModelRow) -> Sequence[str]:
    """The packages that it needs and that are not there."""
    packages = {name.partition(".")[0] for name in row.modules}
    return sorted(name for name in packages if find_spec(name) is None)


def load(settings: SignalSettings) -> None:
    """Imports what the chosen models need: it takes seconds, and would hold up a first signal."""
    for row in chosen(settings):
        for name in row.modules:
            import_module(name)


__all__ = ["MODELS", "Model", "ModelRow", "Opinion", "Step", "chosen", "lacks", "load", "missing"]
