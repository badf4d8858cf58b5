"""Wires between the product and the simulated Redis: ordered, late, cut when the seed says so."""

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from random import Random
from typing import Protocol

from tests.simulation.virtual_time import process_now

_NEXT_S = 1e-6
"""Two things never arrive at once: a heap of timers keeps no order of equals."""


class Peer(Protocol):
    """The other end."""

    def receive(self, data: bytes) -> None: ...

    def lost(self) -> None: ...


class Weather:
    """How all wires are just now."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.latency_s = 0.001
        self.chops = False
        """Whether what is sent as one arrives in two pieces."""

    def delay_s(self) -> float:
        return self.random.uniform(0.1, 1.0) * self.latency_s


class _Direction:
    def __init__(self, weather: Weather, context: Context) -> None:
        self._weather = weather
        self._context = context
        """Of who receives: one that stands still receives nothing."""
        self._last_s = 0.0
        self.blocked_until_s = 0.0

    def send(self, data: bytes, receive: Callable[[bytes], None]) -> None:
        pieces = [data]
        if self._weather.chops and len(data) > 1:
            at = self._weather.random.randrange(1, len(data))
            pieces = [data[:at], data[at:]]
        loop = asyncio.get_running_loop()
        for piece in pieces:
            due_s = max(loop.time() + self._weather.delay_s(), self.blocked_until_s)
            self._last_s = max(due_s, self._last_s + _NEXT_S)
            loop.call_at(self._last_s, receive, piece, context=self._context)


class Wire(asyncio.Transport):
    """The product's end of a connection, of the process that makes it."""

    def __init__(self, protocol: asyncio.BaseProtocol, weather: Weather) -> None:
        super().__init__()
        self._protocol = protocol
        self._context = copy_context()
        self.process = process_now()
        self._up, self._down = _Direction(weather, Context()), _Direction(weather, self._context)
        self._weather = weather
        self._is_closing = False
        self.is_dead = False
        """Half open: each side believes in the other, and nothing arrives."""
        self.peer: Peer | None = None
        self._is_paused = False
        self._unread: list[bytes] = []

    # The product's side.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._is_closing and not self.is_dead:
            self._up.send(bytes(data), self._arrive_up)

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        self._end(None)

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        if self._unread:
            asyncio.get_running_loop().call_soon(self._read, context=self._context)

    def get_write_buffer_size(self) -> int:
        return 0

    # The peer's side.

    def send_down(self, data: bytes) -> None:
        if not self._is_closing and not self.is_dead:
            self._down.send(data, self._arrive_down)

    def block(self, until_s: float) -> None:
        """Nothing arrives before that, in either direction; nothing is lost."""
        self._up.blocked_until_s = self._down.blocked_until_s = until_s

    def cut(self) -> None:
        """What is on its way is lost."""
        self._end(ConnectionResetError("cut"))

    def _end(self, error: Exception | None) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        asyncio.get_running_loop().call_soon(
            self._protocol.connection_lost, error, context=self._context
        )
        if self.peer is not None:
            self.peer.lost()

    def _arrive_up(self, data: bytes) -> None:
        if not self._is_closing and not self.is_dead and self.peer is not None:
            self.peer.receive(data)

    def _arrive_down(self, data: bytes) -> None:
        if not self._is_closing and not self.is_dead:
            self._unread.append(data)
            self._read()

    def _read(self) -> None:
        if self._unread and not self._is_paused and not self._is_closing:
            joined = b"".join(self._unread)
            self._unread.clear()
            self._protocol.data_received(joined)  # type: ignore[attr-defined]
