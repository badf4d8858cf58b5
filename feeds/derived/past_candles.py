"""Candles of one market that were told before a restart: where its series goes on from. Pure.

An earlier process may have ended before it told a longer candle whose parts were final already, or
the correction of one: both are owed.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from feeds.derived.bar import Bar
from feeds.derived.intervals import INTERVALS
from feeds.derived.second_look import Known, added_up, amended, finals_of, joined
from feeds.market import Candle


class PastCandles(NamedTuple):
    """Lists are by level, as intervals are; at that of seconds is None."""

    next_us: int | None
    """The first second that is not final; None: none is known any more that was."""
    close: str
    """Of the newest."""
    seconds: dict[int, Bar]
    """The newest final ones, oldest first, by their start."""
    running: list[Bar | None]
    """What the final parts of one that is not final come to."""
    finals: list[Bar | None]
    """The newest final one."""
    owed: list[tuple[int, Bar]]
    """What is to be told, in order, each with its level."""


def past_candles(
    told: Mapping[str, Sequence[Candle]], known: Known, seconds_max: int
) -> PastCandles | None:
    """`told`: by the interval's name, oldest first; None: nothing of it was final."""
    finals = [finals_of(told.get(each.name, ())) for each in INTERVALS]
    finest = next((level for level, each in enumerate(finals) if each), None)
    if finest is None:
        return None
    newest = max(finals[finest])
    next_us = newest + INTERVALS[finest].length_us
    newest_us = sorted(finals[0])[-seconds_max:] if seconds_max else []
    seconds = {start_us: finals[0][start_us] for start_us in newest_us}
    corrected = _corrected(seconds, known)
    seconds |= corrected
    finals[0] |= corrected
    close = finals[finest][newest].close
    running: list[Bar | None] = [None]
    owed = [(0, bar) for bar in corrected.values()]
    for level in range(1, len(INTERVALS)):
        part, whole = INTERVALS[level - 1], INTERVALS[level]
        start_us, end_us = whole.start_us(next_us), part.start_us(next_us)
        last = _owed(level, start_us - whole.length_us, finals, corrected)
        if last is not None:
            finals[level][last.start_us] = last
            owed.append((level, last))
        bar = joined(finals[level - 1], start_us, end_us, part.length_us)
        if bar is None and end_us > start_us:
            bar = Bar(start_us, close)
            bar.is_partial = True
        running.append(bar)
    newest_finals = [None, *(each[max(each)] if each else None for each in finals[1:])]
    next_second_us = None if finest else next_us
    return PastCandles(next_second_us, close, seconds, running, newest_finals, owed)


def _corrected(seconds: Mapping[int, Bar], known: Known) -> dict[int, Bar]:
    """Those that are owed a correction, as they are with it."""
    found: dict[int, Bar] = {}
    before: Bar | None = None
    for start_us, bar in seconds.items():
        owed = amended(bar, before, known)
        before = owed or bar
        if owed is not None:
            found[start_us] = owed
    return found


def _owed(
    level: int, start_us: int, finals: Sequence[Mapping[int, Bar]], amended_us: Collection[int]
) -> Bar | None:
    """The final candle that begins there, where it was not told, or is to be told again.
    `amended_us`: the starts of seconds that are."""
    part, end_us = INTERVALS[level - 1], start_us + INTERVALS[level].length_us
    parts = finals[level - 1]
    final = finals[level].get(start_us)
    bar = joined(parts, start_us, end_us, part.length_us)
    if final is None:
        return bar
    return added_up(
        final,
        bar,
        is_whole=all(at in parts for at in range(start_us, end_us, part.length_us)),
        is_amended=any(start_us <= at < end_us for at in amended_us),
    )
