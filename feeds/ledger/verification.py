"""EDGE: reads a ledger from its first entry to its last and says which is the first wrong one.

It may be asked of files that are being written, and changes nothing. What the chain alone can't
tell, that its end is missing, a head from elsewhere does: the witness', or one that was published.
Entries are read one by one: what is remembered of them is what the feeds remember too.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from feeds.derived.outcomes import due_us
from feeds.errors import LedgerError
from feeds.ledger.audit import Audit, WrongEntryError
from feeds.ledger.entry import Entry, Genesis, Payload, Segment
from feeds.ledger.expectation import Expectation, expectations
from feeds.ledger.reopening import check_carried, is_sealed
from feeds.ledger.sealing import Seal
from feeds.ledger.segments import SegmentFile, segment_files, segment_path
from feeds.ledger.state import KeptState, StateError, difference, read_state, restored, state_of
from feeds.ledger.table import Table
from feeds.ledger.track_record import TrackRecords
from feeds.ledger.wholeness import Stands, WholenessError, sealed_before, unchecked
from feeds.ledger.witness import Head
from feeds.market import Outcome, Signal

SAMPLES_MAX: Final = 10
"""Signals that are named of those that are overdue, or were appended late; all are counted."""

_STRIDE: Final = 1_000
"""Entries between two words on how far it is."""

_READINGS_MAX: Final = 5
"""Where a writer came or went meanwhile, what is found wrong is looked at once more."""

_GRACE_US: Final = 120 * 1_000_000
"""After a signal's horizon: how long its outcome may take; and a signal to be appended."""


class Remarks(msgspec.Struct):
    """Signals about which the chain is right, and which a reader should know of."""

    count: int = 0
    first: list[str] = []

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.first) < SAMPLES_MAX:
            self.first.append(text)


class Verification(msgspec.Struct):
    """On one ledger. It is whole where `wrong` is None."""

    path: str
    segments: int = 0
    """Files that were read."""
    before: int = 0
    """Entries in segments that are not here any more: the first one that is tells what they came
    to, which the chain seals."""
    entries: int = 0
    """That are right, those included: up to the first wrong one."""
    head: str | None = None
    """The hash of the last of these."""
    ledger: str | None = None
    created_us: int | None = None
    simulated: bool | None = None
    signals: int = 0
    outcomes: int = 0
    open: tuple[Signal, ...] = ()
    """Without an outcome yet."""
    records: TrackRecords = msgspec.field(default_factory=TrackRecords)
    """What the right entries come to."""
    overdue: Remarks = msgspec.field(default_factory=Remarks)
    """Signals whose horizon is over without an outcome: the feeds were away, or left it out."""
    late: Remarks = msgspec.field(default_factory=Remarks)
    """Signals that were appended long after they say that they were made."""
    compared_with: tuple[str, ...] = ()
    """Whose heads: the witness beside the file, the caller."""
    unchecked: Remarks = msgspec.field(default_factory=Remarks)
    """Files of which not each byte is known to be as it was left, and why."""
    wrong: str | None = None


def verify_ledger(
    path: Path,
    now_us: int,
    head: str | None = None,
    entries: int | None = None,
    advance: Callable[[int, int], None] = lambda _entry, _of: None,
) -> Verification:
    """`head` and `entries`: what was published of it once, either or both.

    `advance` hears how far it is. Raises LedgerError: there is no such file, it can't be read now,
    or the entry asked for is in a segment that is not there.
    """
    for _ in range(_READINGS_MAX):
        try:
            files = {file.path: Stands.now(file.path) for file in segment_files(path)}
            told = _verified(path, head, entries, advance)
            is_sure = told.wrong is None or not any(
                stood.was_opened(Stands.now(file)) for file, stood in files.items()
            )
        except OSError as error:
            raise LedgerError(f"the ledger {path} can't be read: {error}") from error
        if is_sure:
            break
    else:
        raise LedgerError(f"the ledger {path} can't be read: it is opened and closed all the time")
    for signal in told.open:
        over_us = now_us - due_us(signal)
        if over_us > _GRACE_US:
            told.overdue.add(f"{signal.id}: for {over_us / 1e6:.0f} s")
    return told


def _verified(
    path: Path, head: str | None, entries: int | None, advance: Callable[[int, int], None]
) -> Verification:
    """Read once. Raises LedgerError and OSError."""
    told = Verification(str(path))
    try:
        # The witness first: it is never ahead of files that are listed later.
        expected = expectations(path, head, entries)
        files = segment_files(path)
        if not files:
            raise LedgerError(f"there is no ledger {path}")
        told.wrong = _Reading(path, told, expected, advance).wrong(files)
        told.compared_with = tuple(one.whose for one in expected)
    except ValueError as error:
        told.wrong = f"its witness can't be read: {error}"
    except sqlite3.Error as error:
        if _is_of_the_world(error):
            raise LedgerError(f"the ledger {path} can't be read: {error}") from error
        told.wrong = f"the file is damaged after entry {told.entries}: {error}"
    return told


