"""EDGE: the head of a ledger, written beside it: a tail that was cut off is missed by its witness.

It is always at most as far as the ledger: written after the entries. Who rewrites the one can
rewrite the other; heads that were published (in track records) he can't.
"""

import os
import re
from pathlib import Path
from typing import Final

import msgspec

HASH_PATTERN: Final = re.compile(r"[0-9a-f]{64}\Z")


class Head(msgspec.Struct, frozen=True):
    """How far a ledger went, once."""

    entries: int
    head: str
    """The hash of the last of them."""


def witness_of(ledger: Path) -> Path:
    """Its place."""
    return ledger.with_name(ledger.name + ".head")


def write_head(ledger: Path, head: Head) -> None:
    """Whole or not at all. Raises OSError."""
    path = witness_of(ledger)
    fresh = path.with_name(path.name + ".new")
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(file, _text(head))
        os.fsync(file)
    finally:
        os.close(file)
    fresh.rename(path)


def read_head(ledger: Path) -> Head | None:
    """None: there is none. Raises ValueError: it can't be read, or is none."""
    try:
        text = witness_of(ledger).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"{witness_of(ledger)}: {error.strerror}") from error
    head = msgspec.json.decode(text, type=Head)
    if head.entries < 1 or not HASH_PATTERN.match(head.head):
        raise ValueError("it names no entry")
    if text != _text(head):
        raise ValueError("it was changed")
    return head


def _text(head: Head) -> bytes:
    return msgspec.json.encode(head) + b"\n"
