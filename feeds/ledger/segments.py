"""EDGE (files): which files a ledger is made of, and that one process alone writes them.

`ledger.sqlite`, then `ledger.sqlite.segment-0002` and so on: the last one grows, the others never
change.
Lock and witness lie beside the first one, whether it is still there or was moved away.
"""

import fcntl
import os
import re
from pathlib import Path
from typing import Final, NamedTuple

from feeds.errors import LedgerError

_LATER: Final = re.compile(r"segment-(\d{4,9})")
"""Unlike what a copy is called that somebody leaves beside it."""


class SegmentFile(NamedTuple):
    number: int
    """From 1, as its name says."""
    path: Path


def segment_path(ledger: Path, number: int) -> Path:
    """Where a segment is, or will be."""
    return ledger if number == 1 else ledger.with_name(f"{ledger.name}.segment-{number:04}")


def segment_files(ledger: Path) -> list[SegmentFile]:
    """Those that are there, oldest first. Raises OSError."""
    found = [SegmentFile(1, ledger)] if ledger.is_file() else []
    if not ledger.parent.is_dir():
        return found
    for path in ledger.parent.iterdir():
        if path.name.startswith(ledger.name + ".") and path.is_file():
            later = _LATER.fullmatch(path.name.removeprefix(ledger.name + "."))
            if later is not None:
                found.append(SegmentFile(int(later[1]), path))
    return sorted(found)


def settle_name(path: Path) -> None:
    """After a file got its name: a power cut leaves it that. Raises OSError."""
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def lock(ledger: Path) -> int:
    """One writer: the lock dies with it. Not the file's own: closing any handle of that would take
    SQLite's locks away. Raises LedgerError."""
    try:
        ledger.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(ledger.with_name(ledger.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise LedgerError(f"the ledger {ledger} can't be used: {error}") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(held, 32, 0).decode("ascii", "replace") or "unknown"
        os.close(held)
        raise LedgerError(f"another process ({holder}) writes the ledger {ledger}") from None
    os.truncate(held, 0)
    os.pwrite(held, str(os.getpid()).encode(), 0)
    return held
