"""What RFC 6455 asks of an echo server, written as plainly as can be: what the fuzz compares with.

Reads what a client says, byte by byte if need be, and keeps what must come back. Knows no library.
"""

import struct
from collections.abc import Iterator
from typing import Final

from tests.conformance.raw_peer import CLOSE, CONT, PING, TEXT, masked

_EXTERNAL: Final = {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}
_WAITED_FOR: Final = 4_096


class _End(Exception):  # noqa: N818 - no error: the end of a conversation
    def __init__(self, *codes: int) -> None:
        self.codes = set(codes)


class Model:
    """One connection."""

    def __init__(self, size_max: int) -> None:
        self.echoes: list[tuple[int, bytes]] = []
        self.pongs: list[bytes] = []
        self.pongs_due = 0
        """Those that have to come: a server may hear pings behind the text that it refuses."""
        self.ended: set[int] | None = None
        """The close codes that may be answered; 0 is a close without one. None: it goes on."""
        self._size_max = size_max
        self._unread = b""
        self._opcode = CONT
        self._pieces: list[bytes] = []
        self._steps = self._read()
        self._wanted = next(self._steps)

    @property
    def is_waiting(self) -> bool:
        """For so much payload that there is no use in going on."""
        return self._wanted - len(self._unread) > _WAITED_FOR

    def feed(self, data: bytes) -> None:
        """All of one read: a server may find its last fault before its first."""
        self._unread += data
        try:
            while len(self._unread) >= self._wanted:
                self._wanted = next(self._steps)
        except _End as end:
            self.ended = end.codes | (self.ended or set())
        if self.ended is None:
            self.pongs_due = len(self.pongs)

    def _read(self) -> Iterator[int]:
        """Yields how many bytes it wants next; takes them when it is gone on with."""
        while True:
            yield 2
            first, second = self._taken(2)
            self._check_head(first, second)
            size, width = second & 0x7F, {126: 2, 127: 8}.get(second & 0x7F, 0)
            if width:
                yield width
                size = int.from_bytes(self._taken(width), "big")
                if size < (126 if width == 2 else 65_536):
                    self._settle_pongs()
                    raise _End(1002)
            if size > self._size_max:
                raise _End(1009)
            yield 4
            mask = self._taken(4)
            yield size
            self._frame(first, masked(self._taken(size), mask))

    def _taken(self, size: int) -> bytes:
        found, self._unread = self._unread[:size], self._unread[size:]
        return found

    def _check_head(self, first: int, second: int) -> None:
        if first & 0xF not in (0, 1, 2, 8, 9, 10) or not second & 0x80:
            self._settle_pongs()
            raise _End(1002)

    def _frame(self, first: int, payload: bytes) -> None:
        opcode, is_last = first & 0xF, bool(first & 0x80)
        if first & 0x70 or (opcode >= CLOSE and (len(payload) > 125 or not is_last)):
            raise _End(1002)
        if opcode == CLOSE:
            self._settle_pongs()
            raise _End(*_answers_to_close(payload))
        if opcode == PING:
            self.pongs.append(payload)
        elif opcode < CLOSE:
            self._data(opcode, payload, is_last)

    def _data(self, opcode: int, payload: bytes, is_last: bool) -> None:
        if (opcode == CONT) != (self._opcode != CONT):
            raise _End(1002)
        self._opcode = opcode or self._opcode
        self._pieces.append(payload)
        if sum(map(len, self._pieces)) > self._size_max:
            raise _End(1009)
        if is_last:
            whole, told = b"".join(self._pieces), self._opcode
            self._opcode, self._pieces = CONT, []
            if told == TEXT and not _is_text(whole):
                self._settle_pongs()
                self.ended = {1007}
            elif self.ended is None:
                self.echoes.append((told, whole))

    def _settle_pongs(self) -> None:
        if self.ended is None:
            self.pongs_due = len(self.pongs)


def _answers_to_close(payload: bytes) -> set[int]:
    if len(payload) == 1:
        return {1002}
    if not payload:
        return {0, 1000}
    [code] = struct.unpack("!H", payload[:2])
    faults = {1002} if code not in _EXTERNAL else set()
    return (faults | (set() if _is_text(payload[2:]) else {1007})) or {code}


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
