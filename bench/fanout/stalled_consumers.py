"""Consumers that read nothing at all, and how long the gateway's machine keeps anything for them.

The gateway lets go of one when its side is no longer open; it is gone when the kernel holds no data
for it either. What it sees itself comes late, if ever, as it doesn't read.
"""

import fcntl
import socket
import struct
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from bench.fanout.plain_socket import subscribe, upgraded

_LOOK_EVERY_S: Final = 0.1
_FLOWING_BYTES: Final = 4_096
"""More than heartbeats: the ticks have begun."""
_ESTABLISHED, _FIN_WAIT_1, _LAST_ACK = "01", "04", "09"


class Gone(msgspec.Struct, frozen=True):
    """How they ended."""

    consumers: int
    gone: int
    first_s: float
    """From the first ticks until the first was gone; 0 where none was."""
    last_s: float
    let_go: int
    let_go_s: float
    """Until the last of them was let go."""
    closed: int
    """Closed with 4105, as the gateway counts."""


class StalledConsumers:
    """Some of them, each subscribed already. Their buffers are the system's own."""

    def __init__(self, port: int, key: str, consumers: int, names: Sequence[str]) -> None:
        self._port = port
        self._sockets = [upgraded(port, key) for _ in range(consumers)]
        for one in self._sockets:
            subscribe(one, names)
        self._ports = {one.getsockname()[1] for one in self._sockets}
        self._let_go_s: dict[int, float] = {}
        self._gone_s: dict[int, float] = {}
        self._over = threading.Event()

    @contextmanager
    def stalling(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            for one in self._sockets:
                one.close()

    def fates(self, closed: int) -> Gone:
        gone_s = sorted(self._gone_s.values()) or [0.0]
        let_go_s = max(self._let_go_s.values(), default=0.0)
        return Gone(
            consumers=len(self._ports),
            gone=len(self._gone_s),
            first_s=gone_s[0],
            last_s=gone_s[-1],
            let_go=len(self._let_go_s),
            let_go_s=let_go_s,
            closed=closed,
        )

    def _watch(self) -> None:
        while _unread(self._sockets[0]) < _FLOWING_BYTES:
            if self._over.wait(_LOOK_EVERY_S):
                return
        began_s = time.monotonic()
        while not self._over.wait(_LOOK_EVERY_S):
            are_open, are_left = server_side(self._port)
            now_s = time.monotonic() - began_s
            for port in self._ports - are_open - self._let_go_s.keys():
                self._let_go_s[port] = now_s
            for port in self._ports - are_open - are_left - self._gone_s.keys():
                self._gone_s[port] = now_s


def _unread(one: socket.socket) -> int:
    held = fcntl.ioctl(one.fileno(), termios.FIONREAD, bytes(4))
    return int(struct.unpack("i", held)[0])


def server_side(port: int) -> tuple[set[int], set[int]]:
    """The far ports of a server's connections: those open, and those left with something unsent."""
    are_open, are_left = set(), set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, queues, *_ = line.split()
        if int(local.partition(":")[2], 16) != port:
            continue
        far = int(remote.partition(":")[2], 16)
        if state == _ESTABLISHED:
            are_open.add(far)
        elif state in (_FIN_WAIT_1, _LAST_ACK) and int(queues.partition(":")[0], 16) > 0:
            are_left.add(far)
    return are_open, are_left
