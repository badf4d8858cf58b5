"""The open-loop publisher of bench.peers: `python -m bench.peers.publish WIRE TO CHANNELS RATE N`.

TO is a port of 127.0.0.1 or a socket's path. Tick n is due at start + n / RATE whatever happened to
those before it, and carries that moment as its `tx`: a latency measured from it can't leave out
what a stall delayed. Some ticks of an hour ago come first, to warm up, and then the word `warm`.
"""

import contextlib
import gc
import select
import socket
import sys
import time
from typing import Final

import msgspec

from bench.peers.wires import Encode, wires

WARM: Final = "warm\n"
LEAD_S: Final = 0.4
"""Between that word and the first tick that counts."""
_WARM_UP_TICKS: Final = 40
_WARM_UP_PER_S: Final = 80.0
"""Of the slowest server less than its limit."""
_WARM_UP_AGE_S: Final = 3_600
"""The load client does not count what is older than itself."""
_WAKE_S: Final = 0.0005
_STUCK_S: Final = 30.0
"""After which a server that takes nothing more is given up."""
_STAY_S: Final = 120.0
"""After which who should have stopped this is taken to be gone."""


class Published(msgspec.Struct, frozen=True):
    """What the publisher tells when it is done."""

    late_s: float
    """How late the latest tick was written: it, or the server that didn't take it."""
    cpu_s: float


class Publisher:
    """One connection to a server."""

    def __init__(self, wire_name: str, to: str, channels: int) -> None:
        wire = wires(b"b%x" % time.time_ns())[wire_name]
        self._encode: Encode = wire.encode
        self._names = [f"trade:bench:C{number:05d}" for number in range(channels)]
        self._server = _connected(to)
        self._sent = 0
        self._send(wire.greeting)

    def publish(self, count: int, ticks_per_s: float, start_s: float, age_s: float = 0.0) -> float:
        """So many more ticks, the channels in turn; how late the latest was, seconds."""
        names, encode, before = self._names, self._encode, self._sent
        stamp_us, period_us = int((start_s - age_s) * 1e6), 1e6 / ticks_per_s
        sent, late_s = 0, 0.0
        while sent < count:
            due = min(count, int((time.time() - start_s) * ticks_per_s) + 1)
            ready = []
            for number in range(sent, due):
                seq, at = divmod(before + number, len(names))
                ready.append(encode(names[at], seq + 1, stamp_us + int(number * period_us)))
            if ready:
                self._send(b"".join(ready))
                late_s = max(late_s, time.time() - start_s - sent / ticks_per_s)
                sent = due
            self._forget_answers()
            time.sleep(_WAKE_S)
        self._sent += count
        return late_s

    def stay(self) -> None:
        """Until stopped, but not for ever: nginx drops what it has not read yet of who left."""
        deadline_s = time.monotonic() + _STAY_S
        while time.monotonic() < deadline_s:
            select.select([self._server], [], [], 1)
            with contextlib.suppress(BlockingIOError):
                if not self._server.recv(1 << 18):
                    return

    def _send(self, ticks: bytes) -> None:
        """All of it. A server may take nothing while its answers are unread: so they are read."""
        left = memoryview(ticks)
        deadline_s = time.monotonic() + _STUCK_S
        while left:
            try:
                left = left[self._server.send(left) :]
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise
                self._forget_answers()
                select.select([], [self._server], [], _WAKE_S)

    def _forget_answers(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._server.recv(1 << 18):
                pass


def _connected(to: str) -> socket.socket:
    if not to.isdecimal():
        server = socket.socket(socket.AF_UNIX)
        server.connect(to)
    else:
        server = socket.create_connection(("127.0.0.1", int(to)))
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.setblocking(False)
    return server


def main() -> None:
    wire, to, channels, ticks_per_s, count = sys.argv[1:]
    publisher = Publisher(wire, to, int(channels))
    publisher.publish(_WARM_UP_TICKS, _WARM_UP_PER_S, time.time(), _WARM_UP_AGE_S)
    gc.collect()
    gc.disable()
    start_s, before_s = time.time() + LEAD_S, time.process_time()
    sys.stdout.write(WARM)
    sys.stdout.flush()
    late_s = publisher.publish(int(count), float(ticks_per_s), start_s)
    told = Published(round(late_s, 4), round(time.process_time() - before_s, 4))
    print(msgspec.json.encode(told).decode(), flush=True)
    publisher.stay()


if __name__ == "__main__":
    main()
