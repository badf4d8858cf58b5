"""EDGE: the token of the admin API: 256 random bits in a file that only its owner may read.

It is made by the first process that wants it, and is never shown: whoever may read the file may use
it. So there is nothing to set, and nothing to forget to set.
"""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

FILE: Final = "admin-token"
_BYTES_MIN: Final = 32
_BYTES_MAX: Final = 1_024


class AdminTokenError(Exception):
    """The file can't be used. One line; nothing of what is in it."""


def admin_token(path: Path) -> str:
    """What the file holds; it is made where there is none. Raises AdminTokenError."""
    try:
        with contextlib.suppress(FileExistsError):
            _make(path)
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise AdminTokenError(f"{path} may be read by others: chmod 600 {path}")
            token = file.read(_BYTES_MAX).strip()
    except OSError as error:
        raise AdminTokenError(f"{path} can't be used: {error.strerror}") from None
    if len(token) < _BYTES_MIN or not token.isascii():
        raise AdminTokenError(f"{path} must hold {_BYTES_MIN} characters or more")
    return token.decode()


def _make(path: Path) -> None:
    """Whole or not at all, and by one process only. Raises FileExistsError: another was first."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, place = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{secrets.token_urlsafe(32)}\n")
        os.link(place, path)
    finally:
        os.unlink(place)