class _Reading:
    """Of all its files, one after the other."""

    def __init__(
        self,
        path: Path,
        told: Verification,
        expected: list[Expectation],
        advance: Callable[[int, int], None],
    ) -> None:
        self._path = path
        self._told = told
        self._expected = expected
        self._advance = advance
        self._audit = Audit()
        self._of = 0
        self._unsealed: KeptState | None = None

    def wrong(self, files: list[SegmentFile]) -> str | None:
        """The first thing that is wrong; what is right is told."""
        for file in reversed(files):
            with closing(Table.to_read(file.path)) as table:
                if table.is_empty and file.number > 1:
                    files = files[:-1]  # It is about to be begun.
                    continue
                self._of = table.last if table.is_ours() else 0
                break
        left: list[tuple[SegmentFile, Seal | None, Head]] = []
        try:
            for file in files:
                seal = sealed_before(file.path)
                with closing(Table.to_read(file.path)) as table:
                    wrong = self._wrong_in(file, table)
                if wrong is not None:
                    return wrong if file.number == 1 else f"{wrong} (in {file.path.name})"
                self._told.segments += 1
                left.append((file, seal, Head(self._audit.entries, self._audit.head)))
            for one in self._expected:
                if (objection := one.objection(self._audit.entries)) is not None:
                    return objection
            if self._audit.genesis is None:
                return "it has no entry at all"
            self._told.open = tuple(self._audit.open.values())
            for file, seal, last in left:
                if (why := unchecked(file.path, seal, last)) is not None:
                    self._told.unchecked.add(f"{file.path.name}: {why}")
        except WholenessError as error:
            return str(error)
        return None

    def _wrong_in(self, file: SegmentFile, table: Table) -> str | None:
        if not table.is_ours():
            return "it is no ledger of Tickgate, or its table was changed"
        states = {row.n: row for row in table.states()}
        first = table.entry(table.first)
        try:
            if first is not None and first.kind == "segment" and not self._audit.entries:
                self._go_on_from(first, states)
            elif self._audit.entries:
                self._check_begin(file, first, states)
            for entry in table.entries():
                self._hear(entry, is_first=first is not None and entry.n == first.n)
                self._unsealed = self._checked_state(entry.n, states)
        except WrongEntryError as error:
            return str(error)
        except StateError as error:
            return f"what it says its entries came to: {error}"
        if states or self._unsealed is not None:
            return "it knows what came of more entries than there are: its end was cut off"
        faults = table.faults()
        return f"the file is damaged: {'; '.join(faults)}" if faults else None

    def _go_on_from(self, first: Entry, states: dict[int, KeptState]) -> None:
        """The segments before are not here: what they came to is taken from this one."""
        row = states.pop(first.n - 1, None)
        if row is None:
            raise WrongEntryError(first.n, "what it goes on from is missing")
        state = read_state(row)
        check_carried(first, row, state)
        self._audit, self._told.records = restored(state)
        self._told.before = self._told.entries = state.entries
        self._told.head = state.head
        _tell_genesis(self._told, state.genesis)
        for one in self._expected:
            if (objection := one.see(state.entries, state.head)) is not None:
                raise WrongEntryError(first.n, objection)
            if one.entries is not None and one.entries < state.entries:
                raise LedgerError(
                    f"entry {one.entries} is in a segment that is not here: {self._path} begins "
                    f"after entry {state.entries}"
                )

    def _check_begin(
        self, file: SegmentFile, first: Entry | None, states: dict[int, KeptState]
    ) -> None:
        """Whether a later file goes on with what those before came to."""
        audit = self._audit
        if file.number != audit.segment + 1:
            missing = segment_path(self._path, audit.segment + 1).name
            raise WrongEntryError(audit.entries + 1, f"it is missing: there is no {missing}")
        if first is None or first.kind != "segment":
            raise WrongEntryError(audit.entries + 1, "it begins no segment")
        if first.n == audit.entries + 1:
            row = states.get(audit.entries)
            if row is None:
                raise WrongEntryError(first.n, "what it goes on from is missing")
            check_carried(first, row, read_state(row))
            self._checked_state(audit.entries, states)

    def _hear(self, entry: Entry, *, is_first: bool) -> None:
        payload = self._audit.hear(entry)
        if self._unsealed is not None and not is_sealed(entry, self._unsealed):
            raise StateError(f"after entry {self._unsealed.n}: it is not what was sealed then")
        if isinstance(payload, Segment) and not is_first:
            raise WrongEntryError(entry.n, "a segment begins in the middle of a file")
        for one in self._expected:
            if (objection := one.see(entry.n, entry.hash)) is not None:
                raise WrongEntryError(entry.n, objection)
        _count(self._told, entry, payload)
        if isinstance(payload, Signal | Outcome):
            self._told.records.add(payload)
        if entry.n % _STRIDE == 0:
            self._advance(entry.n - self._told.before, self._of - self._told.before)

    def _checked_state(self, n: int, states: dict[int, KeptState]) -> KeptState | None:
        """What is kept of what the entries came to, if that is what they do: the next entry has to
        vouch for it. Raises StateError."""
        row = states.pop(n, None)
        if row is not None:
            right = state_of(self._audit, self._told.records)
            if (why := difference(read_state(row), right)) is not None:
                raise StateError(f"after entry {n}: {why}")
        return row


def _count(told: Verification, entry: Entry, payload: Payload) -> None:
    told.entries, told.head = entry.n, entry.hash
    match payload:
        case Genesis():
            _tell_genesis(told, payload)
        case Outcome():
            told.outcomes += 1
        case Signal():
            told.signals += 1
            late_us = entry.at_us - payload.computed_us
            if late_us > _GRACE_US:
                told.late.add(f"{payload.id}: appended {late_us / 1e6:.0f} s later")


def _tell_genesis(told: Verification, genesis: Genesis) -> None:
    told.ledger, told.created_us = genesis.ledger, genesis.created_us
    told.simulated = genesis.simulated


def _is_of_the_world(error: sqlite3.Error) -> bool:
    """Whether it may work later, unchanged: the file is locked, or not ours to read."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PERM)
