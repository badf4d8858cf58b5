"""Grades: what the models say of a pair, weighed by what came of what they said before."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec.structs import replace

from feeds.derived.grade import Grades
from feeds.derived.settings import DerivedSettings
from feeds.derived.signal_settings import GradeSettings, SignalSettings
from feeds.ledger.proportion import wilson
from feeds.market import Channel, Direction, Grade, Outcome, Reference, Signal, Tick

NOW_US = 1_763_632_800_000_000
SECOND_US = 1_000_000
SETTINGS = DerivedSettings(
    signal=SignalSettings(models=("trend", "flow")), grade=GradeSettings(interval_ms=1_000)
)
START = Reference("price:agg:BTC-USD", "100", NOW_US)


def signal(
    score: float, model: str = "trend", pair: str = "BTC-USD", *, at_us: int = NOW_US, **changes
) -> Tick:
    direction: Direction = "bull" if score > 0 else "bear" if score < 0 else "neutral"
    payload = Signal(
        f"{model}-1:{pair}:{at_us}", model, 1, direction, score, at_us, 60, at_us + 60 * SECOND_US,
        START, {}, received_us=at_us - 5,
    )  # fmt: skip
    return Tick(Channel("signal", model, pair), replace(payload, **changes))


def outcomes(
    hits: int, misses: int, model: str = "trend", pair: str = "ETH-USD", **changes
) -> list[Tick]:
    channel = Channel("outcome", model, pair)
    rows = [
        Outcome(f"{model}-1:{pair}:{number}", model, 1, "bull", NOW_US, 5.0, START, move=move)
        for number, move in enumerate([0.01] * hits + [-0.01] * misses)
    ]
    return [Tick(channel, replace(row, **changes)) for row in rows]


def grades(told) -> list[int]:
    return [tick.payload.grade for tick in told if isinstance(tick.payload, Grade)]


def woken(one: Grades, until_us: int):
    told = []
    while (at_us := one.next_us()) is not None and at_us <= until_us:
        told += one.wake(at_us)
    return told


def heard(*ticks: Tick) -> Grades:
    """Long enough ago for all to be told again."""
    one = Grades(SETTINGS)
    one.take(ticks, NOW_US - 10 * SECOND_US)
    woken(one, NOW_US - SECOND_US)
    return one


def test_where_no_model_has_a_record_a_pair_is_at_fifty_and_the_parts_say_why() -> None:
    told = Grades(SETTINGS).take([signal(0.9)], NOW_US)
    assert [tick.channel.name for tick in told] == ["grade:agg:BTC-USD"]
    grade = told[0].payload
    assert (grade.grade, grade.computed_us, grade.version) == (50, NOW_US, 1)
    assert grade.received_us == NOW_US - 5
    assert [(part.model, part.score, part.weight) for part in grade.parts] == [
        ("trend", 0.9, 0.0),
        ("flow", 0.0, 0.0),
    ]
    assert [(part.outcomes, part.hit_rate) for part in grade.parts] == [(0, None), (0, None)]


def test_the_only_one_with_a_record_has_all_the_weight() -> None:
    told = heard(*outcomes(80, 20), *outcomes(50, 50, "flow")).take([signal(0.9)], NOW_US)
    (grade,) = [tick.payload for tick in told]
    assert grade.grade == 95
    assert [(part.weight, part.outcomes, part.hit_rate) for part in grade.parts] == [
        (1.0, 100, 0.8),
        (0.0, 100, 0.5),
    ]


def test_the_weight_is_what_is_surely_more_than_chance() -> None:
    one = heard(*outcomes(80, 20), *outcomes(140, 60, "flow"))
    (grade,) = [tick.payload for tick in one.take([signal(0.9), signal(-0.5, "flow")], NOW_US)]
    edges = [wilson(80, 100).low - 0.5, wilson(140, 200).low - 0.5]
    weights = [edge / sum(edges) for edge in edges]
    assert [part.weight for part in grade.parts] == pytest.approx(weights, abs=0.0005)
    assert grade.grade == round(50 + 50 * (0.9 * weights[0] - 0.5 * weights[1]))


def test_who_is_more_often_wrong_than_right_is_not_believed_the_other_way_round() -> None:
    assert grades(heard(*outcomes(10, 90)).take([signal(1.0)], NOW_US)) == [50]


@pytest.mark.parametrize(
    "changes", [{"version": 2}, {"direction": "neutral"}, {"move": None}, {"simulated": True}]
)
def test_outcomes_that_are_no_record_of_it_do_not_count(changes) -> None:
    one = heard(*outcomes(90, 10, **changes))
    assert one.take([signal(1.0)], NOW_US)[0].payload.parts[0].outcomes == 0


def test_a_bear_that_fell_is_a_hit() -> None:
    one = heard(*outcomes(0, 100, direction="bear"))
    assert one.take([signal(-0.8)], NOW_US)[0].payload.grade == 10


def test_of_a_model_that_is_not_chosen_nothing_is_heard() -> None:
    one = Grades(SETTINGS)
    assert one.take([signal(1.0, "anomaly"), signal(1.0, version=2)], NOW_US) == []


def test_an_expired_signal_says_nothing_any_more() -> None:
    one = heard(*outcomes(80, 20))
    assert grades(one.take([signal(0.9)], NOW_US)) == [95]
    assert grades(woken(one, NOW_US + 59 * SECOND_US)) == []
    assert one.next_us() == NOW_US + 60 * SECOND_US
    assert grades(woken(one, NOW_US + 60 * SECOND_US)) == [50]
    assert one.next_us() is None


def test_at_most_one_a_second_and_the_newest_is_told_in_the_end() -> None:
    one = heard(*outcomes(80, 20))
    told = []
    for at_us in range(NOW_US, NOW_US + 3 * SECOND_US, SECOND_US // 10):
        told += woken(one, at_us)
        told += one.take([signal((at_us - NOW_US) / 3e6)], at_us)
    told += woken(one, NOW_US + 4 * SECOND_US)
    gaps = [
        later.payload.computed_us - earlier.payload.computed_us for earlier, later in pairwise(told)
    ]
    assert min(gaps) >= SECOND_US
    assert grades(told)[-1] == round(50 + 50 * 29 / 30)


def test_saying_the_same_again_is_no_message() -> None:
    one = heard(*outcomes(80, 20))
    assert grades(one.take([signal(0.9)], NOW_US)) == [95]
    again = signal(0.9, at_us=NOW_US + 5 * SECOND_US)
    assert one.take([again], NOW_US + 5 * SECOND_US) == []


def test_a_record_that_changes_a_weight_changes_every_pairs_grade() -> None:
    one = Grades(SETTINGS)
    pairs = [signal(1.0), signal(-1.0, pair="ETH-USD")]
    assert grades(one.take(pairs, NOW_US)) == [50, 50]
    told = one.take(outcomes(80, 20), NOW_US + 5 * SECOND_US)
    assert grades(told) == [100, 0]
    more = one.take(outcomes(80, 20, pair="SOL-USD"), NOW_US + 6 * SECOND_US)
    assert more + woken(one, NOW_US + 9 * SECOND_US) == []


def test_after_a_restart_each_outcome_counts_once_and_signals_that_hold_are_known() -> None:
    old = signal(1.0, "flow", at_us=NOW_US - 70 * SECOND_US)
    histories = {
        "outcome:trend:ETH-USD": [tick.payload for tick in outcomes(80, 20) * 2],
        "signal:trend:BTC-USD": [
            signal(0.9).payload,
            signal(-0.9, at_us=NOW_US - 50 * SECOND_US).payload,
        ],
        "signal:flow:BTC-USD": [old.payload],
    }
    one = Grades(SETTINGS)
    one.restore(histories, NOW_US)
    (grade,) = [tick.payload for tick in woken(one, NOW_US)]
    assert grade.grade == 95
    assert [(part.score, part.outcomes) for part in grade.parts] == [(0.9, 100), (0.0, 0)]


def test_of_a_generated_market_only_generated_signals_are_graded_and_it_says_so() -> None:
    one = Grades(replace(SETTINGS, simulated=True))
    assert one.take([signal(0.9)], NOW_US) == []
    assert one.take([signal(0.9, simulated=True)], NOW_US)[0].payload.simulated


@hypothesis_settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 3), st.integers(0, 90)), max_size=40))
def test_a_grade_is_never_outside_of_0_to_100_and_always_gets_on(rows) -> None:
    one, at_us, told = heard(*outcomes(80, 20), *outcomes(70, 30, "flow")), NOW_US, []
    for score, pair, wait_s in rows:
        at_us += wait_s * SECOND_US
        told += woken(one, at_us)
        model = "trend" if pair % 2 else "flow"
        told += one.take([signal(score, model, f"P{pair}-USD", at_us=at_us)], at_us)
    told += woken(one, at_us + 200 * SECOND_US)
    assert all(0 <= grade <= 100 for grade in grades(told))
    assert one.next_us() is None
    last = {tick.channel.name: tick.payload.grade for tick in told}
    assert set(last.values()) <= {50}


def test_what_was_said_before_a_signal_that_was_not_told_holds_on() -> None:
    one = heard(*outcomes(80, 20), signal(0.9, at_us=NOW_US - 10 * SECOND_US))
    turn = signal(-0.9)
    assert grades(one.take([turn], NOW_US)) == [5]
    one.withhold(turn.payload)
    assert grades(woken(one, NOW_US + 5 * SECOND_US)) == [95]


def test_an_outcome_that_was_not_told_counts_nothing() -> None:
    rows = outcomes(80, 20)
    one = heard(*rows, *outcomes(50, 50, "flow"), signal(0.9, at_us=NOW_US - SECOND_US))
    for tick in rows:
        one.withhold(tick.payload)
        one.withhold(tick.payload)
    assert grades(woken(one, NOW_US + 5 * SECOND_US)) == [50]
