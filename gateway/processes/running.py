"""Who runs on a data directory: a lock that dies with its holder, and a file that tells the rest.

`tickgate keys`, `replay` and `watch` in another terminal find the running instance by it. The lock
is the truth: a file without a lock is what a killed instance left behind.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

LOCK_LIMIT_S: Final = 1.0
"""Long enough for others' short looks at the lock to pass."""

_POLL_S: Final = 0.02
_LOCK: Final = "lock"
_FILE: Final = "run.json"


class Running(msgspec.Struct, frozen=True):
    """A running `tickgate run`."""

    pid: int
    redis_url: str
    gateway_url: str
    embedded: bool
    """Whether its Redis is its own, and so has to be told to save."""
    started: int
    """Seconds UTC."""


class DataDirectoryError(Exception):
    """The data directory can't be used, or another instance uses it. One line."""

    def __init__(self, message: str, *, in_use: bool = False) -> None:
        super().__init__(message)
        self.in_use = in_use


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Ours alone, until the end or until we die. Raises DataDirectoryError."""
    file = _open_lock(data_dir)
    try:
        if not _lock(file, fcntl.LOCK_EX, LOCK_LIMIT_S):
            raise DataDirectoryError(_told(data_dir, os.pread(file, 32, 0)), in_use=True)
        os.truncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(file)


def find_running(data_dir: Path) -> Running | None:
    """The instance that runs on a data directory, once it has told where it is."""
    try:
        file = os.open(data_dir / _LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        if _lock(file, fcntl.LOCK_SH, 0.0):
            return None  # Whoever wrote run.json is dead.
    finally:
        os.close(file)
    return _read(data_dir)


def take_left_behind(data_dir: Path) -> Running | None:
    """What a killed instance left, and it is forgotten; for who holds the lock."""
    left = _read(data_dir)
    (data_dir / _FILE).unlink(missing_ok=True)
    return left


@contextlib.contextmanager
def announced(data_dir: Path, running: Running) -> Iterator[None]:
    """Others can find us while this lasts; for who holds the lock."""
    path = data_dir / _FILE
    fresh = data_dir / f"{_FILE}.new"
    fresh.unlink(missing_ok=True)
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, msgspec.json.format(msgspec.json.encode(running)) + b"\n")
    finally:
        os.close(file)
    fresh.rename(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _read(data_dir: Path) -> Running | None:
    try:
        return msgspec.json.decode((data_dir / _FILE).read_bytes(), type=Running)
    except (OSError, msgspec.DecodeError):
        return None


def _open_lock(data_dir: Path) -> int:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(data_dir / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataDirectoryError(
            f"the data directory {data_dir} can't be used: {error.strerror}"
        ) from None


def _lock(file: int, kind: int, limit_s: float) -> bool:
    deadline_s = time.monotonic() + limit_s
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(_POLL_S)
        else:
            return True


def _told(data_dir: Path, holder: bytes) -> str:
    running = _read(data_dir)
    who = holder.decode("ascii", "replace") or "unknown"
    if running is None or str(running.pid) != who:
        return f"another tickgate (process {who}) is using {data_dir}"
    return (
        f"tickgate is running already: process {running.pid}, {running.gateway_url}"
        f" (data directory {data_dir}; use another one with --data-dir or TICKGATE_DATA_DIR)"
    )
