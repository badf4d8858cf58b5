"""All derivations of a process, one after the other: what one tells, those after it hear. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from feeds.derived.derivation import Derivation, Derived, Retracting
from feeds.derived.settings import DerivedSettings
from feeds.market import Outcome, Payload, Signal, Tick


class Chain:
    """A Derivation made of several. `now_us` may go back here, and nowhere behind it."""

    def __init__(self, rows: Sequence[Derived], settings: DerivedSettings) -> None:
        self._settings = settings
        self._rows = [(row, row.make(settings)) for row in rows]
        self._now_us = 0
        self._readers: dict[str, tuple[Derivation, ...]] = {}

    @property
    def derivations(self) -> list[Derivation]:
        """In the order of their rows."""
        return [derivation for _, derivation in self._rows]

    def add(self, row: Derived, place: int, told: Mapping[str, Sequence[Payload]]) -> None:
        """One more, before that of `place`. It goes on from the histories of its kinds."""
        derivation = row.make(self._settings)
        derivation.restore(_of_kinds(row.history, told), self._now_us)
        self._rows.insert(place, (row, derivation))
        self._readers.clear()

    def take(self, ticks: Iterable[Tick], now_us: int) -> list[Tick]:
        """What they make of some ticks, in order."""
        now_us = self._now_us = max(self._now_us, now_us)
        heard: dict[Derivation, list[Tick]] = {}
        self._hand_on(ticks, heard)
        told: list[Tick] = []
        for _, derivation in self._rows:
            its = heard.pop(derivation, None)
            if its is not None:
                new = derivation.take(its, now_us)
                self._hand_on(new, heard)
                told += new
        return told

    def wake(self, now_us: int) -> list[Tick]:
        """What is due by the clock, and what follows from that."""
        now_us = self._now_us = max(self._now_us, now_us)
        heard: dict[Derivation, list[Tick]] = {}
        told: list[Tick] = []
        for _, derivation in self._rows:
            its = heard.pop(derivation, None)
            new = derivation.take(its, now_us) if its is not None else []
            new += derivation.wake(now_us)
            self._hand_on(new, heard)
            told += new
        return told

    def withhold(self, payload: Signal | Outcome) -> None:
        """A signal could not be told: it is as if none of them had ever said or heard it."""
        for _, derivation in self._rows:
            if isinstance(derivation, Retracting):
                derivation.withhold(payload)

    def next_us(self) -> int | None:
        """When to be woken."""
        due = [derivation.next_us() for _, derivation in self._rows]
        return min((at for at in due if at is not None), default=None)

    def restore(self, told: Mapping[str, Sequence[Payload]], now_us: int) -> None:
        """Each gets the histories of the kinds that its row names."""
        self._now_us = max(self._now_us, now_us)
        for row, derivation in self._rows:
            derivation.restore(_of_kinds(row.history, told), now_us)

    def _hand_on(self, ticks: Iterable[Tick], heard: dict[Derivation, list[Tick]]) -> None:
        readers = self._readers
        for tick in ticks:
            kind = tick.channel.kind
            found = readers.get(kind)
            if found is None:
                found = readers[kind] = self._readers_of(kind)
            for derivation in found:
                heard.setdefault(derivation, []).append(tick)

    def _readers_of(self, kind: str) -> tuple[Derivation, ...]:
        word = kind.partition(".")[0]
        return tuple(derivation for row, derivation in self._rows if word in row.reads)


def _of_kinds(
    kinds: Collection[str], told: Mapping[str, Sequence[Payload]]
) -> Mapping[str, Sequence[Payload]]:
    return {name: payloads for name, payloads in told.items() if _kind_of(name) in kinds}


def _kind_of(name: str) -> str:
    return name.partition(":")[0].partition(".")[0]
