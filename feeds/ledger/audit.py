"""Entries, one after the other: whether each follows from those before, and what is open. Pure.

The same reading serves who appends, who opens a ledger and who verifies one. What is appended went
through it first: a ledger that our own code wrote is whole.
"""

from collections.abc import Mapping
from math import isclose
from typing import Final

from feeds.derived.outcomes import due_us, returns
from feeds.ledger.entry import (
    FORMAT,
    NOTHING_BEFORE,
    SEGMENT_FORMAT,
    Entry,
    Genesis,
    Payload,
    Segment,
    payload_of,
    seal,
    signal_of,
)
from feeds.market import Outcome, Signal

_SLACK: Final = 1e-9
"""Between a return that is told and the same computed again."""


class WrongEntryError(Exception):
    """An entry that can't stand where it stands; the text says why."""

    def __init__(self, n: int, why: str) -> None:
        super().__init__(f"entry {n}: {why}")
        self.n = n
        self.why = why


class Audit:
    """What the entries so far come to."""

    def __init__(self) -> None:
        self.entries = 0
        self.head = NOTHING_BEFORE
        """The hash of the last one."""
        self.genesis: Genesis | None = None
        self.segment = 1
        """Of how many files they are."""
        self.open: dict[str, Signal] = {}
        """Signals without an outcome, by id, oldest first."""
        self.said: dict[str, int] = {}
        """By voice (`trend-1:BTC-USD`): the newest time that a signal's id has."""
        self.said_before: Mapping[str, int] = {}
        """The same as of when this segment began: a signal that is no newer was said in one of
        those before, which may not be here to ask."""

    def copy(self) -> "Audit":
        """To go on from here, and perhaps come back."""
        copy = Audit()
        copy.entries, copy.head, copy.genesis = self.entries, self.head, self.genesis
        copy.segment, copy.said_before = self.segment, self.said_before
        copy.open, copy.said = self.open.copy(), self.said.copy()
        return copy

    def hear(self, entry: Entry) -> Payload:
        """The next entry's payload. Raises WrongEntryError, and then nothing has changed."""
        n = self.entries + 1
        payload = _decoded(entry, n, self.head)
        why = self._objection(payload)
        if why is not None:
            raise WrongEntryError(n, why)
        match payload:
            case Genesis():
                self.genesis = payload
            case Segment(segment=segment):
                self.segment, self.said_before = segment, self.said.copy()
            case Signal(id=id_):
                self.open[id_] = payload
                voice, at_us = _voice(id_)
                self.said[voice] = max(at_us, self.said.get(voice, 0))
            case Outcome(signal=id_):
                del self.open[id_]
        self.entries, self.head = n, entry.hash
        return payload

    def _objection(self, payload: Payload) -> str | None:
        """What a payload contradicts of those before it."""
        if self.genesis is None or isinstance(payload, Genesis):
            return _objection_to_genesis(payload, is_first=self.genesis is None)
        match payload:
            case Segment():
                return self._objection_to_segment(payload, self.genesis)
            case Signal() | Outcome() if payload.simulated != self.genesis.simulated:
                return "simulated and live signals are mixed"
            case Signal():
                return self._objection_to_signal(payload)
            case Outcome():
                return self._objection_to_end(payload)
        return None  # Of a state: whether it is right, who has it knows.

    def _objection_to_end(self, outcome: Outcome) -> str | None:
        signal = self.open.get(outcome.signal)
        if signal is None:
            return f"no signal {outcome.signal} waits for an outcome: it has one, or never was"
        return _objection_to_outcome(outcome, signal)

    def _objection_to_segment(self, segment: Segment, genesis: Genesis) -> str | None:
        if segment.version != SEGMENT_FORMAT:
            return f"its format is {segment.version}; this program knows {SEGMENT_FORMAT}"
        if segment.ledger != genesis.ledger:
            return f"it goes on with the ledger {segment.ledger}, and this is {genesis.ledger}"
        if segment.segment != self.segment + 1:
            return f"it begins segment {segment.segment} after segment {self.segment}"
        if (segment.entries, segment.head) != (self.entries, self.head):
            return "it names another end of the segment before"
        return None

    def _objection_to_signal(self, signal: Signal) -> str | None:
        if signal.id in self.open:
            return f"signal {signal.id} is there already"
        try:
            voice, at_us = _voice(signal.id)
            is_named = voice.startswith(f"{signal.model}-{signal.version}:")
            is_priced = float(signal.reference.price) > 0
        except ValueError:
            return "its id or its price can't be read"
        if not is_named or not is_priced or signal.horizon_s <= 0:
            return "its id, price or horizon are none"
        if at_us <= self.said_before.get(voice, 0):
            return f"signal {signal.id} is no newer than those of the segments before"
        return None


