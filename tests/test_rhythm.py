"""How long a channel may be silent, learnt from itself."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.watching.rhythm import FLOOR_S, UNKNOWN_LIMIT_S, Rhythm


def learnt(*pauses_s: float, kind: str = "trade") -> tuple[Rhythm, float]:
    """A rhythm after these pauses, and the time then."""
    rhythm, now_s = Rhythm(kind), 100.0
    rhythm.beat(now_s)
    for pause_s in pauses_s:
        now_s += pause_s
        rhythm.beat(now_s)
    return rhythm, now_s


def test_a_busy_channel_is_missed_within_ten_seconds() -> None:
    rhythm, now_s = learnt(*[1.0] * 60)
    assert not rhythm.is_overdue(now_s + FLOOR_S - 0.1)
    assert rhythm.is_overdue(now_s + FLOOR_S)
    assert FLOOR_S + 0.5 < 10


def test_a_quiet_channel_is_missed_after_three_times_its_usual_pause() -> None:
    rhythm, now_s = learnt(*[40.0] * 30)
    assert rhythm.limit_s == 120.0
    assert not rhythm.is_overdue(now_s + 119.9)


@pytest.mark.parametrize("kind", ["trade", "quote"])
def test_a_channel_just_begun_gets_the_benefit_of_the_doubt(kind: str) -> None:
    rhythm, _ = learnt(1.0, 1.0, kind=kind)
    assert rhythm.limit_s == UNKNOWN_LIMIT_S[kind]


def test_before_the_first_data_nothing_is_overdue() -> None:
    assert not Rhythm("trade").is_overdue(1e9)


def test_a_pause_in_hearing_is_no_pause_of_the_channel() -> None:
    rhythm, now_s = learnt(*[1.0] * 60)
    rhythm.pause()
    assert not rhythm.is_overdue(now_s + 1e6)
    rhythm.beat(now_s + 1e6)
    assert rhythm.limit_s == FLOOR_S


def test_an_outage_does_not_make_the_next_one_unseen() -> None:
    rhythm, now_s = learnt(*[1.0] * 60)
    rhythm.beat(now_s + 3_600.0)
    assert rhythm.limit_s == 3 * FLOOR_S


def test_a_channel_that_has_grown_quiet_is_known_to_be_after_a_few_false_alarms() -> None:
    rhythm, now_s = learnt(*[1.0] * 60)
    alarms = 0
    for _ in range(20):
        alarms += rhythm.is_overdue(now_s + 100.0)
        now_s += 100.0
        rhythm.beat(now_s)
    assert alarms <= 3


def test_a_channel_that_has_grown_busy_again_is_soon_missed_early_again() -> None:
    rhythm, _ = learnt(*[60.0] * 25, *[1.0] * 1_300)
    assert rhythm.limit_s == FLOOR_S


@pytest.mark.parametrize("seed", range(20))
def test_pairs_that_trade_at_random_are_hardly_ever_taken_for_dead(seed: int) -> None:
    random = Random(seed)
    rhythm, now_s, alarms = Rhythm("trade"), 0.0, 0
    mean_s = random.uniform(1.0, 120.0)
    for _ in range(2_000):
        now_s += 1.0 + random.expovariate(1 / mean_s)
        alarms += rhythm.is_overdue(now_s)
        rhythm.beat(now_s)
    assert alarms <= 2


@given(st.lists(st.floats(1.0, 1_000.0), max_size=200))
def test_the_limit_is_never_below_the_floor_nor_above_what_was_learnt(
    pauses_s: list[float],
) -> None:
    rhythm, _ = learnt(*pauses_s)
    longest_s = max([*pauses_s, UNKNOWN_LIMIT_S["trade"]])
    assert FLOOR_S <= rhythm.limit_s <= 3 * longest_s + 1e-6
