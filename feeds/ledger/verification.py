"""EDGE: reads a ledger from its first entry to its last and says which is the first wrong one.

It may be asked of a file that is being written, and changes nothing. What the chain alone can't
tell, that its end is missing, a head from elsewhere does: the witness', or one that was published.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from feeds.derived.outcomes import due_us
from feeds.errors import LedgerError
from feeds.ledger.audit import Audit, WrongEntryError
from feeds.ledger.entry import Entry, Genesis, Payload
from feeds.ledger.table import Table
from feeds.ledger.witness import read_head
from feeds.market import Outcome, Signal

SAMPLES_MAX: Final = 10
"""Signals that are named of those that are overdue, or were appended late; all are counted."""

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
    entries: int = 0
    """That are right: up to the first wrong one."""
    head: str | None = None
    """The hash of the last of these."""
    ledger: str | None = None
    created_us: int | None = None
    simulated: bool | None = None
    signals: int = 0
    outcomes: int = 0
    open: tuple[Signal, ...] = ()
    """Without an outcome yet."""
    overdue: Remarks = msgspec.field(default_factory=Remarks)
    """Signals whose horizon is over without an outcome: the feeds were away, or left it out."""
    late: Remarks = msgspec.field(default_factory=Remarks)
    """Signals that were appended long after they say that they were made."""
    compared_with: tuple[str, ...] = ()
    """Whose heads: the witness beside the file, the caller."""
    wrong: str | None = None


def verify_ledger(
    path: Path,
    now_us: int,
    head: str | None = None,
    entries: int | None = None,
    hear: Callable[[Signal | Outcome], None] = lambda _: None,
) -> Verification:
    """`head` and `entries`: what was published of it once, either or both.

    `hear` is told each right entry's signal or outcome. Raises LedgerError: there is no such file,
    or it can't be read now.
    """
    if not path.is_file():
        raise LedgerError(f"there is no ledger {path}")
    told = Verification(str(path))
    try:
        expected = _expected(path, head, entries)
        table = Table.to_read(path)
        try:
            told.wrong = _wrong(table, told, expected, hear)
        finally:
            table.close()
        told.compared_with = tuple(one.whose for one in expected)
    except ValueError as error:
        told.wrong = f"its witness can't be read: {error}"
    except sqlite3.Error as error:
        if _is_of_the_world(error):
            raise LedgerError(f"the ledger {path} can't be read: {error}") from error
        told.wrong = f"the file is damaged after entry {told.entries}: {error}"
    for signal in told.open:
        over_us = now_us - due_us(signal)
        if over_us > _GRACE_US:
            told.overdue.add(f"{signal.id}: for {over_us / 1e6:.0f} s")
    return told


def _expected(path: Path, head: str | None, entries: int | None) -> "list[_Expected]":
    """Raises ValueError: there is a witness that can't be read."""
    expected: list[_Expected] = []
    if head is not None or entries is not None:
        expected.append(_Expected("the head you gave", entries, head))
    witness = read_head(path)
    if witness is not None:
        expected.append(_Expected("its witness", witness.entries, witness.head))
    return expected


class _Expected:
    """A head that was seen once: at which entry, if that is known, and what its hash was."""

    def __init__(self, whose: str, entries: int | None, head: str | None) -> None:
        self.whose = whose
        self.entries = entries
        self._head = head
        self._is_met = False

    def see(self, entry: Entry) -> str | None:
        """What it says against an entry."""
        if self.entries in (None, entry.n) and self._head in (None, entry.hash):
            self._is_met = True
        elif entry.n == self.entries:
            return f"entry {entry.n}: its hash is not that of {self.whose}: it was rewritten"
        return None

    def objection(self, entries: int) -> str | None:
        """What it misses, at the end."""
        if self._is_met:
            return None
        if self.entries is not None:
            end = f"it ends with entry {entries}; {self.whose} is of entry {self.entries}"
            return f"{end}: it was cut off"
        return f"no entry has the hash of {self.whose}: it was cut off or rewritten"


def _wrong(
    table: Table,
    told: Verification,
    expected: list[_Expected],
    hear: Callable[[Signal | Outcome], None],
) -> str | None:
    """The first thing that is wrong; what is right goes to `told`."""
    if not table.is_ours():
        return "it is no ledger of Tickgate, or its table was changed"
    audit = Audit()
    for entry in table.entries():
        try:
            payload = audit.hear(entry)
        except WrongEntryError as error:
            return str(error)
        for one in expected:
            if (objection := one.see(entry)) is not None:
                return objection
        _count(told, entry, payload)
        if not isinstance(payload, Genesis):
            hear(payload)
    for one in expected:
        if (objection := one.objection(audit.entries)) is not None:
            return objection
    if audit.genesis is None:
        return "it has no entry at all"
    told.open = tuple(audit.open.values())
    faults = table.faults()
    return f"the file is damaged: {'; '.join(faults)}" if faults else None


def _count(told: Verification, entry: Entry, payload: Payload) -> None:
    told.entries, told.head = entry.n, entry.hash
    match payload:
        case Genesis():
            told.ledger, told.created_us = payload.ledger, payload.created_us
            told.simulated = payload.simulated
        case Outcome():
            told.outcomes += 1
        case Signal():
            told.signals += 1
            late_us = entry.at_us - payload.computed_us
            if late_us > _GRACE_US:
                told.late.add(f"{payload.id}: appended {late_us / 1e6:.0f} s later")


def _is_of_the_world(error: sqlite3.Error) -> bool:
    """Whether it may work later, unchanged: the file is locked, or not ours to read."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PERM)