def _voice(signal_id: str) -> tuple[str, int]:
    """`trend-1:BTC-USD:1763632800000000`: who says it of what, and when. Raises ValueError."""
    voice, pair, at_us = signal_id.split(":")
    return f"{voice}:{pair}", int(at_us)


def _objection_to_outcome(outcome: Outcome, signal: Signal) -> str | None:
    """Where an outcome is not what comes of its signal and its price; None: it is."""
    told = (outcome.model, outcome.version, outcome.direction, outcome.due_us)
    if told != (signal.model, signal.version, signal.direction, due_us(signal)):
        return "model, version, direction or due time are not its signal's"
    if (outcome.last_move, outcome.probability_up) != (signal.last_move, signal.probability_up):
        return "last move or probability are not its signal's"
    at, move, result = outcome.reference, outcome.move, outcome.result
    if at is None:
        is_whole = move is None and result is None and outcome.why is not None
        return None if is_whole else "it has no price, and a return or no reason all the same"
    if at.channel != signal.reference.channel or at.at_us < outcome.due_us:
        return "its price is of another channel, or of before it was due"
    start, end = signal.reference.price, at.price
    try:
        right = returns(signal.direction, start, end, outcome.cost_bps)
    except ValueError:
        return "its price is no number"
    is_right = None not in (move, result) and all(map(_is_close, right, (move or 0, result or 0)))
    return (
        None if is_right else "its prices give a move of {!r} and a result of {!r}".format(*right)
    )


def _is_close(right: float, told: float) -> bool:
    return isclose(right, told, rel_tol=_SLACK, abs_tol=_SLACK)


def check_link(entry: Entry, n: int, head: str) -> None:
    """Whether it is the next one in the chain, whatever it says. Raises WrongEntryError."""
    if entry.n != n:
        raise WrongEntryError(n, f"it is missing: the next one there is {entry.n}")
    if entry.hash != seal(n, entry.at_us, entry.kind, entry.previous, entry.payload):
        raise WrongEntryError(n, "its hash is not that of what it says: it was changed")
    if entry.previous != head:
        raise WrongEntryError(n, "it does not follow the one before: the hash of that is another")


def _decoded(entry: Entry, n: int, head: str) -> Payload:
    """Whether it is the next one, apart from what it means."""
    check_link(entry, n, head)
    try:
        payload = payload_of(entry)
    except ValueError as error:
        raise WrongEntryError(n, f"it is no {entry.kind[:20]}: {error}") from None
    if signal_of(payload) != entry.signal:
        raise WrongEntryError(n, f"it is kept as {entry.signal!r}, and is {signal_of(payload)!r}")
    return payload


def _objection_to_genesis(payload: Payload, *, is_first: bool) -> str | None:
    if not isinstance(payload, Genesis):
        return "the ledger does not begin by saying which one it is"
    if not is_first:
        return "a ledger begins once"
    if payload.version != FORMAT:
        return f"its format is {payload.version}; this program knows {FORMAT}"
    return None
