"""Sessions whose subscriptions are equal: what one flush brought them is joined and encoded once.

The cost of fan-out is the loop over connections; a group pays it once for many messages: one by
one, 1,000,000 deliveries/s cost 5.7 times the CPU (bench.fanout.tricks, 2026-11-21). Its fast
members' sockets have nothing buffered: they are written in one pass. The others go by their outbox.
"""

from collections.abc import Callable, Sequence
from math import inf

from gateway.fanout.counts import Counts
from gateway.fanout.flush import Window
from gateway.fanout.message import Message, Notice
from gateway.fanout.rates import ALL
from gateway.fanout.session import Session, Sink
from gateway.protocol import EncodingName

Want = tuple[str, str]
"""A channel's name and a rate."""
GroupKey = tuple[EncodingName, frozenset[Want]]
WriteAll = Callable[[Sequence[Sink], bytes], None]
"""Writes the same frames to many ready sinks: the edge's way of doing it."""


class Group:
    """Not empty; forgotten by the hub with its last session."""

    __slots__ = (
        "_checked_at",
        "_window",
        "encoding",
        "fast",
        "in_order",
        "key",
        "places",
        "sent",
        "sent_bytes",
        "sessions",
        "slow",
        "waiting",
    )

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
        self.slow: dict[Session, None] = {}
        """The others."""
        self.in_order = all(rate == ALL for _, rate in key[1])
        """Everybody wants everything, and nothing in place of something else."""
        self.waiting: list[Message | Notice] = []
        """In order, since the last flush."""
        self.sent = self.sent_bytes = 0
        self._window = Window()
        self._checked_at: float = inf
        """What `sent` may be before a fast session's budget could be short: so long none is asked,
        and a plan's messages per second cost nothing."""

    def add(self, session: Session) -> None:
        self.sessions[session] = self.slow[session] = None
        session.group = self
        self.hasten(session)

    def remove(self, session: Session) -> None:
        self.slow_down(session)
        del self.sessions[session], self.slow[session]
        session.group = None
        if not self.sessions:
            for groups in self.places:
                del groups[self]

    def hasten(self, session: Session) -> None:
        """Its socket is written directly from now on, if that can be done."""
        if session not in self.fast and session.is_fast():
            self.fast[session] = session.sink
            del self.slow[session]
            session.settled_sent, session.settled_bytes = self.sent, self.sent_bytes
            if session.budget is not None:
                self._checked_at = self.sent

    def slow_down(self, session: Session) -> None:
        """Its socket is not written directly any more."""
        if self.fast.pop(session, None) is not None:
            self.slow[session] = None
            session.settle(self.sent, self.sent_bytes)

    def settle(self, session: Session) -> None:
        """Has a session count what the fast path has sent it."""
        if session in self.fast:
            session.settle(self.sent, self.sent_bytes)

    def flush(self, write_all: WriteAll, counts: Counts, now_s: float) -> None:
        """Sends what waits to everyone, and forgets it."""
        waiting, self.waiting = self.waiting, []
        if self.sent + len(waiting) > self._checked_at:
            self._check_budgets(len(waiting), now_s)
        self.sent += len(waiting)
        encoding = self.encoding
        joined = b"".join([one.frame(encoding) for one in waiting])
        self.sent_bytes += len(joined)
        counts.messages_out += len(waiting) * len(self.sessions)
        counts.bytes_out += len(joined) * len(self.sessions)
        # Who becomes slow by what follows has been served; who ends is no member any more.
        slow = list(self.slow)
        if self.fast:
            write_all(list(self.fast.values()), joined)
        if slow:
            if self._window.is_closed:
                self._window = Window()
            flush = self._window.add(waiting, joined)
            for session in slow:
                session.take(flush, now_s, in_order=self.in_order)

    def _check_budgets(self, count: int, now_s: float) -> None:
        """Slows down who may not be sent so many now; until when the others need not be asked."""
        self._checked_at = inf
        for session in [one for one in self.fast if one.budget is not None]:
            session.settle(self.sent, self.sent_bytes)
            left = session.budget_left(now_s)
            if left < count:
                self.slow_down(session)
            else:
                self._checked_at = min(self._checked_at, self.sent + left)


Groups = dict[Group, None]
"""In the order of their making."""
