"""The arithmetic of the benchmarks of reliability: lines through memory, readings in a window."""

import math
from itertools import accumulate
from random import Random

import msgspec
import pytest

from bench.growth import growth_of
from bench.reconnect.crowd import Counted, Subscriber
from bench.reconnect.readings import most_within
from feeds.market import Position

TRADES = "trade:sim:BTC-USD"


def test_a_steady_growth_is_told_per_hour() -> None:
    growth = growth_of([(second, 100e6 + 1_000 * second) for second in range(601)])
    assert growth.percent_per_h == pytest.approx(3.6, rel=0.01)
    assert growth.grown_kib == pytest.approx(600_000 / 1_024, rel=0.01)
    assert growth.error_percent_per_h < 0.1


def test_a_growth_by_many_small_steps_is_sure() -> None:
    growth = growth_of([(second, 100e6 + 8_192 * (second // 7)) for second in range(600)])
    assert growth.least_percent_per_h > 3.0


def test_a_single_step_does_not_make_sure_that_it_grows() -> None:
    growth = growth_of([(second, 100e6 + 200_000 * (second > 300)) for second in range(600)])
    assert growth.percent_per_h == pytest.approx(1.2, rel=0.01)
    assert growth.least_percent_per_h < 0.0 < 3.0 < growth.most_percent_per_h


def test_a_reading_that_is_off_changes_nothing() -> None:
    points = [(float(second), 100e6) for second in range(600)]
    points[0] = (0.0, 50e6)
    points[-1] = (599.0, 150e6)
    growth = growth_of(points)
    assert (growth.percent_per_h, growth.error_percent_per_h) == (0.0, 0.0)


def test_what_only_wanders_is_not_sure_to_grow() -> None:
    """Nor to shrink: at least 9 of 10 times."""
    told = [growth_of(wandering(Random(seed))) for seed in range(100)]
    unsure = [one for one in told if one.least_percent_per_h < 0.0 < one.most_percent_per_h]
    assert len(unsure) >= 90


def test_too_few_readings_tell_no_slope() -> None:
    assert math.isnan(growth_of([(0.0, 1e6), (1.0, 2e6)]).percent_per_h)


@pytest.mark.parametrize(
    ("times_s", "most"),
    [([], 0), ([1.0], 1), ([0.0, 0.05, 0.09, 0.3], 3), ([0.0, 0.1, 0.2], 1)],
)
def test_the_most_readings_within_any_window(times_s: list[float], most: int) -> None:
    assert most_within(times_s) == most


def wandering(random: Random) -> list[tuple[float, float]]:
    steps = (random.choice((-4_096, 0, 4_096)) for _ in range(300))
    return [(float(second), size) for second, size in enumerate(accumulate(steps, initial=60e6))]


def frame(told: object) -> bytes:
    """As a gateway sends it."""
    text = msgspec.json.encode(told)
    assert 126 <= len(text) < 65_536
    return b"\x81\x7e" + len(text).to_bytes(2, "big") + text


def trade(seq: int) -> bytes:
    return frame({"ch": TRADES, "seq": seq, "px": "1", "id": "x" * 80})


def test_a_crowds_subscriber_counts_what_it_was_not_told_however_the_bytes_come() -> None:
    counted = Counted()
    subscriber = Subscriber([TRADES], "key", counted)
    subscriber.positions[TRADES] = Position("e", 4)
    heard = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + b"".join(map(trade, (5, 6, 8, 8)))
    for at in range(len(heard)):
        subscriber.data_received(heard[at : at + 1])
    assert subscriber.positions[TRADES] == Position("e", 8)
    assert (counted.messages, counted.holes, counted.repeated) == (4, 1, 1)
