"""Grades, `grade:agg:<BASE>-<QUOTE>`: the models' signals on a pair, by their own records. Pure.

A model weighs what the lower end of its hit rate's interval is above one half, over all pairs: who
has shown nothing weighs nothing, and where nobody has shown anything every pair is at 50.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from feeds.derived.agenda import Agenda
from feeds.derived.derivation import AGGREGATE, Derived
from feeds.derived.models import chosen
from feeds.derived.outcomes import pair_of
from feeds.derived.settings import DerivedSettings
from feeds.ledger.proportion import wilson
from feeds.market import Channel, Grade, GradePart, Outcome, Payload, Signal, Tick

VERSION: Final = 1
_NEVER_US: Final = -(10**18)
_SAID_MAX: Final = 8
"""Signals of a model on a pair that may be on their way."""
_COUNTED_MAX: Final = 10_000
"""Outcomes that may be."""


class _Record:
    """One model's outcomes over all pairs: those with a direction and a price."""

    __slots__ = ("hits", "of", "version")

    def __init__(self, version: int) -> None:
        self.version = version
        self.hits = 0
        self.of = 0

    def add(self, outcome: Outcome, times: int = 1) -> bool:
        """Whether it counts. A hit is what a track record calls one. `times`: -1 takes it back."""
        move, direction = outcome.move, outcome.direction
        if outcome.version != self.version or direction == "neutral" or move is None:
            return False
        is_hit = move > 0 if direction == "bull" else move < 0
        self.of += times
        self.hits += times * is_hit
        return True

    def edge(self) -> float:
        """What is known of it beyond chance."""
        return max(0.0, wilson(self.hits, self.of).low - 0.5) if self.of else 0.0


class _Pair:
    """What the models say of a pair, what was told of that, and when it is due again."""

    __slots__ = ("channel", "received_us", "said", "told", "told_us")

    def __init__(self, symbol: str) -> None:
        self.channel = Channel("grade", AGGREGATE, symbol)
        self.said: dict[str, deque[tuple[int, float, str]]] = {}
        """By model, the newest last: until when it holds, a score, and the signal's id."""
        self.told: object = None
        self.told_us = _NEVER_US
        self.received_us: int | None = None

    def hear(self, signal: Signal) -> None:
        """The newest one counts: what is restored may come in any order."""
        said = self.said.setdefault(signal.model, deque(maxlen=_SAID_MAX))
        if not said or signal.expires_us >= said[-1][0]:
            said.append((signal.expires_us, signal.score, signal.id))
            self.received_us = signal.received_us

    def withhold(self, signal: Signal) -> None:
        """What was said before it holds on."""
        said = self.said.get(signal.model, ())
        self.said[signal.model] = deque((one for one in said if one[2] != signal.id), _SAID_MAX)

    def score(self, model: str, now_us: int) -> float:
        said = self.said.get(model)
        expires_us, score, _ = said[-1] if said else (0, 0.0, "")
        return score if now_us < expires_us else 0.0

    def ends_us(self, now_us: int) -> int | None:
        """When the next of its scores expires."""
        newest = (said[-1] for said in self.said.values() if said)
        ends = (at for at, score, _ in newest if at > now_us and score)
        return min(ends, default=None)


