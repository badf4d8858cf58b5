"""What may be set about models, their signals and grades."""

import msgspec


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every model has. Its score goes from -1, surely down, to 1, surely up."""

    horizon: int
    """For how many intervals a signal speaks: its outcome is taken there."""
    enter: float
    """The score at which a direction begins."""
    leave: float
    """The lower one at which it ends: between the two it lasts, so that it does not flap."""


class TrendSettings(ModelSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Moving averages and MACD. Periods are intervals."""

    horizon: int = 30
    enter: float = 0.6
    leave: float = 0.2
    fast: int = 20
    slow: int = 50
    macd: tuple[int, int, int] = (12, 26, 9)
    atr: int = 14
    distance_atr: float = 2.0
    """How many true ranges the averages must be apart for a score of 0.76."""


class ReversionSettings(ModelSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """RSI and Bollinger's bands. Periods are intervals."""

    horizon: int = 15
    enter: float = 0.65
    leave: float = 0.15
    rsi: int = 14
    bollinger: int = 20
    deviations: float = 2.0


class FlowSettings(ModelSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Taker imbalance and quote pressure. Periods are intervals."""

    horizon: int = 5
    enter: float = 0.5
    leave: float = 0.15
    decay: int = 10
    """The period of the averages."""
    history: int = 120
    """Against so many intervals an imbalance is measured."""


class AnomalySettings(ModelSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Unusual volume and price move, both at once."""

    horizon: int = 60
    enter: float = 0.5
    leave: float = 0.25
    history: int = 240
    """The period of what counts as usual, in intervals with trades."""
    z_volume: float = 3.0
    """So many deviations above its own usual logarithm a volume must be."""
    z_move: float = 4.0
    """So many deviations from its own usual size a move must be."""


class LearnedSettings(ModelSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Logistic regression, learning as it goes."""

    horizon: int = 5
    enter: float = 0.1
    """0.1 is a probability of 0.55."""
    leave: float = 0.04
    rate: float = 0.015
    """How fast it learns from what does not overlap: each example is learned at this rate divided
    by the horizon, as so many examples share their future."""
    calibration_rate: float = 0.01
    """How fast it believes what it has learned; slower, or it would believe a random walk."""
    shrink: float = 0.001
    """How strongly its weights are drawn to 0."""
    examples: int = 300
    """After so many examples it speaks."""


class SignalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The models of the market."""

    models: tuple[str, ...] = ("trend", "reversion", "flow", "anomaly", "learned")
    interval: str = ""
    """Of the candles that they read; empty: 1m, or 1s where the market is simulated."""
    outage_max: int = 5
    """After more missing candles in a row than these the kernels warm up anew."""
    late_max_s: int = 10
    """A candle that becomes final later than so long after its end only warms up: a signal after
    it would be about the past."""
    trend: TrendSettings = TrendSettings()
    reversion: ReversionSettings = ReversionSettings()
    flow: FlowSettings = FlowSettings()
    anomaly: AnomalySettings = AnomalySettings()
    learned: LearnedSettings = LearnedSettings()


class GradeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Grades."""

    interval_ms: int = 1_000
    """At most one message of a pair in so long."""
