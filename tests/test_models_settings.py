"""What may be set about models, and what is said of settings that can't be."""

import pytest

from feeds.derived.signal_check import fault_of
from feeds.derived.signal_settings import (
    AnomalySettings,
    FlowSettings,
    GradeSettings,
    LearnedSettings,
    ReversionSettings,
    SignalSettings,
    TrendSettings,
)


def test_the_shipped_ones_can_be() -> None:
    assert fault_of(SignalSettings(), GradeSettings()) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": ("trend", "luck")}, "signal.models: there is no luck; there are trend,"),
        ({"models": ("trend", "trend")}, "signal.models names one of them twice"),
        ({"interval": "2m"}, "signal.interval must be one of 1s, 1m,"),
        ({"outage_max": -1}, "signal.outage_max must be 0 to 10000, is -1"),
        ({"late_max_s": 0}, "signal.late_max_s must be 1 to 86400, is 0"),
        ({"trend": TrendSettings(fast=50)}, "signal.trend: a fast period must be shorter"),
        ({"trend": TrendSettings(macd=(12, 26, 0))}, "signal.trend.macd must be 1 to 10000, is 0"),
        ({"reversion": ReversionSettings(leave=0.9)}, "signal.reversion.leave must be more than 0"),
        ({"flow": FlowSettings(history=10**6)}, "signal.flow.history must be 1 to 10000"),
        ({"anomaly": AnomalySettings(z_move=float("nan"))}, "signal.anomaly.z_move must be more"),
        ({"learned": LearnedSettings(horizon=0)}, "signal.learned.horizon must be 1 to 10000"),
    ],
)
def test_the_first_that_can_not_is_named(changes, said: str) -> None:
    assert (fault_of(SignalSettings(**changes), GradeSettings()) or "").startswith(said)


def test_so_is_a_grade_without_a_rest() -> None:
    fault = fault_of(SignalSettings(), GradeSettings(interval_ms=0))
    assert fault == "grade.interval_ms must be 1 to 86400000, is 0"
