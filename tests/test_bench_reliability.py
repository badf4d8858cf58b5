"""The arithmetic of the benchmarks of reliability: lines through memory, readings in a window."""

import math
from random import Random

import msgspec
import pytest

from bench.reconnect.crowd import Counted, Subscriber
from bench.reconnect.readings import most_within
from bench.soak import fitted
from feeds.market import Position

TRADES = "trade:sim:BTC-USD"


def test_a_steady_growth_is_told_per_hour() -> None:
    line = fitted([(second, 100e6 + 1_000 * second) for second in range(100)])
    assert line.percent_per_h == pytest.approx(3.6)
    assert line.error_percent_per_h == pytest.approx(0.0, abs=1e-6)


def test_what_only_wanders_is_not_sure_to_grow() -> None:
    random, size, points = Random(1), 60e6, []
    for second in range(300):
        size += random.choice((-4_096, 0, 4_096))
        points.append((float(second), size))
    line = fitted(points)
    assert abs(line.percent_per_h) < line.error_percent_per_h


def test_too_few_readings_tell_no_slope() -> None:
    assert math.isnan(fitted([(0.0, 1e6), (1.0, 2e6)]).percent_per_h)


@pytest.mark.parametrize(
    ("times_s", "most"),
    [([], 0), ([1.0], 1), ([0.0, 0.05, 0.09, 0.3], 3), ([0.0, 0.1, 0.2], 1)],
)
def test_the_most_readings_within_any_window(times_s: list[float], most: int) -> None:
    assert most_within(times_s) == most


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
