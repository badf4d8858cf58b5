"""EDGE (files): a file's bytes and lines, gzip, zip or plain, counted as they are read."""

import contextlib
import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

from feeds.backtest.source import FileError

HEAD_BYTES: Final = 64 * 1024
"""So much of a file's content says what it is."""
LINE_CHARS_MAX: Final = 64 * 1024
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZIP_MAGIC: Final = b"PK\x03\x04"

Advance = Callable[[int], None]
"""Hears how many more bytes were read."""


class File:
    """One file. `head` is the beginning of its content, unpacked."""

    def __init__(self, path: Path) -> None:
        """Raises FileError."""
        self.path = path
        self.name = path.name
        self.member = ""
        """Of a zip: the name of what is in it."""
        self.advance: Advance = _nobody
        with _told(self.name):
            self.size_bytes = path.stat().st_size
            self.is_zip = _begins(path, _ZIP_MAGIC)
            if self.is_zip:
                self.member = _only_member(path)
            with self.opened() as stream:
                self.head = _beginning(stream)

    @contextlib.contextmanager
    def packed(self) -> Iterator[BinaryIO]:
        """Its bytes as they are. Raises FileError."""
        with _told(self.name), _Counted(self.path, self.advance) as raw:
            yield io.BufferedReader(raw)

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Its content, unpacked. Raises FileError."""
        with self.packed() as stream:
            if self.is_zip:
                with zipfile.ZipFile(stream) as archive, archive.open(self.member) as inner:
                    yield cast(BinaryIO, inner)
            elif stream.read(2) == _GZIP_MAGIC:
                stream.seek(0)
                with gzip.GzipFile(fileobj=stream) as inner:
                    yield cast(BinaryIO, inner)
            else:
                stream.seek(0)
                yield stream

    def lines(self) -> Iterator[str]:
        """Its content's, without their ends. Raises FileError."""
        with self.opened() as stream:
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace")
            # One that is longer comes in parts, which are no rows: nothing grows without a limit.
            while line := text.readline(LINE_CHARS_MAX):
                yield line.rstrip("\r\n")

    def head_lines(self) -> list[str]:
        """The first few, whole ones only unless the file is but one."""
        lines = self.head.decode("utf-8-sig", errors="replace").splitlines()
        return lines[:-1] if len(self.head) == HEAD_BYTES and len(lines) > 1 else lines


class _Counted(io.FileIO):
    """Tells how much was read of it."""

    def __init__(self, path: Path, advance: Advance) -> None:
        super().__init__(path)
        self._advance = advance

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        count = super().readinto(buffer) or 0
        self._advance(count)
        return count


def _nobody(_: int) -> None:
    return


def _begins(path: Path, magic: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(magic)) == magic


def _beginning(stream: BinaryIO) -> bytes:
    """Of a file that breaks off: as much as there is of it."""
    head = b""
    with contextlib.suppress(EOFError, zlib.error):
        while len(head) < HEAD_BYTES and (piece := stream.read1(8192)):  # type: ignore[attr-defined]
            head += piece
    return head[:HEAD_BYTES]


def _only_member(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    if len(names) != 1:
        raise FileError(f"{path.name} holds {len(names)} files: one is read")
    return names[0]


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    """What the world does to files, in one sentence."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise FileError(f"{name} is broken: {error}") from None
    except OSError as error:
        raise FileError(f"{name} can't be read: {error.strerror or error}") from None
