"""EDGE: one ledger, held by one process: what it says so far, and what is written to it next.

Synchronous, and for one thread at a time. An entry counts when it is on the disk, and not before.
"""

import logging
import os
import secrets
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from feeds.errors import LedgerError
from feeds.ledger.audit import Audit, WrongEntryError
from feeds.ledger.entry import (
    FORMAT,
    NOTHING_BEFORE,
    Entry,
    Genesis,
    StateSeal,
    entry_of,
    payload_of,
)
from feeds.ledger.failure import told_as_ledger_errors
from feeds.ledger.reopening import (
    check_kind,
    check_predecessor,
    check_witness,
    gone_on,
    newest_file,
    witness_head,
)
from feeds.ledger.rotation import begun
from feeds.ledger.sealing import seal_closed, unseal
from feeds.ledger.segments import SegmentFile, lock, segment_files, segment_path
from feeds.ledger.state import KeptState, kept, state_of
from feeds.ledger.table import Table, remove_file
from feeds.ledger.track_record import TrackRecords
from feeds.ledger.witness import Head, write_head
from feeds.market import Clock, Outcome, Signal, TrackRecord
from feeds.settings import LedgerSettings

SEGMENT_BYTES_MAX: Final = LedgerSettings().segment_bytes_max

_OWED_MAX: Final = 10_000
"""Outcomes that wait for the disk; without those beyond it their signals stay open until the next
start, which tells them."""
_STATE_ENTRIES: Final = 1_000
"""So many entries, and as many bytes of them as a state has, are between two states: a start reads
few, and states at most double what is written."""
_SEGMENT_STATES_MIN: Final = 4
"""A segment has as many bytes as so many states, however small it is to be: it begins with one."""

_log = logging.getLogger(__name__)


