"""A hostile client's socket, and what became of all of one attack's. Loopback only."""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Final

import msgspec

HOST: Final = "127.0.0.1"
_LIMIT_S: Final = 1.0
_PAUSE_S: Final = 0.01
"""Between two strokes: the attackers must not starve the honest clients of their core."""
_UPGRADE: Final = (
    "Host: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


class Outcome(msgspec.Struct):
    """Of one attack."""

    attack: str
    deadline_s: float | None
    """From its first offence on a connection may live so long; None: it has not to end."""
    connections: int = 0
    ended: int = 0
    """By the gateway."""
    longest_s: float = 0.0
    """That a connection lived; those that still did at the end count as far as they came."""
    mib_sent: float = 0.0
    answers: dict[str, int] = {}
    """Status lines of HTTP and close codes, and how often."""

    def outlived_s(self) -> float:
        """Beyond the deadline."""
        return 0.0 if self.deadline_s is None else max(0.0, self.longest_s - self.deadline_s)


class Target(msgspec.Struct, frozen=True):
    """Whom to attack, with what key, and until when."""

    port: int
    key: str
    end_s: float
    """By time.monotonic."""
    channels: list[str]

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.end_s


class Peer:
    """One connection. Never raises where the gateway has hung up: `is_ended` says so."""

    def __init__(self, target: Target, receive_buffer: int = 0) -> None:
        self.is_ended = False
        self.sent = 0
        self.heard = b""
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(_LIMIT_S)
        self.began_s = time.monotonic()
        try:
            self.socket.connect((HOST, target.port))
        except OSError:
            self.is_ended = True

    def upgrade(self, target: Target, path: str = "/v1/stream", key: str | None = None) -> None:
        """Asks, and waits for what comes first."""
        shown = target.key if key is None else key
        head = f"GET {path} HTTP/1.1\r\n{_UPGRADE}X-API-Key: {shown}\r\n\r\n"
        self.send(head.encode())
        self.receive()

    def send(self, data: bytes) -> None:
        """All of it, or as much as goes within a second."""
        try:
            self.socket.sendall(data)
        except TimeoutError:
            self.look()  # it may have hung up on one who doesn't read
        except OSError:
            self.is_ended = True
        else:
            self.sent += len(data)

    def receive(self) -> None:
        """What there is, or comes within a second."""
        try:
            got = self.socket.recv(65_536)
        except TimeoutError:
            return
        except OSError:
            got = b""
        self.heard = (self.heard + got)[-65_536:]
        self.is_ended |= not got

    def drain(self) -> None:
        """What there is already."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while not self.is_ended and self._take():
                pass
        self.socket.settimeout(_LIMIT_S)

    def _take(self) -> bool:
        try:
            got = self.socket.recv(65_536)
        except BlockingIOError:
            raise
        except OSError:
            got = b""
        self.heard = (self.heard + got)[-65_536:]
        self.is_ended |= not got
        return bool(got)

    def look(self) -> None:
        """Whether a reset has come: without reading."""
        poll = select.poll()
        poll.register(self.socket, 0)
        self.is_ended |= bool(poll.poll(0))

    def answer(self) -> str:
        """A status of HTTP, or the last close code."""
        if self.heard.startswith(b"HTTP/1.1 ") and not self.heard.startswith(b"HTTP/1.1 101"):
            return self.heard[9:12].decode("latin-1")
        at = self.heard.rfind(b"\x88")
        return str(int.from_bytes(self.heard[at + 2 : at + 4], "big")) if at >= 0 else "none"


class Ledger:
    """Writes down what becomes of the connections of one attack."""

    def __init__(self, attack: str, deadline_s: float | None) -> None:
        self.outcome = Outcome(attack, deadline_s)
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def peer(self, target: Target, receive_buffer: int = 0) -> Iterator[Peer]:
        """A connection, closed at the end of the block; its life ends there at the latest."""
        one = Peer(target, receive_buffer)
        try:
            yield one
        finally:
            self.close(one)

    def close(self, one: Peer) -> None:
        with self._lock:
            told = self.outcome
            told.connections += 1
            told.ended += one.is_ended
            told.longest_s = max(told.longest_s, time.monotonic() - one.began_s)
            told.mib_sent += one.sent / 2**20
            answer = one.answer()
            told.answers[answer] = told.answers.get(answer, 0) + 1
        one.socket.close()


def pause() -> None:
    time.sleep(_PAUSE_S)


def frame(first: int, payload: bytes = b"") -> bytes:
    """Masked with zeros, which change nothing."""
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65_536:
        head = bytes((first, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
    return head + bytes(4) + payload
