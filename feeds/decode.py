"""`tickgate decode`: recorded or raw messages of a venue in, what subscribers would get out.

EDGE (files): the one place where decoding meets a file, a pipe and a terminal.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final, TextIO

import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from feeds.market import Instrument, InstrumentError, Tick
from feeds.recordings.recording import BadLine, Frame, Header, Row, chunks, read_batches
from feeds.venue import ParseError, Parser, Venue
from feeds.venues import VENUES

DONE: Final = 0
BAD_LINES: Final = 1
MISUSED: Final = 2

_LONG_FILE_BYTES: Final = 4 * 1024 * 1024
"""From here on a file takes long enough that a person at a terminal wants to see it move."""

_encode = msgspec.json.Encoder().encode


class _OtherVenueError(ValueError):
    """The file says that it is a recording of another venue than the one asked for."""


def decode(venue: str, files: Sequence[str], symbol: str | None, out: BinaryIO, err: TextIO) -> int:
    """Writes one JSON object a line for each trade and quote in `files`; `-` or none is stdin.

    `symbol` (ours, `BTC-USD`) is for messages that name none. The exit status: 0; 1 where a line
    was bad (each is told on `err`); 2 where a file can't be read or an argument is wrong. A closed
    `out` (`| head`) ends it in peace.
    """
    row = VENUES.get(venue)
    if row is None:
        return _misuse(err, f"no such venue: {venue}; there are {', '.join(VENUES)}")
    try:
        if symbol is not None:
            Instrument.parse(symbol)
    except InstrumentError as error:
        return _misuse(err, str(error))
    status = DONE
    for name in files or ("-",):
        try:
            status = max(status, _file(name, row, symbol, out, err))
        except BrokenPipeError:
            _let_go(out)
            break
        except (OSError, _OtherVenueError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            status = _misuse(err, f"{name}: {reason or error}")
    return status


def _file(name: str, venue: Venue, symbol: str | None, out: BinaryIO, err: TextIO) -> int:
    """One file's exit status. Raises OSError and _OtherVenueError."""
    decoding = _Decoding(venue, venue.parser(symbol), "stdin" if name == "-" else name, err)
    with ExitStack() as stack:
        stream: BinaryIO = sys.stdin.buffer
        pieces = chunks(stream)
        if name != "-":
            stream = stack.enter_context(Path(name).open("rb"))
            size = os.fstat(stream.fileno()).st_size
            pieces = chunks(stream)
            if size >= _LONG_FILE_BYTES and err.isatty() and not out.isatty():
                pieces = stack.enter_context(_progress(Path(name).name, size, err))(pieces)
        for batch in read_batches(pieces):
            out.write(decoding.lines(batch))
            # A batch is what one read brought: of a pipe, nothing that is known waits in a buffer.
            out.flush()
    return decoding.status


class _Decoding:
    """One file's way through one parser, and what went wrong on it."""

    def __init__(self, venue: Venue, parser: Parser, name: str, err: TextIO) -> None:
        self.status = DONE
        self._venue = venue
        self._parser = parser
        self._name = name
        self._err = err

    def lines(self, batch: list[Row]) -> bytes:
        """What a batch of rows comes to. Raises _OtherVenueError."""
        lines: list[bytes] = []
        feed = self._parser.feed
        for row in batch:
            match row:
                case Frame(number, received_ns, frame):
                    try:
                        events = feed(frame, received_ns)
                    except ParseError as error:
                        self._tell(number, str(error))
                        continue
                    lines += [
                        _opening(event.channel.name) + _encode(event.payload)[1:]
                        for event in events
                        if isinstance(event, Tick)
                    ]
                case BadLine(number, reason):
                    self._tell(number, reason)
                case Header(venue=venue) if venue != self._venue.name:
                    raise _OtherVenueError(f"a recording of {venue}, not of {self._venue.name}")
        lines.append(b"")
        return b"\n".join(lines)

    def _tell(self, number: int, reason: str) -> None:
        self.status = BAD_LINES
        self._err.write(f"{_printable(self._name)}:{number}: {_printable(reason)}\n")


@lru_cache(maxsize=4_096)
def _opening(channel: str) -> bytes:
    return b'{"ch":"%b",' % channel.encode()


def _printable(text: str) -> str:
    """On one line, and without a character that a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _misuse(err: TextIO, sentence: str) -> int:
    err.write(f"tickgate decode: {_printable(sentence)}\n")
    return MISUSED


def _let_go(out: BinaryIO) -> None:
    """Nobody reads `out` any more: what is left in its buffer must not fail at the exit either."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, out.fileno())
        os.close(nowhere)


@contextmanager
def _progress(
    name: str, size: int, err: TextIO
) -> Iterator[Callable[[Iterator[bytes]], Iterator[bytes]]]:
    """A bar on a terminal; gives what passes a file's bytes on and moves the bar."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=err), transient=True) as bar:
        task = bar.add_task(_printable(name), total=size)

        def watched(pieces: Iterator[bytes]) -> Iterator[bytes]:
            for piece in pieces:
                bar.advance(task, len(piece))
                yield piece

        yield watched