class Book:
    """Its table, and all that follows from its entries."""

    def __init__(
        self, path: Path, file: SegmentFile, lock: int, clock: Clock, segment_bytes_max: int
    ) -> None:
        """`file`: that which is written on. Raises sqlite3.Error."""
        self._path = path
        self._file = file
        self._table = Table.to_write(file.path)
        self._lock: int | None = lock
        self._clock = clock
        self._segment_bytes_max = segment_bytes_max
        self._audit = Audit()
        self._records = TrackRecords()
        self._state = KeptState(0, b"", "")
        """The newest in the file."""
        self._bytes_since_state = 0
        self._owed: list[Outcome] = []
        self._is_unsure = False
        """Whether a commit failed: it may be on the disk all the same."""
        self._is_unsealed = False
        """Whether it was found right, and may be written."""
        self._failed: Path | None = None
        """A segment that could not be begun, nor taken away: nothing is written beside it."""
        self._begin_after_n = 0
        """After which entry a segment may be begun: not at once where it failed."""

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        simulated: bool,
        clock: Clock,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
    ) -> "Book":
        """See `Ledger.open`. Raises LedgerError."""
        held = lock(path)
        try:
            with told_as_ledger_errors(path):
                files = segment_files(path)
                file = newest_file(files) or SegmentFile(1, path)
                book = cls(path, file, held, clock, segment_bytes_max)
        except BaseException:
            os.close(held)
            raise
        try:
            with told_as_ledger_errors(path):
                book._begin(files, simulated=simulated)
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
            with told_as_ledger_errors(self._path):
                if self._is_unsure:
                    self._read_on()
                    self._is_unsure = False
                return self._append(wanted)
        except LedgerError:
            self._is_unsure = True
            self._owed = _owed_of(wanted)[:_OWED_MAX]
            raise

    def try_writing(self) -> None:
        """See `Ledger.try_writing`. Raises LedgerError."""
        with told_as_ledger_errors(self._path):
            self._table.try_writing()

    def recent(self, limit: int) -> list[Signal | Outcome]:
        """See `Ledger.recent`. Raises LedgerError."""
        with told_as_ledger_errors(self._path):
            entries = self._table.newest(limit)
            for file in reversed(segment_files(self._path)):
                if file.number < self._file.number and len(entries) < limit:
                    with closing(Table.to_read(file.path)) as table:
                        entries = [*table.newest(limit - len(entries)), *entries]
        payloads = map(payload_of, entries)
        return [payload for payload in payloads if isinstance(payload, Signal | Outcome)]

    def records(self) -> list[TrackRecord]:
        return self._records.all(self._audit.entries, self._audit.head)

    def changed_records(self) -> list[TrackRecord]:
        return self._records.changed(self._audit.entries, self._audit.head)

    def close(self) -> None:
        """May be called again."""
        if self._lock is not None:
            self._table.close()
            if self._is_unsealed and not self._is_unsure:
                self._seal()
            os.close(self._lock)
            self._lock = None

    def _begin(self, files: list[SegmentFile], *, simulated: bool) -> None:
        table, witness = self._table, witness_head(self._path)
        is_new = table.is_empty
        if not is_new and not table.is_ours():
            raise LedgerError(f"{self._file.path} is no ledger, or its table was changed")
        if is_new and witness is not None:
            raise LedgerError(
                f"there is no ledger {self._path}, and its witness saw {witness.entries} entries: "
                "if a new one is to begin, move that witness away"
            )
        table.begin_writing()
        if is_new:
            now_us = self._clock.now_ns() // 1_000
            unseal(self._file.path)
            genesis = Genesis(secrets.token_hex(8), now_us, FORMAT, simulated)
            table.create(entry_of(genesis, 1, now_us, NOTHING_BEFORE))
        else:
            check_predecessor(self._file, files, table)
        self._audit, self._records = gone_on(self._file, table)
        self._state = next(
            (each for each in table.states() if each.n == self._audit.entries), self._state
        )
        self._read_on()
        check_kind(self._path, self._file, self._audit, simulated=simulated)
        if witness is not None:
            check_witness(self._path, table, witness)
        unseal(self._file.path)
        self._is_unsealed = True
        self._tell_witness()
        if not table.has_states:
            table.take_states()
        if self._is_state_due:
            self._append([])

    def _read_on(self) -> None:
        for entry in self._table.entries(self._audit.entries):
            payload = self._audit.hear(entry)
            self._bytes_since_state += len(entry.payload)
            if isinstance(payload, Signal | Outcome):
                self._records.add(payload)

    def _append(self, payloads: Sequence[Signal | Outcome]) -> list[Signal | Outcome]:
        if self._failed is not None:
            remove_file(self._failed)
            self._failed = None
        elif self._is_full:
            self._begin_segment()
        staged = self._audit.copy()
        now_us = self._clock.now_ns() // 1_000
        entries: list[Entry] = []
        state: KeptState | None = None
        if self._is_state_due:
            state = kept(state_of(self._audit, self._records))
            entries.append(self._next(StateSeal(state.hash), staged, now_us))
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
            self._table.add(entries, state)
            self._audit = staged
            if state is not None:
                self._state, self._bytes_since_state = state, 0
            self._bytes_since_state += sum(len(entry.payload) for entry in entries)
            for payload in added:
                self._records.add(payload)
            self._tell_witness()
        self._owed = []
        return added

    def _next(self, payload: Signal | Outcome | StateSeal, staged: Audit, now_us: int) -> Entry:
        """Raises WrongEntryError or ValueError: it can't be one."""
        n = staged.entries + 1
        entry = entry_of(payload, n, now_us, staged.head)
        if isinstance(payload, Signal) and self._table.has(payload.id):
            raise WrongEntryError(n, f"signal {payload.id} is there already")
        staged.hear(entry)
        return entry

    @property
    def _is_state_due(self) -> bool:
        return (
            self._audit.entries - self._state.n >= _STATE_ENTRIES
            and self._bytes_since_state >= len(self._state.text)
        )

    @property
    def _is_full(self) -> bool:
        if self._audit.entries < self._begin_after_n:
            return False
        least = _SEGMENT_STATES_MIN * len(self._state.text)
        return self._table.size_bytes >= max(self._segment_bytes_max, least)

    def _begin_segment(self) -> None:
        """Goes on in a new file. Where that fails, this one grows on and it is tried again."""
        number = self._file.number + 1
        file = SegmentFile(number, segment_path(self._path, number))
        now_us = self._clock.now_ns() // 1_000
        try:
            table, state, entry = begun(file, self._file, self._audit, self._records, now_us)
        except (sqlite3.Error, OSError) as error:
            _log.warning("the ledger's segment %d can't be begun: %s", number, error)
            self._begin_after_n = self._audit.entries + _STATE_ENTRIES
            self._failed = file.path
            remove_file(file.path)
            self._failed = None
            return
        self._table.close()
        self._seal()
        self._file, self._table = file, table
        self._audit.hear(entry)
        self._state, self._bytes_since_state = state, 0
        self._tell_witness()
        _log.info("the ledger goes on in %s after entries=%d", file.path, state.n)

    def _seal(self) -> None:
        seal_closed(self._file.path, Head(self._audit.entries, self._audit.head))

    def _tell_witness(self) -> None:
        try:
            write_head(self._path, Head(self._audit.entries, self._audit.head))
        except OSError as error:
            # The entries are on the disk: that is what counts.
            _log.warning("the ledger's witness can't be written: %s", error)


def _owed_of(payloads: Sequence[Signal | Outcome]) -> list[Outcome]:
    """Outcomes that could not be written, but for those of signals that could not be either."""
    unwritten = {each.id for each in payloads if isinstance(each, Signal)}
    outcomes = [each for each in payloads if isinstance(each, Outcome)]
    return [each for each in outcomes if each.signal not in unwritten]
