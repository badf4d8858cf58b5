"""What a ledger's entries have come to at one of them: a start need not read them all. Pure.

It follows from the entries and is proof of nothing: `tickgate ledger verify` computes it again and
says where it differs.
"""

import hashlib
from collections.abc import Mapping
from math import isclose
from typing import Final, NamedTuple

import msgspec

from feeds.ledger.audit import Audit
from feeds.ledger.entry import Genesis
from feeds.ledger.track_record import Sums, TrackRecords
from feeds.market import Signal

_VERSION: Final = 1
_SLACK: Final = 1e-9
"""Between a sum that is kept and the same computed again."""


class State(msgspec.Struct, frozen=True):
    """After so many entries."""

    version: int
    entries: int
    head: str
    genesis: Genesis
    segment: int
    open: tuple[Signal, ...]
    """Signals without an outcome, oldest first."""
    said: dict[str, int]
    """See `Audit`."""
    said_before: dict[str, int]
    sums: tuple[Sums, ...]
    """Of the track records, by model, version and pair."""


class KeptState(NamedTuple):
    """As it is kept. What was read from a file may hold anything."""

    n: int
    """After which entry."""
    text: bytes
    """JSON."""
    hash: str
    """Its SHA-256, in hexadecimal: damage is seen without reading the entries."""


class StateError(Exception):
    """A state that can't be gone on from; the text says why."""


_decode: Final = msgspec.json.Decoder(State).decode
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


def state_of(audit: Audit, records: TrackRecords) -> State:
    """Of what both have heard, which begins with a first entry."""
    assert audit.genesis is not None
    return State(
        _VERSION,
        audit.entries,
        audit.head,
        audit.genesis,
        audit.segment,
        tuple(audit.open.values()),
        dict(audit.said),
        dict(audit.said_before),
        tuple(records.sums),
    )


def kept(state: State) -> KeptState:
    text = _encode(state)
    return KeptState(state.entries, text, hashlib.sha256(text).hexdigest())


def read_state(row: KeptState) -> State:
    """Raises StateError."""
    if hashlib.sha256(row.text).hexdigest() != row.hash:
        raise StateError("it is damaged: its hash is not that of what it says")
    try:
        state = _decode(row.text)
    except ValueError as error:
        raise StateError(f"it can't be read: {error}") from None
    if state.version != _VERSION:
        raise StateError(f"its version is {state.version}; this program knows {_VERSION}")
    if state.entries != row.n:
        raise StateError(f"it is kept for entry {row.n}, and is of entry {state.entries}")
    return state


def restored(state: State) -> tuple[Audit, TrackRecords]:
    """To go on from there."""
    audit = Audit()
    audit.entries, audit.head, audit.genesis = state.entries, state.head, state.genesis
    audit.segment = state.segment
    audit.open = {signal.id: signal for signal in state.open}
    audit.said, audit.said_before = dict(state.said), state.said_before
    return audit, TrackRecords(state.sums)


def difference(told: State, right: State) -> str | None:
    """The first thing that a state tells otherwise than the entries; None: nothing."""
    names = ("head", "genesis", "segment", "open", "said", "said_before")
    for name in names:
        if getattr(told, name) != getattr(right, name):
            return f"{name.replace('_', ' ')} is not what the entries give"
    theirs, ours = _by_record(told), _by_record(right)
    for record in sorted(theirs.keys() | ours.keys()):
        its, own = theirs.get(record), ours.get(record)
        if its is None or own is None:
            return f"{record}: {'there is no such record' if own is None else 'it is missing'}"
        for field in its:
            if not _is_like(its[field], own[field]):
                shown = (f"{field} {its[field]}", f"{own[field]}")
                return "{}: {:.80}; the entries give {:.60}".format(record, *shown)
    return None


def _by_record(state: State) -> dict[str, dict[str, object]]:
    return {
        f"{one.model} {one.version} {one.pair or 'all pairs'}": msgspec.to_builtins(one)
        for one in state.sums
    }


def _is_like(told: object, right: object) -> bool:
    """The same, but for the last digits of fractions."""
    match told, right:
        case (float(), float()):
            return isclose(told, right, rel_tol=_SLACK, abs_tol=_SLACK)
        case (list() | tuple(), list() | tuple()):
            return len(told) == len(right) and all(map(_is_like, told, right))
        case (Mapping(), Mapping()):
            return told.keys() == right.keys() and all(
                _is_like(value, right[key]) for key, value in told.items()
            )
        case _:
            return told == right
