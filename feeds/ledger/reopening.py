"""EDGE: a ledger's newest file, gone on from without reading all of it.

What its entries come to is taken from the newest state in the file; the chain is checked from there
on, and over the thousand entries before. All of it, and the state itself, checks `verification`.
"""

import logging
from contextlib import closing
from pathlib import Path
from typing import Final

from feeds.errors import LedgerError
from feeds.ledger.audit import Audit, WrongEntryError, check_link
from feeds.ledger.entry import Entry, Segment, StateSeal, payload_of
from feeds.ledger.sealing import seal_closed
from feeds.ledger.segments import SegmentFile
from feeds.ledger.state import KeptState, State, StateError, read_state, restored
from feeds.ledger.table import Table, is_left_open, remove_file
from feeds.ledger.track_record import TrackRecords
from feeds.ledger.witness import Head, read_head

CHECKED: Final = 1_000
"""Entries that are checked once more at a start, with those after the newest state."""

_log = logging.getLogger(__name__)


def newest_file(files: list[SegmentFile]) -> SegmentFile | None:
    """The one to go on with. None: there is none. Raises sqlite3.Error
    and OSError.

    A later one without a table was about to be begun when its writer died: it is taken away.
    """
    for one in reversed(files):
        if one.number == 1:
            return one
        with closing(Table.to_write(one.path)) as table:
            is_begun = not table.is_empty
        if is_begun:
            return one
        remove_file(one.path)
    return None


def gone_on(file: SegmentFile, table: Table) -> tuple[Audit, TrackRecords]:
    """As of the newest state that can be trusted; where there is none, as of the file's beginning.

    Raises LedgerError: the file's end is not what the state saw, or nothing says what it goes on
    from. Raises WrongEntryError.
    """
    first = table.entry(table.first)
    for row in reversed(table.states()):
        try:
            state = read_state(row)
        except StateError as error:
            _log.warning("the ledger's state of entry %d is not used: %s", row.n, error)
            continue
        if first is not None and row.n == first.n - 1:
            check_carried(first, row, state)
            return restored(state)
        _check_newest(file, table, state)
        if is_sealed(table.entry(row.n + 1), row):
            return restored(state)
        _log.warning("the ledger's state of entry %d is not used: it was changed", row.n)
    if first is not None and first.kind == "segment":
        raise LedgerError(f"{file.path} can't be gone on with: what it goes on from is damaged")
    return Audit(), TrackRecords()


def check_carried(first: Entry, row: KeptState, state: State) -> None:
    """Whether a file's first entry speaks of that state. Raises WrongEntryError."""
    try:
        payload = payload_of(first)
    except ValueError as error:
        raise WrongEntryError(first.n, f"it can't be read: {error}") from None
    if not isinstance(payload, Segment) or payload.state != row.hash:
        raise WrongEntryError(first.n, "what it goes on from is not what it says: it was changed")
    if (payload.entries, payload.head) != (state.entries, state.head):
        raise WrongEntryError(first.n, "it names another end of the segment before")


def is_sealed(entry: Entry | None, row: KeptState) -> bool:
    """Whether the entry after it vouches for a state."""
    if entry is None or entry.kind != "state":
        return False
    try:
        payload = payload_of(entry)
    except ValueError:
        return False
    return isinstance(payload, StateSeal) and payload.state == row.hash


def check_predecessor(ledger: SegmentFile, files: list[SegmentFile], table: Table) -> None:
    """Whether a file begins where the one before ends, if that is still there; what a reader kept
    in the WALs of full files is moved into them. Raises WrongEntryError and sqlite3.Error."""
    for one in files:
        if one.number < ledger.number and is_left_open(one.path):
            with closing(Table.to_write(one.path)) as earlier:
                earlier.settle()
                last = earlier.newest(1)
            for entry in last:
                seal_closed(one.path, Head(entry.n, entry.hash))
    first = table.entry(table.first)
    before = [one for one in files if one.number == ledger.number - 1]
    if first is None or not before:
        return
    path = before[0].path
    with closing(Table.to_read(path)) as earlier:
        last = earlier.newest(1)
    if [entry.hash for entry in last] != [first.previous]:
        raise WrongEntryError(first.n, f"it does not go on from {path.name}")


def check_kind(ledger: Path, file: SegmentFile, audit: Audit, *, simulated: bool) -> None:
    """Whether it is the ledger that was meant. Raises LedgerError."""
    genesis = audit.genesis
    if genesis is None:
        raise LedgerError(f"{file.path} is a ledger without its first entry")
    if genesis.simulated != simulated:
        which = "a simulated market" if genesis.simulated else "live markets"
        raise LedgerError(f"{ledger} is the ledger of {which}: signals are never mixed")
    if audit.segment != file.number:
        raise LedgerError(f"{file.path} is segment {audit.segment}")


def witness_head(ledger: Path) -> Head | None:
    """None: there is none that can be read, which is logged."""
    try:
        return read_head(ledger)
    except ValueError as error:
        _log.warning("the ledger's witness can't be read: %s", error)
        return None


def check_witness(ledger: Path, table: Table, head: Head) -> None:
    """The entry that was once the last must still be there, as it was. Raises LedgerError."""
    following = table.entry(max(head.entries + 1, table.first))
    entry = table.entry(head.entries)
    if entry is None and following is not None and following.n > head.entries + 1:
        _log.warning("the ledger's witness is of an entry of a segment before: not compared")
        return
    # Of the last entry of the segment before, this one's first has the hash.
    found = following.previous if entry is None and following is not None else None
    if head.head != (found if entry is None else entry.hash):
        raise LedgerError(
            f"{ledger} does not have the entry {head.entries} that its witness saw: "
            "its end was cut off or rewritten (`tickgate ledger verify`)"
        )


def _check_newest(file: SegmentFile, table: Table, state: State) -> None:
    """The chain up to where the state is of."""
    after = max(table.first - 1, state.entries - CHECKED)
    n, head = after, None
    for entry in table.entries(after, state.entries):
        check_link(entry, n + 1, entry.previous if head is None else head)
        n, head = entry.n, entry.hash
    if (n, head) != (state.entries, state.head):
        raise LedgerError(
            f"{file.path} does not have the entry {state.entries} that its state is of: "
            "its end was cut off or rewritten (`tickgate ledger verify`)"
        )
