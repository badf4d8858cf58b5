"""Recordings of venues' connections: the format of `tickgate record`, written and read.

JSON lines, gzip or plain. The first is `{"tickgate":"recording","version":1,"venue":"binance",
"start_ns":1723161255343000000}`, each other one a frame: `{"dir":"recv","ns":…,"data":"…"}`, with
`b64` for `data` where the frame is no text, and dir `send` for what we said. Read as well: rows
with `ts` (seconds) for `ns`, lines `<received ns> <message>`, and lines that are a message.
"""

import base64
import zlib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import BinaryIO, Final, Literal, NamedTuple, Self

import msgspec

LINE_BYTES_MAX: Final = 16 * 1024 * 1024
FORMAT_VERSION: Final = 1

_CHUNK_BYTES: Final = 256 * 1024
_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31
_DEFLATE_WINDOW: Final = -15
_NS_END: Final = 2**63


class RecordingError(ValueError):
    """What can't be written to a recording, or read from one."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording says of itself, in its first line."""

    tickgate: Literal["recording"] = "recording"
    version: int = FORMAT_VERSION
    venue: str
    start_ns: int
    """When it began, nanoseconds UTC."""


class Frame(NamedTuple):
    """One frame that a venue sent us."""

    line: int
    """Where it stands in the file, from 1."""
    received_ns: int | None
    """Nanoseconds UTC; None where the recording doesn't say."""
    frame: str | bytes


class BadLine(NamedTuple):
    """A line that is no row of a recording; the next ones are read all the same."""

    line: int
    reason: str


Row = Header | Frame | BadLine


class _Row(msgspec.Struct):
    dir: str
    ns: int | None = None
    ts: msgspec.Raw = msgspec.Raw()
    data: str | None = None
    b64: str | None = None
    encoding: str | None = None


_encode = msgspec.json.Encoder().encode
_decode_row = msgspec.json.Decoder(_Row).decode
_decode_header = msgspec.json.Decoder(Header).decode


class RecordingWriter:
    """Writes to `stream`, which stays its owner's to close; gzip if asked for.

    `flush` now and then: what was flushed survives the process, compressed or not.
    """

    def __init__(self, stream: BinaryIO, venue: str, start_ns: int, *, gzip: bool = False) -> None:
        self._stream = stream
        self._deflate = zlib.compressobj(wbits=_GZIP_WINDOW) if gzip else None
        self._write(_encode(Header(venue=venue, start_ns=start_ns)))

    def received(self, frame: str | bytes, received_ns: int) -> None:
        """Raises RecordingError for a frame too long to be read back."""
        self._frame("recv", frame, received_ns)

    def sent(self, frame: str | bytes, sent_ns: int) -> None:
        """What we said to the venue: for who reads the file; replay and decode skip it."""
        self._frame("send", frame, sent_ns)

    def flush(self) -> None:
        if self._deflate is not None:
            self._stream.write(self._deflate.flush(zlib.Z_SYNC_FLUSH))
        self._stream.flush()

    def close(self) -> None:
        """Ends the recording; nothing may be written after it."""
        if self._deflate is not None:
            self._stream.write(self._deflate.flush())
        self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _frame(self, direction: str, frame: str | bytes, ns: int) -> None:
        # msgspec writes bytes as base64.
        content = {"data": frame} if isinstance(frame, str) else {"b64": frame}
        self._write(_encode({"dir": direction, "ns": ns} | content))

    def _write(self, line: bytes) -> None:
        if len(line) > LINE_BYTES_MAX:
            raise RecordingError(f"a frame of {len(line):,} bytes as JSON is too long to record")
        line += b"\n"
        self._stream.write(line if self._deflate is None else self._deflate.compress(line))


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    """A stream's bytes as they come: a pipe's are not waited for until a chunk is full."""
    read = getattr(stream, "read1", stream.read)
    while chunk := read(_CHUNK_BYTES):
        yield chunk


def read_rows(stream: BinaryIO) -> Iterator[Row]:
    """The rows of a recording in any of the formats, gzip or not: recognised line by line."""
    for batch in read_batches(chunks(stream)):
        yield from batch


def read_batches(pieces: Iterable[bytes]) -> Iterator[list[Row]]:
    """As `read_rows`, but of a file's bytes, and together what one piece of it completed."""
    number = 0
    lines = _Lines()
    try:
        for piece in _plain(iter(pieces)):
            batch = []
            for line in lines.add(piece):
                number += 1
                row = _row(number, line)
                if row is not None:
                    batch.append(row)
            yield batch
        row = _row(number + 1, lines.rest())
    except (zlib.error, EOFError) as error:
        row = BadLine(number + 1, f"the gzip compression is broken here: {error}")
    if row is not None:
        yield [row]


