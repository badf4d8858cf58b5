"""One rate of one channel: who wants it so, and what waits for the end of its interval. Pure.

At most one message waits. It stands for all since the last one, without a hole: a gap or a reset
lets it go first. So for every subscriber `seq` of the last message plus `n` of the next is its
`seq`, or a gap says why not.
"""

from collections.abc import Iterable
from typing import Final

from gateway.fanout.group import Groups
from gateway.fanout.message import Message

_OTHERS_MAX: Final = 64


class Lane:
    """Made with its first subscriber, forgotten with its last."""

    __slots__ = ("_first", "_others", "groups", "hurried_s", "newest", "rate")

    def __init__(self, rate: str) -> None:
        self.rate = rate
        self.groups: Groups = {}
        self._first: Message | None = None
        self._others: list[Message] = []
        """What came after it, to be joined with it. Joining many at once costs half."""
        self.newest: Message | None = None
        """While something is pending: what was the channel's newest before it."""
        self.hurried_s = float("-inf")
        """When it last let go of something before the end of an interval."""

    @property
    def is_pending(self) -> bool:
        return self._first is not None

    @property
    def before(self) -> int:
        """The seq before what is pending."""
        assert self._first is not None
        return self._first.before

    def add(self, message: Message, newest: Message | None) -> None:
        """The channel's next message; `newest` is the one before."""
        if self._first is None:
            self._first, self.newest = message, newest
            return
        self._others.append(message)
        if len(self._others) >= _OTHERS_MAX:
            self._join()

    def pending(self) -> Message:
        """What is pending, as one."""
        self._join()
        assert self._first is not None
        return self._first

    def take(self) -> Message:
        """What is pending, which goes out now."""
        pending, self._first = self.pending(), None
        return pending

    def _join(self) -> None:
        if self._first is not None and self._others:
            self._first, self._others = self._first.joined(self._others), []


class Pending:
    """All lanes of a worker that have something pending, by rate."""

    def __init__(self) -> None:
        self._lanes: dict[str, dict[Lane, None]] = {}

    def rates(self) -> Iterable[str]:
        return self._lanes.keys()

    def add(self, lane: Lane) -> None:
        self._lanes.setdefault(lane.rate, {})[lane] = None

    def discard(self, lane: Lane) -> None:
        lanes = self._lanes.get(lane.rate, {})
        lanes.pop(lane, None)
        if not lanes:
            self._lanes.pop(lane.rate, None)

    def take(self, rate: str) -> Iterable[Lane]:
        """Those of a rate, in the order of their first message; none of them is pending now."""
        return self._lanes.pop(rate, {}).keys()
