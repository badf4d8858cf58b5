"""What is told of a pause: its end by seconds, what is before that by the longer intervals. Pure.

Bounded: after a night there are no ten thousands of seconds to be told at once.
"""

from collections.abc import Sequence
from typing import Final

from feeds.derived.intervals import INTERVALS

_FLAT_LONGER_MAX: Final = 1_000
"""Candles of an interval, but for seconds: no more are kept anywhere."""


def told_from_us(end_us: int, seconds_max: int) -> list[int]:
    """By interval: from when on each of it is told, where nothing happens until `end_us`. Each is
    the beginning of one of the next longer interval, and not later than the one before it."""
    found: list[int] = []
    before_us = end_us
    for level, longer in enumerate(INTERVALS[1:]):
        most = _FLAT_LONGER_MAX if level else seconds_max
        before_us = longer.start_us(before_us - most * INTERVALS[level].length_us)
        found.append(before_us)
    return found


def level_of(at_us: int, from_us: Sequence[int]) -> int:
    """The longest interval that begins there and of which nothing shorter is to be told; 0, a
    second, where none begins."""
    for level in range(len(INTERVALS) - 1, 0, -1):
        interval = INTERVALS[level]
        if at_us == interval.start_us(at_us) and at_us + interval.length_us <= from_us[level - 1]:
            return level
    return 0