class Grades:
    """A Derivation: signals and outcomes in, grades out."""

    def __init__(self, settings: DerivedSettings) -> None:
        self._interval_us = settings.grade.interval_ms * 1_000
        self._simulated = settings.simulated
        self._records = {row.name: _Record(row.version) for row in chosen(settings.signal)}
        self._weights = self._weighed()
        self._weighed_us = _NEVER_US
        self._is_new = False
        """Whether a record has grown since it was weighed."""
        self._counted: dict[str, None] = {}
        """The signals of outcomes that are in the records: the newest."""
        self._pairs: dict[str, _Pair] = {}
        self._due: Agenda[_Pair] = Agenda()

    def take(self, ticks: Iterable[Tick], now_us: int) -> list[Tick]:
        """Nothing at once that may wait for `wake`, which follows."""
        for tick in ticks:
            self._hear(tick.channel.symbol, tick.payload, now_us)
        return self._told(now_us)

    def wake(self, now_us: int) -> list[Tick]:
        """The grades of those pairs of which something else is to be said."""
        return self._told(now_us)

    def next_us(self) -> int | None:
        """When the first is due."""
        due = self._due.next_us()
        if not self._is_new:
            return due
        weighing_us = self._weighed_us + self._interval_us
        return weighing_us if due is None else min(due, weighing_us)

    def restore(self, told: Mapping[str, Sequence[Payload]], now_us: int) -> None:
        """Counts the outcomes again, each once, and knows the signals that still hold."""
        counted: set[str] = set()
        for name, payloads in told.items():
            symbol = Channel.parse(name).symbol
            for payload in payloads:
                if isinstance(payload, Outcome):
                    if payload.signal in counted:
                        continue
                    counted.add(payload.signal)
                self._hear(symbol, payload, now_us)
        self._weigh(now_us)

    def withhold(self, payload: Signal | Outcome) -> None:
        """What was not told counts nothing."""
        if isinstance(payload, Outcome):
            if payload.signal in self._counted:
                del self._counted[payload.signal]
                self._is_new |= self._records[payload.model].add(payload, -1)
            return
        pair = self._pairs.get(pair_of(payload.id))
        if pair is not None:
            pair.withhold(payload)
            self._due.put(pair, pair.told_us + self._interval_us)

    def _hear(self, symbol: str, payload: Payload, now_us: int) -> None:
        if not isinstance(payload, Signal | Outcome) or payload.model not in self._records:
            return
        record = self._records[payload.model]
        if payload.simulated != self._simulated or payload.version != record.version:
            return
        if isinstance(payload, Outcome):
            self._is_new |= record.add(payload)
            self._counted[payload.signal] = None
            if len(self._counted) > _COUNTED_MAX:
                del self._counted[next(iter(self._counted))]
            return
        pair = self._pairs.get(symbol)
        if pair is None:
            pair = self._pairs[symbol] = _Pair(symbol)
        pair.hear(payload)
        self._due.put(pair, max(now_us, pair.told_us + self._interval_us))

    def _told(self, now_us: int) -> list[Tick]:
        if self._is_new and now_us >= self._weighed_us + self._interval_us:
            self._weigh(now_us)
        told: list[Tick] = []
        for pair in self._due.take_due(now_us):
            self._tell(pair, now_us, told)
        return told

    def _weigh(self, now_us: int) -> None:
        """Records anew; where that changes a weight, every pair's grade may change."""
        self._is_new, self._weighed_us = False, now_us
        before, self._weights = self._weights, self._weighed()
        if self._weights != before:
            for pair in self._pairs.values():
                self._due.put(pair, max(now_us, pair.told_us + self._interval_us))

    def _weighed(self) -> dict[str, float]:
        """Each model's share of what all have shown."""
        edges = {name: record.edge() for name, record in self._records.items()}
        total = sum(edges.values())
        return {name: round(edge / total, 3) if total else 0.0 for name, edge in edges.items()}

    def _tell(self, pair: _Pair, now_us: int, told: list[Tick]) -> None:
        scores = {name: pair.score(name, now_us) for name in self._records}
        weights = self._weights
        together = sum(score * weights[name] for name, score in scores.items())
        grade = max(0, min(100, round(50 + 50 * together)))
        says = (grade, scores, weights)
        ends_us = pair.ends_us(now_us)
        if ends_us is not None:
            self._due.put(pair, max(ends_us, now_us + self._interval_us))
        if says == pair.told:
            return
        pair.told, pair.told_us = says, now_us
        parts = tuple(
            GradePart(name, scores[name], weights[name], record.of, _share(record))
            for name, record in self._records.items()
        )
        payload = Grade(grade, parts, now_us, VERSION, self._simulated, pair.received_us)
        told.append(Tick(pair.channel, payload))


def _share(record: _Record) -> float | None:
    return round(record.hits / record.of, 4) if record.of else None


GRADES: Final = Derived(
    name="grade",
    title="Grades",
    reads=frozenset(("signal", "outcome")),
    make=Grades,
    history=frozenset(("signal", "outcome")),
)
