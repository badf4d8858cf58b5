"""Outcomes to track records, one at a time or many, beside three baselines at the same times. Pure.

A hit is a signal in whose direction the price moved, before costs; one that did not move is none.
What an outcome adds, and what is remembered, is the same however many there were.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

from feeds.derived.outcomes import pair_of
from feeds.ledger.median import Median, Numbers
from feeds.ledger.proportion import Pairs, paired_difference, wilson
from feeds.ledger.verdict import verdict_on
from feeds.market import Baseline, Outcome, Share, Signal, TrackRecord

_TENTHS: Final = 10
_BP: Final = 1e-4
_RIVALS: Final = ("always long", "coin flip", "last move continues")


class RivalSums(msgspec.Struct):
    """Of a baseline: the same moves, taken by another rule."""

    both: int = 0
    """How often model and baseline were right, only one of them, and neither."""
    first_only: int = 0
    second_only: int = 0
    neither: int = 0
    total: float = 0.0

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

    def baseline(self, name: str) -> Baseline:
        pairs = Pairs(self.both, self.first_only, self.second_only, self.neither)
        of = sum(pairs)
        hit_rate = _share(self.both + self.second_only, of)
        if not of:
            return Baseline(name, hit_rate, None, None, None, None)
        low, edge, high = paired_difference(pairs)
        return Baseline(name, hit_rate, self.total / of, edge, low, high)


class Sums(msgspec.Struct):
    """All that is remembered of a record's outcomes, however many there were."""

    model: str
    version: int
    pair: str | None
    simulated: bool
    signals: int = 0
    ended: int = 0
    unpriced: int = 0
    counted: int = 0
    hits: int = 0
    total: float = 0.0
    rivals: list[RivalSums] = msgspec.field(default_factory=lambda: [RivalSums() for _ in _RIVALS])
    squares: float = 0.0
    tenths: list[tuple[float, int, int]] = msgspec.field(
        default_factory=lambda: [(0.0, 0, 0)] * _TENTHS
    )
    """The sum of the probabilities given, how often it went up, of how many."""
    from_us: int | None = None
    until_us: int | None = None
    returns: Numbers = Numbers()
    """Of the tally's `sums` alone: while it counts they are in its median."""


class Tally:
    """One record in the making."""

    def __init__(self, sums: Sums) -> None:
        self._sums = msgspec.structs.replace(sums, returns=Numbers())
        self._median = Median(sums.returns)

    @property
    def sums(self) -> Sums:
        """To go on from, later."""
        rivals = [msgspec.structs.replace(each) for each in self._sums.rivals]
        tenths = self._sums.tenths.copy()
        return msgspec.structs.replace(
            self._sums, rivals=rivals, tenths=tenths, returns=self._median.numbers
        )

    def add(self, payload: Signal | Outcome, toss: int) -> None:
        """The next one, in the order of time; `toss`: what its coin says."""
        sums = self._sums
        if isinstance(payload, Signal):
            sums.signals += 1
            if sums.from_us is None:
                sums.from_us = payload.computed_us
            return
        sums.ended += 1
        sums.until_us = max(sums.until_us or 0, payload.due_us)
        move, result = payload.move, payload.result
        if move is None or result is None:
            sums.unpriced += 1
            return
        if payload.probability_up is not None:
            self._judge(payload.probability_up, is_up=move > 0)
        if payload.direction != "neutral":
            self._count(payload, move, result, toss)

    def record(self, entries: int | None = None, head: str | None = None) -> TrackRecord:
        """As it stands; `entries` and `head`: of the ledger that it is of."""
        sums = self._sums
        hit_rate = _share(sums.hits, sums.counted)
        mean = sums.total / sums.counted if sums.counted else None
        baselines = tuple(
            each.baseline(name) for name, each in zip(_RIVALS, sums.rivals, strict=True)
        )
        has_edge, verdict = verdict_on(hit_rate, mean, baselines, simulated=sums.simulated)
        judged = sum(of for _, _, of in sums.tenths)
        return TrackRecord(
            sums.model,
            sums.version,
            sums.simulated,
            sums.signals,
            sums.signals - sums.ended,
            sums.counted,
            sums.unpriced,
            hit_rate,
            mean,
            self._median.value(),
            baselines,
            verdict,
            has_edge,
            sums.pair,
            sums.squares / judged if judged else None,
            tuple((total / of, ups / of, of) for total, ups, of in sums.tenths if of),
            sums.from_us,
            sums.until_us,
            entries,
            head,
        )

    def _judge(self, probability: float, *, is_up: bool) -> None:
        self._sums.squares += (probability - is_up) ** 2
        at = min(int(probability * _TENTHS), _TENTHS - 1)
        total, ups, of = self._sums.tenths[at]
        self._sums.tenths[at] = (total + probability, ups + is_up, of + 1)

    def _count(self, outcome: Outcome, move: float, result: float, toss: int) -> None:
        sums = self._sums
        sign = 1 if outcome.direction == "bull" else -1
        cost = outcome.cost_bps * _BP
        is_hit = sign * move > 0
        sums.counted += 1
        sums.hits += is_hit
        sums.total += result
        self._median.add(result)
        long, flipped, last = sums.rivals
        long.add(1, move, cost, is_hit=is_hit)
        flipped.add(toss, move, cost, is_hit=is_hit)
        if outcome.last_move:  # None: not known; 0: there is no move to continue
            last.add(1 if outcome.last_move > 0 else -1, move, cost, is_hit=is_hit)


class TrackRecords:
    """All models' tallies: each version of each over all its pairs, and of each pair."""

    def __init__(self, known: Iterable[Sums] = ()) -> None:
        self._tallies = {(one.model, one.version, one.pair or ""): Tally(one) for one in known}
        self._changed = set(self._tallies)

    @property
    def sums(self) -> list[Sums]:
        """To go on from, later; by model, version and pair."""
        return [self._tallies[key].sums for key in sorted(self._tallies)]

    def add(self, payload: Signal | Outcome) -> None:
        """The next one, in the order of time."""
        id_ = payload.id if isinstance(payload, Signal) else payload.signal
        toss = coin(id_) if isinstance(payload, Outcome) else 0
        for pair in ("", pair_of(id_)):
            key = (payload.model, payload.version, pair)
            tally = self._tallies.get(key)
            if tally is None:
                sums = Sums(payload.model, payload.version, pair or None, payload.simulated)
                tally = self._tallies[key] = Tally(sums)
            tally.add(payload, toss)
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
