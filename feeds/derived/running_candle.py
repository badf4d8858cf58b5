"""The candle of an interval that is not final yet, as it is now: from all that it is made of. Pure.

Of seconds that are final there is what the longer intervals have of them already.
"""

from collections.abc import Iterator, Mapping, Sequence

from feeds.derived.bar import Bar
from feeds.derived.intervals import INTERVALS


def whole_of(
    level: int, running: Sequence[Bar | None], seconds: Mapping[int, Bar]
) -> tuple[Bar | None, int]:
    """What is not final yet of the oldest interval that is not, and where its last part begins.

    `running`: of each interval, what its final parts come to; `seconds`: those that are not final.
    """
    interval = INTERVALS[level]
    whole, last_us = None, 0
    for part in _parts(level, running, seconds):
        if whole is None:
            whole, last_us = part.part_of(interval.start_us(part.start_us)), part.start_us
        elif part.start_us < whole.start_us + interval.length_us:
            whole.merge(part)
            last_us = part.start_us
    return whole, last_us


def _parts(level: int, running: Sequence[Bar | None], seconds: Mapping[int, Bar]) -> Iterator[Bar]:
    """In order."""
    for lower in range(level, 0, -1):
        bar = running[lower]
        if bar is not None:
            yield bar
    for start_us in sorted(seconds):
        yield seconds[start_us]
