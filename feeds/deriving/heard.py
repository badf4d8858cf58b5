"""Ticks that wait for the derivations, in order, with the times at which they were heard. Pure.

Bounded: of more than it holds it forgets all, and says so.
"""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from feeds.market import Tick

_TICKS_MAX: Final = 100_000


class Heard:
    """Times are microseconds UTC by our clock."""

    def __init__(self) -> None:
        self.ticks = 0
        self.overran = False
        """Whether some were forgotten for want of room; whoever begins again clears it."""
        self._batches: deque[tuple[int, Sequence[Tick]]] = deque()

    def add(self, now_us: int, ticks: Sequence[Tick]) -> None:
        """Never blocks."""
        if self._batches and now_us < self._batches[-1][0]:
            self.set_back(now_us)
        self._batches.append((now_us, ticks))
        self.ticks += len(ticks)
        if self.ticks > _TICKS_MAX:
            self.overran = True
            self.forget_before(now_us)

    def take(self, ticks_max: int) -> Iterator[tuple[int, Sequence[Tick]]]:
        """The oldest, until there were so many, or none is left."""
        while self._batches and ticks_max > 0:
            now_us, ticks = self._batches.popleft()
            self.ticks -= len(ticks)
            ticks_max -= len(ticks)
            yield now_us, ticks

    def set_back(self, now_us: int) -> None:
        """The clock shows an earlier time than it did: what is here was heard by then."""
        self._batches = deque((min(at_us, now_us), ticks) for at_us, ticks in self._batches)

    def forget_before(self, at_us: int) -> None:
        while self._batches and self._batches[0][0] < at_us:
            _, ticks = self._batches.popleft()
            self.ticks -= len(ticks)

    @property
    def is_nearly_full(self) -> bool:
        """Three quarters: who stands by beside a busy market keeps half of it full."""
        return 4 * self.ticks >= 3 * _TICKS_MAX

    @property
    def next_us(self) -> int | None:
        """When the oldest was heard; None: none waits."""
        return self._batches[0][0] if self._batches else None

    def venues(self) -> set[str]:
        return {tick.channel.venue for _, ticks in self._batches for tick in ticks}

    def since_us(self, venues: Collection[str], now_us: int) -> int:
        """Since when all that was heard of every one of these venues is here; what came before is
        published by now. Where something of one is yet to come: since now."""
        first_us: dict[str, int] = {}
        for at_us, ticks in self._batches:
            for tick in ticks:
                first_us.setdefault(tick.channel.venue, at_us)
        return max((first_us.get(venue, now_us) for venue in venues), default=now_us)
