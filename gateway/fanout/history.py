"""What one channel has said lately, for who comes back: messages and gaps in order, without a hole.

A ring of what went by here, and before it, for a moment, what the channel's stream was read for:
a crowd that comes back costs Redis one reading. Pure.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from feeds.market import Publication
from gateway.fanout.message import Message, Notice
from gateway.protocol import Gap

RING_MAX = 128
"""Messages and gaps of one channel kept here: 0.2 s of a channel's 600 messages a second. What is
older is in the stream."""

_BRIDGE_MAX = 2_000
"""The same while a part that the stream was read for is of use only with what follows it."""

Entry = Message | Notice
"""A message of the channel, or a notice of a gap in it."""


class Entries(NamedTuple):
    """All that came after seq `after`, up to seq `last`."""

    after: int
    last: int
    told: Sequence[Entry]


class History:
    """Of one epoch of a channel."""

    __slots__ = ("_after", "_channel", "_gone_before", "_last", "_recalled", "_ring")

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._after = self._last = 0
        self._ring: deque[Entry] = deque()
        """All of `_after` to `_last`."""
        self._recalled: Entries | None = None
        self._gone_before = 0
        """What came after a lesser seq, the stream was seen not to have any more."""

    def begin(self, seq: int) -> None:
        """Nothing before that is known, or counts any more."""
        self._ring.clear()
        self._recalled = None
        self._after = self._last = seq
        self._gone_before = 0

    def add(self, entry: Entry) -> None:
        """The next one."""
        self._last = last_of(entry)
        self._ring.append(entry)
        if len(self._ring) > RING_MAX and not self._leads_on():
            self._drop()

    def recall(self, entries: Entries | None, asked: int) -> None:
        """What the stream still has after seq `asked`, if anything; of use until `forget`."""
        known = self._recalled
        begins = self._last if entries is None else entries.after
        if begins > asked:
            self._gone_before = max(self._gone_before, begins)
        if entries is None:
            return
        if known is None or entries.last > known.last or entries.after < known.after:
            self._recalled = entries

    def forget(self) -> None:
        """Keeps no more than the ring."""
        self._recalled = None
        while len(self._ring) > RING_MAX:
            self._drop()

    def is_gone(self, after: int) -> bool:
        """Whether what came after a seq can't be had any more: readings have shown it."""
        return after < self._gone_before and not self.has(after)

    def has(self, after: int) -> bool:
        """Whether all is known that came after a seq."""
        if self._after <= after <= self._last:
            return True
        recalled = self._recalled
        return recalled is not None and recalled.after <= after and recalled.last >= self._after

    def between(self, after: int, last: int) -> list[Entry]:
        """What came after `after`, which it `has`, up to `last`."""
        entries: list[Entry] = []
        reached = after
        for entry in self._from(after):
            end = last_of(entry)
            if end <= reached:
                continue
            if end > last:
                break
            entries.append(self._cut(entry, reached))
            reached = end
        return entries

    def _leads_on(self) -> bool:
        """Whether the ring's oldest is what follows the recalled part, and there is room for it."""
        recalled = self._recalled
        if recalled is None or len(self._ring) > _BRIDGE_MAX:
            return False
        return self._after <= recalled.last < last_of(self._ring[0])

    def _drop(self) -> None:
        self._after = last_of(self._ring.popleft())

    def _from(self, after: int) -> Iterator[Entry]:
        if after < self._after and self._recalled is not None:
            yield from self._recalled.told
        yield from self._ring

    def _cut(self, entry: Entry, after: int) -> Entry:
        """A gap of which the beginning is known already begins later."""
        match entry:
            case Notice(announcement=Gap() as gap) if gap.first <= after:
                return Notice(Gap(self._channel, after + 1, gap.last, gap.by))
            case _:
                return entry


def conflated(entries: Iterable[Entry]) -> list[Entry]:
    """As one who is at a rate is told them: one message for all between two gaps."""
    told: list[Entry] = []
    for entry in entries:
        if told and isinstance(entry, Message) and isinstance(told[-1], Message):
            told[-1] = told[-1].merged(entry)
        else:
            told.append(entry)
    return told


def last_of(entry: Entry) -> int:
    """The newest seq that it is about."""
    if isinstance(entry, Message):
        return entry.seq
    assert isinstance(entry.announcement, Gap)
    return entry.announcement.last


def gaps_before(channel: str, after: int, publication: Publication) -> Iterator[Gap]:
    """What lies between a position and the next publication: lost on the way, or never sent."""
    first, last, missing = after + 1, publication.seq - 1, publication.missing
    begins = max(first, publication.seq - missing.messages) if missing else publication.seq
    if first < begins:
        yield Gap(channel, first, begins - 1, "bus")
    if missing is not None and begins <= last:
        yield Gap(channel, begins, last, missing.by)


def entries_of(
    channel: str,
    publications: Iterable[Publication],
    message: Callable[[Publication], Message | None],
) -> Entries | None:
    """What a reading of a stream comes to, oldest first; None where it has nothing.

    It begins where nothing is missing any more: what was trimmed can't be told again. `message`
    is None for what may not be passed on.
    """
    told: list[Entry] = []
    after: int | None = None
    last = 0
    for publication in publications:
        if after is None:
            missing = publication.missing.messages if publication.missing else 0
            after = last = max(0, publication.seq - 1 - missing)
        told += map(Notice, gaps_before(channel, last, publication))
        told.append(message(publication) or _unsound(channel, publication.seq))
        last = publication.seq
    return None if after is None else Entries(after, last, told)


def _unsound(channel: str, seq: int) -> Notice:
    return Notice(Gap(channel, seq, seq, "feed"))
