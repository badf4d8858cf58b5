"""Learned: logistic regression on what the kernels say, online: predict first, learn when it shows.

Pure, given river. An example waits until its horizon is over; then, and not before, it is learned.
Its state is made of candles alone: heard again in the same order, they give the same state.
"""

from collections import deque
from math import log, sqrt
from typing import Final, NamedTuple, Protocol

from feeds.derived.kernels import Atr, Bollinger, Ema, Macd, Rsi, ZScore
from feeds.derived.models.model import ModelRow, Opinion, Step, told, within
from feeds.derived.signal_settings import LearnedSettings

_LOGIT_MAX: Final = 10.0
_FEATURE_MAX: Final = 5.0
"""No feature says more than this many of its units: one wild candle must not rule the weights."""


class Classifier(Protocol):
    """As river has it: a probability of True, learned example by example."""

    def predict_proba_one(self, x: dict[str, float]) -> dict[bool, float]: ...

    def learn_one(self, x: dict[str, float], y: bool) -> None: ...


class _Example(NamedTuple):
    """What was known at a time, waiting for what came of it."""

    due_us: int
    close: float
    features: dict[str, float]
    logit: float


class Features:
    """What the kernels say, in units that don't depend on the price or the pair."""

    def __init__(self, horizon: int) -> None:
        self._fast, self._slow = Ema(10), Ema(40)
        self._macd, self._atr, self._rsi = Macd(), Atr(), Rsi()
        self._bands = Bollinger()
        self._bought, self._volume, self._busy = Ema(10), Ema(10), ZScore(60)
        self._closes: deque[float] = deque(maxlen=horizon + 1)
        self._unit = 1.0 / sqrt(horizon)

    def update(self, step: Step) -> dict[str, float] | None:
        close, closes = step.close, self._closes
        before = closes[-1] if closes else close
        closes.append(close)
        fast, slow = self._fast.update(close), self._slow.update(close)
        macd, rsi, bands = (
            self._macd.update(close),
            self._rsi.update(close),
            self._bands.update(close),
        )
        reach = self._atr.update(step.high, step.low, close)
        bought = self._bought.update(2.0 * step.buy_volume - step.volume)
        volume = self._volume.update(step.volume)
        busy = self._busy.update(log(1.0 + step.volume))
        if (
            fast is None
            or slow is None
            or macd is None
            or rsi is None
            or bands is None
            or reach is None
            or bought is None
            or volume is None
            or busy is None
            or len(closes) < (closes.maxlen or 0)
        ):
            return None
        per_atr = 1.0 / reach if reach > 0.0 else 0.0
        width = bands.upper - bands.middle
        return {
            name: within(value, _FEATURE_MAX)
            for name, value in (
                ("distance", (fast - slow) * per_atr),
                ("macd", macd.histogram * per_atr),
                ("rsi", (rsi - 50.0) / 15.0),
                ("band", (close - bands.middle) / width if width > 0.0 else 0.0),
                ("imbalance", bought / volume if volume > 0.0 else 0.0),
                ("move", (close - before) * per_atr),
                ("long_move", (close - closes[0]) * per_atr * self._unit),
                ("busy", busy),
            )
        }


class Learned:
    """A Model."""

    def __init__(self, settings: LearnedSettings, interval_us: int) -> None:
        self._settings = settings
        self._interval_us = interval_us
        self._horizon_us = settings.horizon * interval_us
        self._features = Features(settings.horizon)
        self._classifiers: tuple[Classifier, Classifier] | None = None
        """Made when they are needed: river takes a second to import, and much memory."""
        self._waiting: deque[_Example] = deque(maxlen=settings.horizon + 1)
        """Oldest first; there are none as long as there are no classifiers."""
        self._learned = 0
        self._raw = 0.5

    def restart(self) -> None:
        """What it has learned stays."""
        self._features = Features(self._settings.horizon)
        self._waiting.clear()

    def update(self, step: Step) -> Opinion | None:
        self._learn(step)
        features = self._features.update(step)
        if features is None:
            return None
        if self._classifiers is None:
            self._classifiers = _classifiers(self._settings)
        classifier, calibration = self._classifiers
        raw = classifier.predict_proba_one(features)[True]
        logit = _logit(raw)
        up = calibration.predict_proba_one({"logit": logit})[True]
        due_us = step.end_us + self._horizon_us
        self._waiting.append(_Example(due_us, step.close, features, logit))
        if self._learned < self._settings.examples:
            return None
        self._raw = raw
        return Opinion(2.0 * up - 1.0, up)

    def reasons(self) -> dict[str, float]:
        features = self._waiting[-1].features if self._waiting else {}
        return told(**features, uncalibrated=self._raw, examples=self._learned)

    def _learn(self, step: Step) -> None:
        """From the example whose horizon is over; of no move there is nothing to learn."""
        waiting = self._waiting
        while waiting and waiting[0].due_us <= step.end_us and self._classifiers is not None:
            example = waiting.popleft()
            if example.due_us == step.end_us and example.close != step.close:
                classifier, calibration = self._classifiers
                is_up = step.close > example.close
                calibration.learn_one({"logit": example.logit}, is_up)
                classifier.learn_one(example.features, is_up)
                self._learned += 1


def _classifiers(settings: LearnedSettings) -> tuple[Classifier, Classifier]:
    """The one that sees the features, and the one that says how far to believe it.

    The second is Platt's scaling, online: logistic regression on the first one's logit, learned
    from predictions that were made before their outcome was known. It begins with a weight of 0:
    until the first has shown something, the probability is one half. (river 0.26 has no
    calibration of its own: https://github.com/online-ml/river/issues/1421.)
    """
    from river.linear_model import LogisticRegression  # noqa: PLC0415 - an extra
    from river.optim import SGD  # noqa: PLC0415
    from river.preprocessing import StandardScaler  # noqa: PLC0415

    rate = settings.rate / settings.horizon
    belief = settings.calibration_rate / settings.horizon
    first = StandardScaler() | LogisticRegression(SGD(rate), l2=settings.shrink, intercept_lr=0.0)
    second = StandardScaler() | LogisticRegression(
        SGD(belief), l2=settings.shrink, intercept_lr=belief
    )
    return first, second


def _logit(probability: float) -> float:
    if not 0.0 < probability < 1.0:
        return _LOGIT_MAX if probability > 0.5 else -_LOGIT_MAX
    return within(log(probability / (1.0 - probability)), _LOGIT_MAX)


LEARNED: Final = ModelRow(
    name="learned",
    title="Learned: logistic regression, online",
    version=1,
    settings=lambda settings: settings.learned,
    make=lambda settings, interval_us: Learned(settings.learned, interval_us),
    modules=("river.linear_model", "river.optim", "river.preprocessing"),
)
