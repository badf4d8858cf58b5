"""A WebSocket client that says exactly the bytes it is given, and reads whole frames.

Nothing of a library's is between it and the server: it may break every rule.
"""

import contextlib
import socket
from collections.abc import Iterator
from typing import Final, NamedTuple

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
DEADLINE_S: Final = 10.0
"""Longer than anything here takes; only a failing test waits so long."""
MASK: Final = b"\x1b\xf2\x03\xe4"
UPGRADE: Final = (
    b"Host: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


class Frame(NamedTuple):
    """One that the server sent."""

    opcode: int
    payload: bytes
    fin: bool = True

    @property
    def close_code(self) -> int:
        """0 where there is none."""
        return int.from_bytes(self.payload[:2], "big")


def masked(payload: bytes, mask: bytes = MASK) -> bytes:
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    whole = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return whole.to_bytes(len(payload), "big")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = MASK,
    width: int | None = None,
) -> bytes:
    """A client's frame. `width`: 0, 2 or 8 bytes of length behind the first; None: as few as do."""
    size = len(payload)
    if width is None:
        width = 0 if size < 126 else 2 if size < 65_536 else 8
    short = {0: size, 2: 126, 8: 127}[width]
    head = bytes((fin << 7 | reserved << 4 | opcode, (mask is not None) << 7 | short))
    head += size.to_bytes(width, "big") if width else b""
    return head + (payload if mask is None else mask + masked(payload, mask))


def close(code: int | None = 1000, reason: bytes = b"") -> bytes:
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def fragments(opcode: int, *payloads: bytes) -> list[bytes]:
    """One message in as many frames."""
    last = len(payloads) - 1
    return [
        frame(CONT if at else opcode, payload, fin=at == last)
        for at, payload in enumerate(payloads)
    ]


class RawPeer:
    """Connected, and upgraded. `piece`: bytes of one send; 0: all at once."""

    def __init__(self, port: int, path: str = "/", headers: str = "", piece: int = 0) -> None:
        self._piece = piece
        self._unread = b""
        self._socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = f"GET {path} HTTP/1.1\r\n{headers}".encode()
        self._socket.sendall(head + UPGRADE + b"\r\n")
        self.answer = self._line()
        while self._line():
            pass

    def __enter__(self) -> "RawPeer":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def say(self, *frames: bytes) -> None:
        """Sends them, or as much as a server takes that has had enough."""
        told = b"".join(frames)
        piece = self._piece or len(told) or 1
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for at in range(0, len(told), piece):
                self._socket.sendall(told[at : at + piece])

    def hear(self) -> Frame | None:
        """The server's next frame; None at the end of the stream."""
        if (head := self._exactly(2)) is None:
            return None
        first, size = head
        assert size < 128, "a server masks nothing"
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(self._whole(width), "big")
            assert size >= (126 if width == 2 else 65_536), "the length could be shorter"
        assert not first & 0x70, "nothing was negotiated that would use reserved bits"
        return Frame(first & 0xF, self._whole(size), bool(first & 0x80))

    def hear_all(self) -> list[Frame]:
        """Every frame to the end of the stream; a close is answered, as it has to be."""
        return list(self._frames())

    def _frames(self) -> Iterator[Frame]:
        while (heard := self.hear()) is not None:
            yield heard
            if heard.opcode == CLOSE:
                self.say(frame(CLOSE, heard.payload[:2]))

    def _line(self) -> bytes:
        while b"\r\n" not in self._unread:
            assert self._more(), "the server hung up on the upgrade"
        line, _, self._unread = self._unread.partition(b"\r\n")
        return line

    def _whole(self, size: int) -> bytes:
        found = self._exactly(size)
        assert found is not None, "the stream ended within a frame"
        return found

    def _exactly(self, size: int) -> bytes | None:
        while len(self._unread) < size:
            if not self._more():
                assert not self._unread, f"the stream ended within a frame: {self._unread!r}"
                return None
        found, self._unread = self._unread[:size], self._unread[size:]
        return found

    def _more(self) -> bool:
        try:
            got = self._socket.recv(1 << 20)
        except ConnectionResetError:
            # It closed with something of ours unread: after its last frame, or instead of it.
            return False
        self._unread += got
        return bool(got)