class _Lines:
    """Cuts bytes into lines. Holds one line at most, and of one too long nothing but its length."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._held_bytes = 0

    def add(self, piece: bytes) -> list[bytes | None]:
        """The lines that a piece completes; None stands for one of more than LINE_BYTES_MAX."""
        first, *others = piece.split(b"\n")
        self._hold(first)
        if not others:
            return []
        *whole, last = others
        lines = [self.rest(), *whole]
        self._hold(last)
        return lines

    def rest(self) -> bytes | None:
        """What is held: the last line, where the file doesn't end with a newline."""
        line = None if self._held_bytes > LINE_BYTES_MAX else b"".join(self._held)
        self._held = []
        self._held_bytes = 0
        return line

    def _hold(self, part: bytes) -> None:
        self._held_bytes += len(part)
        if self._held_bytes > LINE_BYTES_MAX:
            self._held = []
        else:
            self._held.append(part)


def _plain(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes themselves, or what they decompress to. Raises zlib.error and EOFError."""
    first = next(pieces, b"")
    while len(first) < len(_GZIP_MAGIC) and (more := next(pieces, b"")):
        first += more
    if not first.startswith(_GZIP_MAGIC):
        yield first.removeprefix(b"\xef\xbb\xbf")
        yield from pieces
        return
    inflate = zlib.decompressobj(_GZIP_WINDOW)
    begun = True
    for piece in _chain(first, pieces):
        # Files of several members (`cat a.gz b.gz`) are one; zeros may fill up after the last.
        waiting = piece if begun else piece.lstrip(b"\0")
        while waiting:
            begun = True
            yield inflate.decompress(waiting, _CHUNK_BYTES)
            waiting = inflate.unconsumed_tail
            if inflate.eof:
                waiting = inflate.unused_data.lstrip(b"\0")
                inflate = zlib.decompressobj(_GZIP_WINDOW)
                begun = False
    if begun:
        raise EOFError("the file ends before it is complete")


def _chain(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from others


def _row(number: int, line: bytes | None) -> Row | None:
    """None for what is no frame from the venue: blank lines, and what we sent."""
    if line is None:
        return BadLine(number, f"longer than {LINE_BYTES_MAX:,} bytes")
    line = line.strip()
    if not line:
        return None
    if line.startswith((b'{"dir"', b'{"tickgate"')):
        try:
            return _header(line) if line.startswith(b'{"t') else _directed(number, line)
        except (ValueError, ArithmeticError, RecursionError, zlib.error) as error:
            return BadLine(number, f"no row of a recording: {error}")
    if line[:1].isdigit():
        ns, _, message = line.partition(b" ")
        if message and ns.isdigit() and len(ns) <= 19:
            return Frame(number, int(ns), message.lstrip())
    return Frame(number, None, line)


def _header(line: bytes) -> Header:
    header = _decode_header(line)
    if header.version != FORMAT_VERSION:
        raise RecordingError(f"a recording of version {header.version}: update Tickgate to read it")
    return header


def _directed(number: int, line: bytes) -> Frame | None:
    row = _decode_row(line)
    if row.dir != "recv":
        return None
    received_ns = _seconds_ns(str(row.ts, "ascii")) if row.ns is None and row.ts else row.ns
    if received_ns is not None and not 0 < received_ns < _NS_END:
        raise RecordingError(f"no moment since 1970: {received_ns}")
    if row.data is not None:
        return Frame(number, received_ns, row.data)
    if row.b64 is None:
        raise RecordingError("neither data nor b64")
    return Frame(number, received_ns, _unpacked(row.b64, row.encoding))


def _seconds_ns(text: str) -> int:
    """Nanoseconds of `1618677372.1768699`, exactly. Raises ArithmeticError and RecordingError."""
    seconds = Decimal(text)
    if not 0 < seconds < _NS_END:
        raise RecordingError(f"no moment since 1970: {text[:40]}")
    return int(seconds * 1_000_000_000)


def _unpacked(b64: str, encoding: str | None) -> bytes:
    """A binary frame's content, decompressed where the row says how. Raises ValueError."""
    packed = base64.b64decode(b64, validate=True)
    if encoding is None or encoding == "utf8":
        return packed
    windows = {"gzip": _GZIP_WINDOW, "deflate-raw": _DEFLATE_WINDOW}
    if encoding not in windows:
        raise RecordingError(f"no such encoding: {encoding[:40]!r}")
    inflate = zlib.decompressobj(windows[encoding])
    plain = inflate.decompress(packed, LINE_BYTES_MAX)
    if inflate.unconsumed_tail:
        raise RecordingError(f"a frame of more than {LINE_BYTES_MAX:,} bytes")
    return plain
