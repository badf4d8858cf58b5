"""EDGE: one ledger, held by one process: what it says so far, and what is written to it next.

Synchronous, and for one thread at a time. An entry counts when it is on the disk, and not before.
"""

import fcntl
import logging
import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from feeds.errors import LedgerError
from feeds.ledger.audit import Audit, WrongEntryError
from feeds.ledger.entry import FORMAT, NOTHING_BEFORE, Entry, Genesis, entry_of, payload_of
from feeds.ledger.table import Table
from feeds.ledger.track_record import TrackRecords
from feeds.ledger.witness import Head, read_head, write_head
from feeds.market import Clock, Outcome, Signal, TrackRecord

_OWED_MAX: Final = 10_000
"""Outcomes that wait for the disk; without those beyond it their signals stay open until the next
start, which tells them."""

_log = logging.getLogger(__name__)


class Book:
    """Its table, and all that follows from its entries."""

    def __init__(self, path: Path, table: Table, lock: int, clock: Clock) -> None:
        self._path = path
        self._table = table
        self._lock: int | None = lock
        self._clock = clock
        self._audit = Audit()
        self._records = TrackRecords()
        self._owed: list[Outcome] = []
        self._is_unsure = False
        """Whether a commit failed: it may be on the disk all the same."""

    @classmethod
    def open(cls, path: Path, *, simulated: bool, clock: Clock) -> "Book":
        """See `Ledger.open`. Raises LedgerError."""
        lock = _locked(path)
        try:
            with _told(path):
                table = Table.to_write(path)
        except BaseException:
            os.close(lock)
            raise
        book = cls(path, table, lock, clock)
        try:
            with _told(path):
                book._begin(simulated=simulated)
        except BaseException:
            book.close()
            raise
        return book

    @property
    def open_signals(self) -> Sequence[Signal]:
        return tuple(self._audit.open.values())

    def append(self, payloads: Sequence[Signal | Outcome]) -> list[Signal | Outcome]:
        """See `Ledger.append`. Raises LedgerError."""
        wanted = (*self._owed, *payloads)
        try:
            with _told(self._path):
                if self._is_unsure:
                    self._read_on()
                    self._is_unsure = False
                return self._append(wanted)
        except LedgerError:
            self._is_unsure = True
            self._owed = [each for each in wanted if isinstance(each, Outcome)][:_OWED_MAX]
            raise

    def recent_outcomes(self, limit: int) -> list[Outcome]:
        """See `Ledger.recent_outcomes`. Raises LedgerError."""
        with _told(self._path):
            entries = self._table.newest_of("outcome", limit)
        return [payload for payload in map(payload_of, entries) if isinstance(payload, Outcome)]

    def recent(self, limit: int) -> list[Signal | Outcome]:
        """See `Ledger.recent`. Raises LedgerError."""
        with _told(self._path):
            entries = self._table.newest(limit)
        payloads = map(payload_of, entries)
        return [payload for payload in payloads if not isinstance(payload, Genesis)]

    def records(self) -> list[TrackRecord]:
        return self._records.all(self._audit.entries, self._audit.head)

    def changed_records(self) -> list[TrackRecord]:
        return self._records.changed(self._audit.entries, self._audit.head)

    def close(self) -> None:
        """May be called again."""
        if self._lock is not None:
            self._table.close()
            os.close(self._lock)
            self._lock = None

    def _begin(self, *, simulated: bool) -> None:
        is_new = self._table.is_empty
        if not is_new and not self._table.is_ours():
            raise LedgerError(f"{self._path} is no ledger, or its table was changed")
        self._table.begin_writing()
        if is_new:
            now_us = self._clock.now_ns() // 1_000
            genesis = Genesis(secrets.token_hex(8), now_us, FORMAT, simulated)
            self._table.create(entry_of(genesis, 1, now_us, NOTHING_BEFORE))
        self._read_on()
        genesis_there = self._audit.genesis
        if genesis_there is None:
            raise LedgerError(f"{self._path} is a ledger without its first entry")
        if genesis_there.simulated != simulated:
            which = "a simulated market" if genesis_there.simulated else "live markets"
            raise LedgerError(f"{self._path} is the ledger of {which}: signals are never mixed")
        self._check_witness()

    def _read_on(self) -> None:
        for entry in self._table.entries(self._audit.entries):
            payload = self._audit.hear(entry)
            if not isinstance(payload, Genesis):
                self._records.add(payload)

    def _check_witness(self) -> None:
        """The entry that was once the last must still be there, as it was."""
        try:
            head = read_head(self._path)
        except ValueError as error:
            _log.warning("the ledger's witness can't be read: %s", error)
            head = None
        if head is not None:
            entry = next(self._table.entries(head.entries - 1), None)
            if entry is None or (entry.n, entry.hash) != (head.entries, head.head):
                raise LedgerError(
                    f"{self._path} does not have the entry {head.entries} that its witness saw: "
                    "its end was cut off or rewritten (`tickgate ledger verify`)"
                )
        self._tell_witness()

    def _append(self, payloads: Sequence[Signal | Outcome]) -> list[Signal | Outcome]:
        staged = self._audit.copy()
        now_us = self._clock.now_ns() // 1_000
        entries: list[Entry] = []
        added: list[Signal | Outcome] = []
        refused: list[str] = []
        for payload in payloads:
            try:
                entry = self._next(payload, staged, now_us)
            except (WrongEntryError, ValueError) as error:
                refused.append(str(error))
                continue
            entries.append(entry)
            added.append(payload)
        if refused:
            _log.warning("the ledger refuses entries=%d first=%s", len(refused), refused[0])
        if entries:
            self._table.add(entries)
            self._audit = staged
            for payload in added:
                self._records.add(payload)
            self._tell_witness()
        self._owed = []
        return added

    def _next(self, payload: Signal | Outcome, staged: Audit, now_us: int) -> Entry:
        """Raises WrongEntryError or ValueError: it can't be one."""
        n = staged.entries + 1
        entry = entry_of(payload, n, now_us, staged.head)
        if isinstance(payload, Signal) and self._table.has(payload.id):
            raise WrongEntryError(n, f"signal {payload.id} is there already")
        staged.hear(entry)
        return entry

    def _tell_witness(self) -> None:
        try:
            write_head(self._path, Head(self._audit.entries, self._audit.head))
        except OSError as error:
            # The entries are on the disk: that is what counts.
            _log.warning("the ledger's witness can't be written: %s", error)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What can go wrong, as one kind of error."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise LedgerError(f"the ledger {path} can't be used: {error}") from error
    except WrongEntryError as error:
        raise LedgerError(f"the ledger {path} is wrong: {error}") from error


def _locked(path: Path) -> int:
    """One writer: the lock dies with it. Not the file's own: closing any handle of that would take
    SQLite's locks away."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise LedgerError(f"the ledger {path} can't be used: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace") or "unknown"
        os.close(lock)
        raise LedgerError(f"another process ({holder}) writes the ledger {path}") from None
    os.truncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock
