"""What each model finds where it was planted, and that a random walk gives none of them an edge."""

from math import log
from random import Random

import pytest

from feeds.derived.models import MODELS, Opinion, chosen, lacks, load, missing
from feeds.derived.models.learned import LEARNED
from feeds.derived.models.trend import TREND
from feeds.derived.signal_settings import AnomalySettings, SignalSettings
from feeds.ledger.proportion import wilson
from feeds.market import Candle
from tests.model_market import (
    MINUTE_US,
    Shape,
    candle,
    market,
    moves,
    settings,
    shapes,
    signals_of,
    step,
    trending,
    walk,
)

needs_river = pytest.mark.skipif(bool(lacks(LEARNED)), reason="the extra `learned`: no river here")


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """What models import takes seconds, and is no part of any test."""
    load(SignalSettings())


def hit_rate(candles: list[Candle], model: str, **changes) -> tuple[float, float]:
    """The bounds of what it truly is; of signals that hardly overlap."""
    made = moves(candles, signals_of(candles, model, **changes))
    assert len(made) >= 20
    interval = wilson(sum(move > 0 for move in made), len(made))
    return interval.low, interval.high


def bouncing(count: int, seed: int) -> list[Candle]:
    """What strays from 100 is drawn back."""
    random, made, away = Random(seed), [], 0.0
    for number in range(count):
        move = random.gauss(0.0, 0.001) - 0.12 * away
        open_ = float(made[-1].close) if made else 100.0
        made.append(candle(number, Shape(move, 5.0, 0.5), open_))
        away = log(float(made[-1].close) / 100.0)
    return made


def led_by_takers(count: int, seed: int) -> list[Candle]:
    """Takers' doing lasts, and the price goes where they went the minute before."""
    random, bought, rows = Random(seed), 0.5, []
    for _ in range(count):
        move = random.gauss(0.0, 0.0005) + 0.004 * (bought - 0.5)
        bought = 0.5 + 0.95 * (bought - 0.5) + random.gauss(0.0, 0.03)
        rows.append(Shape(move, 5.0, min(0.95, max(0.05, bought))))
    return market(rows)


EAGER = AnomalySettings(z_volume=1.0, z_move=1.5, horizon=20)
"""On a walk nothing is unusual enough to be flagged as shipped."""


@pytest.mark.parametrize("model", [name for name in MODELS if name != "learned"])
def test_a_random_walk_gives_no_edge(model: str) -> None:
    low, high = hit_rate(walk(3_000, seed=6), model, anomaly=EAGER)
    assert low <= 0.5 <= high


@pytest.mark.parametrize(
    ("model", "planted"),
    [
        ("trend", trending),
        ("reversion", bouncing),
        ("flow", led_by_takers),
        pytest.param("learned", trending, marks=needs_river),
    ],
)
def test_what_is_planted_is_found(model: str, planted) -> None:
    low, _ = hit_rate(planted(3_000, 6), model)
    assert low > 0.55


def moonshot(at: int, move: float) -> list[Candle]:
    rows = shapes(400, seed=6)
    rows[at] = Shape(move, 400.0, 0.9)
    return market(rows)


@pytest.mark.parametrize(("move", "direction"), [(0.02, "bull"), (-0.02, "bear")])
def test_a_burst_of_volume_and_price_is_flagged_once_and_for_its_horizon(
    move: float, direction: str
) -> None:
    signals = signals_of(moonshot(300, move), "anomaly")
    assert [signal.direction for signal in signals] == [direction, "neutral"]
    flagged, over = signals
    assert flagged.id == f"anomaly-1:BTC-USD:{candle(301, Shape(0, 1, 0.5)).start_us}"
    assert over.computed_us - flagged.computed_us == 60 * MINUTE_US
    assert flagged.reasons["move"] == pytest.approx(move, rel=0.01)
    assert flagged.reasons["volume_z"] > 3.0
    assert abs(flagged.reasons["move_z"]) > 4.0


def test_neither_volume_nor_a_move_alone_is_an_anomaly() -> None:
    rows = shapes(400, seed=6)
    rows[300] = rows[300]._replace(volume=400.0)
    rows[330] = rows[330]._replace(move=0.02)
    assert signals_of(market(rows), "anomaly") == []


