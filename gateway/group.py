"""Sessions whose subscriptions are equal: what one flush brought them is joined and encoded once.

The cost of fan-out is the loop over connections; a group pays it once for many messages. Its fast
members' sockets have nothing buffered: they are written in one pass. The others go by their outbox.
"""

from collections.abc import Callable, Sequence

from gateway.counts import Counts
from gateway.message import Message, Notice
from gateway.protocol import EncodingName
from gateway.session import Session, Sink

Want = tuple[str, str]
"""A channel's name and a rate."""
GroupKey = tuple[EncodingName, frozenset[Want]]
WriteAll = Callable[[Sequence[Sink], bytes], None]
"""Writes the same frames to many ready sinks: the edge's way of doing it."""


class Group:
    """Not empty; forgotten by the hub with its last session."""

    __slots__ = ("encoding", "fast", "key", "places", "sent", "sessions", "waiting")

    def __init__(self, key: GroupKey, places: Sequence["Groups"]) -> None:
        self.key = key
        self.places = places
        """Where its channels keep their groups."""
        for groups in places:
            groups[self] = None
        self.encoding: EncodingName = key[0]
        self.sessions: dict[Session, None] = {}
        self.fast: dict[Session, Sink] = {}
        """Those whose socket takes everything at once."""
        self.waiting: list[Message | Notice] = []
        """In order, since the last flush."""
        self.sent = 0

    def add(self, session: Session) -> None:
        self.sessions[session] = None
        session.group = self
        if session.is_fast():
            self.fast[session] = session.sink

    def remove(self, session: Session) -> None:
        del self.sessions[session]
        self.fast.pop(session, None)
        session.group = None
        if not self.sessions:
            for groups in self.places:
                del groups[self]

    def flush(self, write_all: WriteAll, counts: Counts, now_s: float) -> None:
        """Sends what waits to everyone, and forgets it."""
        waiting, self.waiting = self.waiting, []
        self.sent += len(waiting)
        encoding = self.encoding
        joined = b"".join([one.frame(encoding) for one in waiting])
        counts.messages_out += len(waiting) * len(self.sessions)
        counts.bytes_out += len(joined) * len(self.sessions)
        slow = [] if len(self.fast) == len(self.sessions) else self._slow()
        if self.fast:
            write_all(list(self.fast.values()), joined)
        for session in slow:
            session.take(waiting, joined, now_s)

    def _slow(self) -> list[Session]:
        return [session for session in self.sessions if session not in self.fast]


Groups = dict[Group, None]
"""In the order of their making."""
