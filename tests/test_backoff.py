"""When to try again and when to give up waiting: the pure decisions."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.backoff import Backoff, Silence


@given(st.integers(), st.floats(0.001, 10), st.floats(0.001, 100), st.integers(1, 2_000))
def test_a_pause_is_never_negative_and_never_above_its_ceiling(
    seed: int, first_s: float, max_s: float, failures: int
) -> None:
    backoff = Backoff(first_s, max_s, Random(seed))
    pauses = [backoff.next_pause_s() for _ in range(failures)]
    assert all(
        0 <= pause_s <= min(max_s, first_s * 2 ** min(n, 100)) for n, pause_s in enumerate(pauses)
    )


def test_pauses_use_the_whole_range_and_start_small_again_after_a_reset() -> None:
    backoff = Backoff(0.5, 30.0, Random(3))
    pauses = [backoff.next_pause_s() for _ in range(1_000)]
    assert min(pauses[10:]) < 3.0
    assert max(pauses[10:]) > 27.0
    backoff.reset()
    assert backoff.next_pause_s() <= 0.5


@pytest.mark.parametrize(
    ("frame_s", "data_s", "now_s", "left_s"),
    [
        (0.0, 0.0, 0.0, 10.0),
        (9.0, 0.0, 9.0, 10.0),
        (55.0, 0.0, 55.0, 5.0),
        (55.0, 50.0, 58.0, 7.0),
        (55.0, 0.0, 60.0, 0.0),
        (5.0, 5.0, 20.0, -5.0),
    ],
)
def test_silence_is_measured_from_the_last_frame_and_from_the_last_data(
    frame_s: float, data_s: float, now_s: float, left_s: float
) -> None:
    silence = Silence(10.0, 60.0, 0.0)
    silence.frame_came(frame_s)
    silence.data_came(data_s)
    assert silence.left_s(now_s) == left_s


def test_a_data_limit_below_the_frame_limit_is_raised_to_it() -> None:
    assert Silence(10.0, 1.0, 0.0).left_s(0.0) == 10.0
