"""EDGE (files): the SHA-256 of a ledger's file as it was closed, beside it: `ledger.sqlite.seal`.

It is taken away before anything is written. So there is none while the file is written, nor after
its writer was killed; and where there is one, each byte of the file is as it was.
"""

import hashlib
import logging
import os
from pathlib import Path
from typing import Final

import msgspec

from feeds.ledger.segments import settle_name
from feeds.ledger.table import is_left_open
from feeds.ledger.witness import Head

_log = logging.getLogger(__name__)

_AT_ONCE_BYTES: Final = 1024 * 1024


class Seal(msgspec.Struct, frozen=True):
    """Of one file."""

    entries: int
    """The number of its last entry, and the hash of that."""
    head: str
    sha256: str
    """Of the file."""
    own: str
    """Of the three before, so that a changed seal is not taken for one of another time."""


def seal_path(file: Path) -> Path:
    return file.with_name(file.name + ".seal")


def seal_closed(file: Path, last: Head) -> None:
    """Unless a reader keeps some of it in its WAL, or it has a seal. Not being able to is logged:
    what it says can be verified without."""
    if is_left_open(file) or seal_path(file).exists():
        return
    try:
        _write_seal(file, _seal(last.entries, last.head, digest_of(file)))
    except OSError as error:
        _log.warning("the ledger's file %s can't be sealed: %s", file, error)


def unseal(file: Path) -> None:
    """Before it is written. A power cut does not bring the seal back. Raises OSError."""
    try:
        seal_path(file).unlink()
    except FileNotFoundError:
        return
    settle_name(file)


def read_seal(file: Path) -> Seal | None:
    """None: there is none. Raises ValueError: it was changed; OSError."""
    try:
        text = seal_path(file).read_bytes()
    except FileNotFoundError:
        return None
    try:
        seal = msgspec.json.decode(text, type=Seal)
    except msgspec.DecodeError as error:
        raise ValueError(f"it can't be read: {error}") from None
    if text != _text(_seal(seal.entries, seal.head, seal.sha256)):
        raise ValueError("it was changed")
    return seal


def digest_of(file: Path) -> str:
    """Not while this process has it open: SQLite would lose its locks. Raises OSError."""
    with file.open("rb", buffering=0) as opened:
        digest = hashlib.sha256()
        while some := opened.read(_AT_ONCE_BYTES):
            digest.update(some)
    return digest.hexdigest()


def _seal(entries: int, head: str, sha256: str) -> Seal:
    own = hashlib.sha256(f"{entries} {head} {sha256}".encode()).hexdigest()
    return Seal(entries, head, sha256, own)


def _write_seal(file: Path, seal: Seal) -> None:
    path = seal_path(file)
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
        opened.write(_text(seal))
        opened.flush()
        os.fsync(opened.fileno())
    fresh.rename(path)


def _text(seal: Seal) -> bytes:
    return msgspec.json.encode(seal) + b"\n"
