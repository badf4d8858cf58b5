"""How often a subscription is sent a channel: every message, or one that stands for several.

Pure. A rate's intervals are those of the clock (UTC), so that everybody's end together and one
message serves them all; each rate has one timer for the whole worker.
"""

from collections.abc import Iterable
from typing import Final

from feeds.market import Channel, ChannelError, Kind, Moment

ALL: Final = "all"
LATEST: Final = "latest"
"""As fast as the socket drains: whatever one flush brought of a channel is one message."""

_INTERVALS_US: Final = {
    "50ms": 50_000,
    "100ms": 100_000,
    "200ms": 200_000,
    "500ms": 500_000,
    "1s": 1_000_000,
    "2s": 2_000_000,
    "5s": 5_000_000,
}
RATES: Final = (ALL, LATEST, *_INTERVALS_US)
"""From the fastest to the slowest."""


def served(kind: Kind, rate: str) -> str:
    """The rate at which a kind of channel is sent to one who asks for `rate`."""
    return rate if kind.conflation is not None else ALL


def interval_s(rate: str) -> float:
    """0.0 for those that go by no clock."""
    return _INTERVALS_US.get(rate, 0) / 1e6


def is_conflated(name: str) -> bool:
    """Whether `n` in a channel's messages is the number of those that one stands for."""
    try:
        return Channel.parse(name).promises.conflation is not None
    except ChannelError:
        return False  # A kind that a later gateway knows.


class Wheel:
    """When each rate that has something to send is due. Monotonic seconds.

    A rate is wound when its first message waits, to the end of the clock's running interval: while
    nothing waits, nothing turns.
    """

    def __init__(self) -> None:
        self._due_s: dict[str, float] = {}

    def wind(self, rates: Iterable[str], at: Moment) -> bool:
        """Whether any was: one that is wound stays so, whatever the clock of the world does."""
        before = len(self._due_s)
        for rate in rates:
            if rate not in self._due_s and rate in _INTERVALS_US:
                left_us = _INTERVALS_US[rate] - at.utc_us % _INTERVALS_US[rate]
                self._due_s[rate] = at.monotonic_s + left_us / 1e6
        return len(self._due_s) > before

    def next_s(self) -> float | None:
        """When the next one is due; None: nothing is wound."""
        return min(self._due_s.values(), default=None)

    def take_due(self, now_s: float) -> list[str]:
        """Those that are due: no longer wound."""
        due = [rate for rate, due_s in self._due_s.items() if due_s <= now_s]
        for rate in due:
            del self._due_s[rate]
        return due
