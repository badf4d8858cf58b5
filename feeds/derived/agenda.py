"""What is to be done when: things, each with one time at most, the earliest asked for. Pure."""

from collections.abc import Hashable, Iterator
from heapq import heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Agenda(Generic[T]):
    """Times are microseconds UTC. Things that are due at once come as they were put."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, T]] = []
        """With what was put off since: only the time in `_due_us` counts."""
        self._put = 0
        self._due_us: dict[T, int] = {}

    def put(self, thing: T, at_us: int) -> None:
        """Not later than then."""
        due_us = self._due_us.get(thing)
        if due_us is None or at_us < due_us:
            self._due_us[thing] = at_us
            self._put += 1
            heappush(self._heap, (at_us, self._put, thing))

    def drop(self, thing: T) -> None:
        """It is done, whatever it was put for."""
        self._due_us.pop(thing, None)

    def take_due(self, now_us: int) -> Iterator[T]:
        """What is due by then; each is off the agenda once it is given, and may be put again."""
        heap, dues_us = self._heap, self._due_us
        while heap and heap[0][0] <= now_us:
            due_us, _, thing = heappop(heap)
            if dues_us.get(thing) == due_us:
                del dues_us[thing]
                yield thing

    def next_us(self) -> int | None:
        """When to look again, at the latest."""
        return self._heap[0][0] if self._heap else None
