"""What one who comes back with `since` is told of each channel: all, nothing, or to ask again.

Pure. One command replays a bounded number of messages and bytes: what is over it is refused for
now and not lost, so nobody's return stops the others, and nothing that is told is thrown away.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, auto
from typing import Final, NamedTuple

from feeds.market import Position, PositionError
from feeds.market.channel import HISTORY_MAX
from gateway.fanout.history import Entry, conflated
from gateway.fanout.hub import Hub
from gateway.fanout.message import Message
from gateway.fanout.rates import ALL
from gateway.fanout.topic import Topic

MESSAGES_MAX: Final = HISTORY_MAX
"""Of one command. To merge and frame them takes some 30 ms, in which nobody else is served."""
BYTES_MAX: Final = 524_288
"""Of one command's payloads: half of what may wait for a slow client."""
_TRIMMED_LATE: Final = 200
"""Redis trims whole nodes of a stream: it may have some more than it was told to keep."""


class Fate(Enum):
    """What becomes of a channel that one comes back to."""

    RECOVERED = auto()
    LOST = auto()
    """What was missed can't be told any more."""
    LATER = auto()
    """Too much at once, or Redis gave no answer: to be asked again."""


class Answer(NamedTuple):
    """For one channel. `missed` is empty unless it is recovered."""

    fate: Fate
    missed: list[Entry]


_LOST: Final = Answer(Fate.LOST, [])
_LATER: Final = Answer(Fate.LATER, [])


class Comeback:
    """Of one command."""

    def __init__(self, since: Mapping[str, object], depth_max: int = 0) -> None:
        """`depth_max`: messages of each channel that the plan lets one come back over; 0: all."""
        self._depth_max = depth_max
        self._positions = {name: position_in(told) for name, told in since.items()}
        self.unread: set[str] = set()
        """Channels that Redis could not be asked about, where the client seems to know more."""
        self._messages_left = MESSAGES_MAX
        self._bytes_left = BYTES_MAX

    def names(self, name: str) -> bool:
        """Whether one comes back to a channel."""
        return name in self._positions

    def unheard(self, topics: Iterable[Topic]) -> Iterator[Topic]:
        """Those of which the client says what can't be so, by what was heard here until now."""
        for topic in topics:
            position = self._positions.get(topic.channel.name)
            if position is not None and (position.epoch != topic.epoch or position.seq > topic.seq):
                yield topic

    def readings(self, topics: Iterable[Topic]) -> dict[str, int]:
        """After which seqs streams are to be read, as far as it may be of use."""
        wanted: dict[str, int] = {}
        left = self._messages_left
        for topic in topics:
            name = topic.channel.name
            position = self._positions.get(name)
            if position is None or not self._is_near(topic, position):
                continue
            left -= topic.seq - position.seq
            if left < 0 and wanted:
                break
            if not topic.history.has(position.seq):
                wanted[name] = position.seq
        return wanted

    def began(self, waiting_bytes: int) -> None:
        """The streams were read; what the client has been sent but not taken yet."""
        self._bytes_left = BYTES_MAX - waiting_bytes

    def answer(self, topic: Topic, rate: str, hub: Hub, now_s: float) -> Answer:
        """To one who is going to join at a rate. What it costs is spent."""
        name = topic.channel.name
        position = self._positions[name]
        if position is None or not self._is_near(topic, position):
            return _LATER if name in self.unread else _LOST
        if position.seq > topic.place(rate).seq and not hub.hurry(topic, rate, now_s):
            return _LATER
        last = topic.place(rate).seq
        if position.seq == last:
            return Answer(Fate.RECOVERED, [])
        if not topic.history.has(position.seq):
            # Otherwise Redis gave no answer, or it is forgotten again: we were long in coming here.
            return _LOST if topic.history.is_gone(position.seq) else _LATER
        return self._spend(topic.history.between(position.seq, last), is_conflated=rate != ALL)

    def _is_near(self, topic: Topic, position: Position) -> bool:
        """Whether it is a position from which the channel's stream may still lead on."""
        kept = HISTORY_MAX + _TRIMMED_LATE
        depth = min(kept, self._depth_max or kept)
        return position.epoch == topic.epoch and 0 <= topic.seq - position.seq <= depth

    def _spend(self, entries: list[Entry], *, is_conflated: bool) -> Answer:
        if len(entries) > self._messages_left:
            return _LATER if len(entries) <= MESSAGES_MAX else _LOST
        self._messages_left -= len(entries)
        if is_conflated:
            entries = conflated(entries)
        size = sum(len(one.payload) for one in entries if isinstance(one, Message))
        if size > self._bytes_left:
            return _LATER if size <= BYTES_MAX else _LOST
        self._bytes_left -= size
        return Answer(Fate.RECOVERED, entries)


def position_in(told: object) -> Position | None:
    """What a client says of where it is; None for what is no position."""
    match told:
        case [str() as epoch, int() as seq] if not isinstance(seq, bool):
            try:
                return Position(epoch, seq).checked()
            except PositionError:
                return None
        case _:
            return None
