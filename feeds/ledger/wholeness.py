"""EDGE (files): whether each byte of a ledger's file is as it was left, beyond what it says.

A file that was closed has a seal, which tells. Of one without it, as a copy is, and of one that is
being written, the bytes that hold nothing are looked at, as far as SQLite leaves zeros there.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from feeds.ledger.pages import HEADER_BYTES, Room, RoomError, Tree, check_header, page_bytes_of
from feeds.ledger.sealing import Seal, digest_of, read_seal
from feeds.ledger.table import Table, is_left_open
from feeds.ledger.witness import Head

_IN_USE = "it is being written, or its writer was killed: what it says was checked, not each byte"
_ROOM = "{:,} bytes of it hold nothing, and may be anything"


class WholenessError(Exception):
    """A byte is not as it was left; the text says which, or how that is known."""


class Stands(NamedTuple):
    """How a file stands: one that was closed is read without locks, which is no proof where it was
    opened meanwhile."""

    state: tuple[int, int, int]
    is_open: bool

    @classmethod
    def now(cls, file: Path) -> "Stands":
        """Raises OSError."""
        is_open = is_left_open(file)
        return cls(_state_of(file), is_open)

    def was_opened(self, now: "Stands") -> bool:
        """Or closed: by a writer."""
        return self != now and not (self.is_open and now.is_open)


def sealed_before(file: Path) -> Seal | None:
    """As of before the entries are read. Raises WholenessError and OSError."""
    try:
        return read_seal(file)
    except ValueError as error:
        raise WholenessError(f"{file.name}.seal can't be used: {error}") from None


def unchecked(file: Path, seal: Seal | None, last: Head) -> str | None:
    """Why not each byte of a file is known to be as it was left, whose entries are right; None: it
    is. `last`: its last entry.

    Raises WholenessError, sqlite3.Error and OSError.
    """
    if is_left_open(file) and (seal is None or _is_waiting(file)):
        return _looked_at_in_use(file)
    before = _state_of(file)
    try:
        if seal is None or seal.entries < last.entries:
            words = "it has no seal" if seal is None else "its seal is of before"
            why: str | None = f"{words}: {_ROOM.format(_looked_at(file))}"
        else:
            why = None
            _compare(file, seal, last)
    except WholenessError:
        # It may have been opened to be written meanwhile: then this is no proof.
        if _is_waiting(file) or _state_of(file) != before or sealed_before(file) != seal:
            return _IN_USE
        raise
    return why


def _compare(file: Path, seal: Seal, last: Head) -> None:
    if (seal.entries, seal.head) != (last.entries, last.head):
        raise WholenessError(
            f"{file.name} does not end as its seal says, with entry {seal.entries}"
        )
    if digest_of(file) != seal.sha256:
        raise WholenessError(
            f"{file.name} was changed after it was closed: its seal is of other bytes"
        )


def _looked_at_in_use(file: Path) -> str:
    """As of one moment, with what waits in its WAL: in a copy, which is taken away again."""
    with TemporaryDirectory(prefix="tickgate-") as directory:
        copy = Path(directory) / file.name
        try:
            with closing(Table.to_read(file)) as table:
                table.copy_to(copy)
        except sqlite3.Error:
            return _IN_USE  # There is no room for it, or the writer was quicker.
        return f"{_IN_USE}; {_ROOM.format(_looked_at(copy))}"


def _looked_at(file: Path) -> int:
    """How many of the bytes that hold nothing can't be checked. Raises WholenessError."""
    with file.open("rb", buffering=0) as opened, closing(Table.to_read(file)) as table:
        try:
            return _room_in(opened.fileno(), table)
        except RoomError as error:
            raise WholenessError(f"{file.name} is damaged: {error}") from None
        except IndexError:
            raise WholenessError(f"{file.name} is damaged: a page can't be read") from None


def _room_in(descriptor: int, table: Table) -> int:
    """How many bytes can't be checked. Raises RoomError and IndexError."""
    header = os.pread(descriptor, HEADER_BYTES, 0)
    page_bytes = page_bytes_of(header)
    pages, rest = divmod(os.fstat(descriptor).st_size, page_bytes)
    if rest:
        raise RoomError("its end is no page")

    def read(number: int) -> bytes:
        return os.pread(descriptor, page_bytes, (number - 1) * page_bytes)

    room = Room(read, page_bytes, is_zeroed=table.is_zeroed)
    room.check_tree(Tree(1, is_added_to=table.is_zeroed))
    for name, root in table.roots():
        room.check_tree(Tree(root, is_added_to=name == "entries"))
    room.check_free(int.from_bytes(header[32:36]))
    return room.unchecked_bytes + check_header(header, pages)


def _is_waiting(file: Path) -> bool:
    """Whether something is in its WAL, or somebody has just begun to write."""
    try:
        return file.with_name(file.name + "-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def _state_of(file: Path) -> tuple[int, int, int]:
    told = file.stat()
    return told.st_ino, told.st_size, told.st_mtime_ns
