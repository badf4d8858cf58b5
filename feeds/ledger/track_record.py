"""Outcomes to track records, one at a time or many, beside three baselines at the same times. Pure.

A hit is a signal in whose direction the price moved, before costs; one that did not move is none.
What an outcome adds costs the same however many there were, but for its place in the median.
"""

import hashlib
from array import array
from bisect import insort
from collections.abc import Iterable
from typing import Final

from feeds.derived.outcomes import pair_of
from feeds.ledger.proportion import Pairs, paired_difference, wilson
from feeds.ledger.verdict import verdict_on
from feeds.market import Baseline, Outcome, Share, Signal, TrackRecord

_TENTHS: Final = 10
_BP: Final = 1e-4


class _Rival:
    """A baseline: the same moves, taken by another rule."""

    __slots__ = ("both", "first_only", "name", "neither", "second_only", "total")

    def __init__(self, name: str) -> None:
        self.name = name
        self.both = self.first_only = self.second_only = self.neither = 0
        self.total = 0.0

    def add(self, sign: int, move: float, cost: float, *, is_hit: bool) -> None:
        """Which way it went (1 or -1), and whether the model was right."""
        if sign * move > 0:
            if is_hit:
                self.both += 1
            else:
                self.second_only += 1
        elif is_hit:
            self.first_only += 1
        else:
            self.neither += 1
        self.total += sign * move - cost

    def baseline(self) -> Baseline:
        pairs = Pairs(self.both, self.first_only, self.second_only, self.neither)
        of = sum(pairs)
        hit_rate = _share(self.both + self.second_only, of)
        if not of:
            return Baseline(self.name, hit_rate, None, None, None, None)
        low, edge, high = paired_difference(pairs)
        return Baseline(self.name, hit_rate, self.total / of, edge, low, high)


class Tally:
    """One record in the making."""

    def __init__(self, model: str, version: int, pair: str | None, *, simulated: bool) -> None:
        self._name = (model, version, pair, simulated)
        self._signals = self._ended = self._unpriced = 0
        self._hits = 0
        self._total = 0.0
        self._returns = array("d")
        """Sorted, for the median: eight bytes an outcome."""
        self._long = _Rival("always long")
        self._coin = _Rival("coin flip")
        self._last = _Rival("last move continues")
        self._squares = 0.0
        self._tenths = [[0.0, 0, 0] for _ in range(_TENTHS)]
        """The sum of the probabilities given, how often it went up, of how many."""
        self._from_us: int | None = None
        self._until_us: int | None = None

    def add(self, payload: Signal | Outcome) -> None:
        """The next one, in the order of time."""
        if isinstance(payload, Signal):
            self._signals += 1
            if self._from_us is None:
                self._from_us = payload.computed_us
            return
        self._ended += 1
        self._until_us = max(self._until_us or 0, payload.due_us)
        move, result = payload.move, payload.result
        if move is None or result is None:
            self._unpriced += 1
            return
        if payload.probability_up is not None:
            self._judge(payload.probability_up, is_up=move > 0)
        if payload.direction != "neutral":
            self._count(payload, move, result)

    def record(self, entries: int | None = None, head: str | None = None) -> TrackRecord:
        """As it stands; `entries` and `head`: of the ledger that it is of."""
        model, version, pair, simulated = self._name
        counted = len(self._returns)
        hit_rate = _share(self._hits, counted)
        mean = self._total / counted if counted else None
        baselines = tuple(each.baseline() for each in (self._long, self._coin, self._last))
        has_edge, verdict = verdict_on(hit_rate, mean, baselines, simulated=simulated)
        judged = sum(int(of) for _, _, of in self._tenths)
        return TrackRecord(
            model,
            version,
            simulated,
            self._signals,
            self._signals - self._ended,
            counted,
            self._unpriced,
            hit_rate,
            mean,
            _median(self._returns),
            baselines,
            verdict,
            has_edge,
            pair,
            self._squares / judged if judged else None,
            tuple((total / of, ups / of, int(of)) for total, ups, of in self._tenths if of),
            self._from_us,
            self._until_us,
            entries,
            head,
        )

    def _judge(self, probability: float, *, is_up: bool) -> None:
        self._squares += (probability - is_up) ** 2
        tenth = self._tenths[min(int(probability * _TENTHS), _TENTHS - 1)]
        tenth[0] += probability
        tenth[1] += is_up
        tenth[2] += 1

    def _count(self, outcome: Outcome, move: float, result: float) -> None:
        sign = 1 if outcome.direction == "bull" else -1
        cost = outcome.cost_bps * _BP
        is_hit = sign * move > 0
        self._hits += is_hit
        self._total += result
        insort(self._returns, result)
        self._long.add(1, move, cost, is_hit=is_hit)
        self._coin.add(coin(outcome.signal), move, cost, is_hit=is_hit)
        if outcome.last_move:  # None: not known; 0: there is no move to continue
            self._last.add(1 if outcome.last_move > 0 else -1, move, cost, is_hit=is_hit)


class TrackRecords:
    """All models' tallies: each version of each over all its pairs, and of each pair."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, int, str], Tally] = {}
        self._changed: set[tuple[str, int, str]] = set()

    def add(self, payload: Signal | Outcome) -> None:
        """The next one, in the order of time."""
        id_ = payload.id if isinstance(payload, Signal) else payload.signal
        for pair in ("", pair_of(id_)):
            key = (payload.model, payload.version, pair)
            tally = self._tallies.get(key)
            if tally is None:
                tally = self._tallies[key] = Tally(
                    payload.model, payload.version, pair or None, simulated=payload.simulated
                )
            tally.add(payload)
            self._changed.add(key)

    def all(self, entries: int | None = None, head: str | None = None) -> list[TrackRecord]:
        """By model, version and pair; that over all pairs comes first, the newest version last."""
        return [self._tallies[key].record(entries, head) for key in sorted(self._tallies)]

    def changed(self, entries: int | None = None, head: str | None = None) -> list[TrackRecord]:
        """Those that changed since this was asked last, in the same order."""
        keys, self._changed = sorted(self._changed), set()
        return [self._tallies[key].record(entries, head) for key in keys]


def track_records(payloads: Iterable[Signal | Outcome]) -> list[TrackRecord]:
    """Those of some signals and their outcomes, each signal before its outcome."""
    records = TrackRecords()
    for payload in payloads:
        records.add(payload)
    return records.all()


def coin(signal_id: str) -> int:
    """1 or -1: the same for the same signal, whenever and wherever it is thrown."""
    return 1 if hashlib.sha256(signal_id.encode()).digest()[0] & 1 else -1


def _share(hits: int, of: int) -> Share:
    if not of:
        return Share(0, 0, None, None, None)
    low, share, high = wilson(hits, of)
    return Share(hits, of, share, low, high)


def _median(ordered: "array[float]") -> float | None:
    if not ordered:
        return None
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