def test_part_of_a_candle_and_one_without_trades_do_not_change_what_is_usual() -> None:
    thin = moonshot(300, 0.02)
    spoilt = [
        candle(number, Shape(0.0, 0.0, 0.0), float(each.close)) if 250 <= number < 290 else each
        for number, each in enumerate(thin)
    ]
    flagged = signals_of(spoilt, "anomaly")[0].reasons
    fewer = signals_of(thin[:250] + thin[290:], "anomaly", outage_max=99)[0].reasons
    assert flagged["volume_z"] == fewer["volume_z"]


def test_one_sided_throughout_is_no_flow_as_nobody_knew_who_took() -> None:
    rows = [shape._replace(bought=0.0) for shape in shapes(400, seed=6)]
    assert signals_of(market(rows), "flow") == []


@pytest.mark.parametrize("model", [name for name in MODELS if name != "anomaly"])
def test_a_market_that_stands_still_gives_no_signal(model: str) -> None:
    if model == "learned":
        pytest.importorskip("river")
    assert signals_of(market([Shape(0.0, 0.0, 0.0)] * 450), model) == []


def judged(candles: list[Candle]) -> list[tuple[float, bool]]:
    """Every probability that was said, and whether it went up."""
    one, closes = (
        LEARNED.make(settings("learned").signal, MINUTE_US),
        [float(e.close) for e in candles],
    )
    opinions: list[Opinion | None] = [one.update(step(each)) for each in candles]
    ends = zip(opinions, closes, closes[5:], strict=False)
    return [
        (opinion.probability_up or 0.0, end > begin)
        for opinion, begin, end in ends
        if opinion is not None and end != begin
    ]


def brier(said: list[tuple[float, bool]]) -> float:
    return sum((probability - is_up) ** 2 for probability, is_up in said) / len(said)


def off(said: list[tuple[float, bool]]) -> float:
    """How far from the truth a probability is, by tenths, on the average of all."""
    tenths: dict[int, list[tuple[float, bool]]] = {}
    for probability, is_up in said:
        tenths.setdefault(int(probability * 10), []).append((probability, is_up))
    return sum(abs(sum(p - up for p, up in tenth)) for tenth in tenths.values()) / len(said)


@needs_river
def test_on_a_random_walk_the_learned_probability_stays_near_one_half() -> None:
    said = judged(walk(3_000, seed=6))
    assert brier(said) < 0.2525
    assert all(0.35 < probability < 0.65 for probability, _ in said)


@needs_river
def test_planted_structure_is_learned_and_the_probability_is_calibrated() -> None:
    said = judged(trending(4_000, 6))[1_000:]
    assert brier(said) < 0.2
    assert off(said) < 0.12


@needs_river
def test_the_same_candles_teach_the_same() -> None:
    candles = walk(450, seed=6)
    assert judged(candles) == judged(candles)
    assert len(judged(candles)) > 0


@needs_river
def test_nothing_is_learned_from_what_has_not_come_yet() -> None:
    candles, other = walk(450, seed=6), walk(450, seed=7)
    now = 420
    rest = [candle(now + at, Shape(0.01, 5.0, 0.5), 200.0) for at in range(30)]
    opinions = []
    for future in (candles[now:], other[now:], rest):
        one = LEARNED.make(settings("learned").signal, MINUTE_US)
        opinions.append([one.update(step(each)) for each in candles[:now] + future][:now])
    assert opinions[0] == opinions[1] == opinions[2]


def test_a_model_whose_package_is_not_there_is_off_and_said_to_be(monkeypatch) -> None:
    monkeypatch.setattr("feeds.derived.models.find_spec", lambda name: None)
    asked = SignalSettings()
    assert "learned" not in [row.name for row in chosen(asked)]
    assert [row.name for row in missing(asked)] == ["learned"]
    assert lacks(LEARNED) == ["river"]
    assert lacks(TREND) == []


@needs_river
def test_what_a_model_needs_can_be_loaded_beforehand() -> None:
    load(SignalSettings())
    assert missing(SignalSettings()) == []
