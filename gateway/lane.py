"""One rate of one channel: who wants it so, and what waits for the end of its interval. Pure.

At most one message waits. It stands for all since the last one, without a hole: a gap or a reset
lets it go first. So for every subscriber `seq` of the last message plus `n` of the next is its
`seq`, or a gap says why not.
"""

from collections.abc import Iterable

from gateway.group import Groups
from gateway.message import Message


class Lane:
    """Made with its first subscriber, forgotten with its last."""

    __slots__ = ("groups", "hurried_s", "newest", "pending", "rate")

    def __init__(self, rate: str) -> None:
        self.rate = rate
        self.groups: Groups = {}
        self.pending: Message | None = None
        self.newest: Message | None = None
        """While something is pending: what was the channel's newest before it."""
        self.hurried_s = float("-inf")
        """When it last let go of something before the end of an interval."""

    def add(self, message: Message, newest: Message | None) -> None:
        """The channel's next message; `newest` is the one before."""
        if self.pending is None:
            self.pending, self.newest = message, newest
        else:
            self.pending = self.pending.merged(message)

    def take(self) -> Message:
        """What is pending, which goes out now."""
        pending, self.pending = self.pending, None
        assert pending is not None
        return pending


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
