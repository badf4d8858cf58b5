"""What a file gives a backtest: ticks, each with the moment at which a feed would have had it.

Pure. Sources of several files become one by time; what happened at one moment is told together.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

import msgspec

from feeds.market import Channel, Tick

Content = Literal["ticks", "bars"]
"""Trades and quotes as they came; or what they came to, interval by interval."""


class FileError(ValueError):
    """A file that can't be read, or can't be used; the text begins with its name."""


class Event(NamedTuple):
    """Some ticks, in order, and when they were known."""

    at_us: int
    ticks: list[Tick]


class Faults(msgspec.Struct):
    """What could not be made sense of. The rest of the file is read all the same."""

    lines: int = 0
    first: str = ""
    """The first one's place and what is wrong with it."""

    def add(self, place: str, reason: str) -> None:
        self.lines += 1
        self.first = self.first or f"{place}: {reason}"


class Source(msgspec.Struct, frozen=True):
    """One file, recognised."""

    name: str
    format: str
    """In words, for people."""
    content: Content
    venues: frozenset[str]
    events: Callable[[Faults], Iterator[Event]]
    """Reads it from its beginning. Raises FileError."""
    bar: str | None = None
    """The interval's name, where it holds bars: of candles, or of quotes at each one's end."""
    has_candles: bool = False
    quotes: frozenset[Channel] = frozenset()
    """Channels of quotes, as far as its beginning shows."""


def merged(sources: Iterable[Iterator[Event]]) -> Iterator[Event]:
    """All events in the order of their times; those of one moment are one, in the files' order.

    Within a file time never goes back: a line older than the one before was known as late as it.
    """
    ordered = (_forward(number, events) for number, events in enumerate(sources))
    at_us: int | None = None
    ticks: list[Tick] = []
    for moment_us, _, some in heapq.merge(*ordered, key=_place):
        if moment_us != at_us:
            if at_us is not None:
                yield Event(at_us, ticks)
            at_us, ticks = moment_us, []
        ticks += some
    if at_us is not None:
        yield Event(at_us, ticks)


def _forward(number: int, events: Iterator[Event]) -> Iterator[tuple[int, int, list[Tick]]]:
    latest_us = 0
    for at_us, ticks in events:
        latest_us = max(latest_us, at_us)
        yield latest_us, number, ticks


def _place(event: tuple[int, int, list[Tick]]) -> tuple[int, int]:
    return event[0], event[1]
