"""Messages of channels, newest first, page by page: exact and without a hole while data flow.

A page goes on below the seqs of the one before. What was trimmed meanwhile is refused (410), never
skipped.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from feeds.market import Position, Publication
from gateway.fanout.history import gaps_before
from gateway.protocol import Gap
from gateway.rest.answers import channels_of
from gateway.rest.readings import SLICE, Ask, Found, Readings
from gateway.web.problems import Refusal

_EACH: Final = 10
"""Messages that are read of each of several channels at once."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a channel's part of a listing goes on."""

    epoch: str
    below: int
    """Messages of lesser seqs."""
    first: int
    """The oldest that was kept when the listing began."""


class Entry(NamedTuple):
    """A message of a listing."""

    channel: str
    publication: Publication


class Part(NamedTuple):
    """A page of it."""

    entries: list[Entry]
    gaps: list[Gap]
    positions: dict[str, Position]
    places: dict[str, Place]
    """Where it goes on; empty: nowhere."""


class _Tail:
    """What is still to come of one channel."""

    def __init__(self, channel: str, place: Place | None) -> None:
        self.channel = channel
        self.place = place
        self.position: Position | None = None
        self.waiting: list[Publication] = []
        """Oldest first: the next one is the last."""
        self.is_over = False
        self._is_trimmed = False
        self.gaps: list[Gap] = []

    @property
    def needs(self) -> bool:
        return not self.waiting and not self.is_over

    def ask(self, count: int) -> Ask:
        return Ask(self.channel, None if self.place is None else self.place.below, count)

    def take(self, found: Found) -> None:
        """Raises Refusal where what comes next is no longer kept."""
        if self.place is None:
            self._begin(found)
            if self.place is None:
                return
        elif found.epoch != self.place.epoch:
            raise Refusal("epoch_ended", f"begin the listing of {self.channel} again")
        self.waiting = found.publications[::-1]
        self.is_over = found.is_end
        self._is_trimmed = found.is_trimmed and found.oldest > self.place.first

    def _begin(self, found: Found) -> None:
        if found.epoch is None:
            self.is_over = True
            return
        self.position = Position(found.epoch, found.seq)
        self.place = Place(found.epoch, found.seq + 1, found.oldest)

    def next(self) -> Publication:
        """The newest that was not taken yet."""
        assert self.place is not None
        taken = self.waiting.pop()
        missing = taken.missing.messages if taken.missing else 0
        after = max(0, taken.seq - 1 - missing)
        self.gaps += gaps_before(self.channel, after, taken)
        if taken.seq + 1 < self.place.below:
            self.gaps.append(Gap(self.channel, taken.seq + 1, self.place.below - 1, "bus"))
        self.place = Place(self.place.epoch, after + 1, self.place.first)
        return taken

    @property
    def rest(self) -> Place | None:
        """Where it goes on; None: it is at its end."""
        if self.place is None or (self.is_over and not self.waiting and not self._is_trimmed):
            return None
        return self.place

    @property
    def is_gone(self) -> bool:
        """Whether there would be more, had it not been trimmed."""
        return self.is_over and not self.waiting and self._is_trimmed


async def page(
    readings: Readings,
    channels: Iterable[str],
    places: Mapping[str, Place] | None,
    limit: int,
    time_of: Callable[[Publication], int],
) -> Part:
    """`places`: None at the beginning. In one's turn. Raises Refusal."""
    channels = tuple(channels)
    if places is not None and places.keys() != set(channels):
        # Anybody can make a cursor.
        raise Refusal("bad_cursor", "its channels are others: begin again")
    tails = [_Tail(channel, None if places is None else places[channel]) for channel in channels]
    entries: list[Entry] = []
    heap: list[tuple[int, int]] = []
    fresh: Sequence[int] = range(len(tails))
    while len(entries) < limit:
        await _feed(readings, [tails[at] for at in fresh if tails[at].needs], limit - len(entries))
        gone = [tails[at].channel for at in fresh if tails[at].is_gone]
        if gone and not entries:
            raise Refusal("history_gone", f"older messages of {channels_of(gone)} are not kept")
        for at in fresh:
            if tails[at].waiting:
                heapq.heappush(heap, (-time_of(tails[at].waiting[-1]), at))
        # What would follow is told by the next page, which begins with what is gone.
        if gone or not heap:
            break
        _, at = heapq.heappop(heap)
        entries.append(Entry(tails[at].channel, tails[at].next()))
        fresh = (at,)
    return Part(
        entries,
        sorted((gap for tail in tails for gap in tail.gaps), key=lambda gap: (gap.ch, gap.first)),
        {tail.channel: tail.position for tail in tails if tail.position is not None},
        {tail.channel: tail.rest for tail in tails if tail.rest is not None},
    )


async def _feed(readings: Readings, hungry: Sequence[_Tail], wanted: int) -> None:
    """Reads on in each, a slice at a time."""
    count = min(wanted, SLICE if len(hungry) == 1 else _EACH)
    for begin in range(0, len(hungry), SLICE // _EACH):
        some = hungry[begin : begin + SLICE // _EACH]
        found = await readings.read([tail.ask(count) for tail in some])
        for tail in some:
            tail.take(found[tail.channel])
