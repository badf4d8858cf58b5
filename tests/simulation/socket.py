"""A subscriber's socket on the gateway's side, and all that its connection does there.

A kernel that holds a little, a transport that buffers the rest and says so, a client that reads or
doesn't; the order of what is heard is that of `gateway.server.hearing`.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Final, Protocol

from gateway.errors import CloseRow
from gateway.fanout.session import Session, Sink
from gateway.transports.listener import StreamListener

_CLOSE_LIMIT_S: Final = 3.0
_BROKEN: Final = 1006
_NEXT_S: Final = 1e-6
"""Commands stay in order."""


class Reader(Protocol):
    """The client's end."""

    def hear(self, frames: bytes) -> None: ...

    def closed(self, code: int) -> None: ...


class Socket:
    """A Sink. `turn_s`: how often the client reads, `per_turn` writes at most."""

    def __init__(
        self, reader: Reader, random: Random, start: Callable[..., object], *, is_direct: bool
    ) -> None:
        self.descriptor = 1 if is_direct else -1
        self.listener: StreamListener | None = None
        self.session: Session | None = None
        self.room_bytes = 2_000
        self.turn_s = 0.002
        self.per_turn = 1_000
        self.was_full = False
        self._reader = reader
        self._random = random
        self._start = start
        self._kernel: deque[bytes] = deque()
        self._kernel_bytes = 0
        self._buffer: deque[bytes] = deque()
        self._stalled_until_s = 0.0
        self._said_s = 0.0
        self._is_reading = False
        self._is_leaving = False
        self._closing: CloseRow | None = None
        self._is_gone = False
        """For the client."""
        self._events: deque[str | bytes | int] = deque()
        self._is_hearing = False

    # As a session sees it.

    def is_ready(self) -> bool:
        return not self._buffer

    def write(self, frames: bytes) -> None:
        if self._is_leaving:
            return
        if self._kernel_bytes < self.room_bytes and not self._buffer:
            self._to_kernel(frames)
        else:
            was_ready = not self._buffer
            self._buffer.append(frames)
            self.was_full = True
            if was_ready and self.listener is not None:
                self.listener.busy()
        self._read_soon()

    def close(self, row: CloseRow) -> None:
        if self._closing is not None or self._is_leaving:
            return
        self._leave(row.code)
        self._closing = row
        loop = asyncio.get_running_loop()
        loop.call_later(_CLOSE_LIMIT_S, self._gone, _BROKEN)
        self._read_soon()

    # As the client sees it.

    def say(self, text: str | bytes) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self._random.uniform(0.0, 0.003)
        self._said_s = max(due_s, self._said_s + _NEXT_S)
        loop.call_at(self._said_s, self._arrived, text)

    def stall(self, seconds: float) -> None:
        """The client reads nothing for so long."""
        self._stalled_until_s = asyncio.get_running_loop().time() + seconds

    def drop(self) -> None:
        """The client is gone; the gateway learns of it a moment later."""
        self._is_gone = True
        late_s = self._random.uniform(0.0, 0.05)
        asyncio.get_running_loop().call_later(late_s, self._leave, _BROKEN)

    def cut(self) -> None:
        """The gateway's process is gone."""
        self._is_leaving = True
        self._gone(_BROKEN)

    @property
    def is_leaving(self) -> bool:
        return self._is_leaving

    # In between.

    def _leave(self, code: int) -> None:
        if self._is_leaving:
            return
        self._is_leaving = True
        self.descriptor = -1
        if self.listener is not None:
            self.listener.busy()
        self._arrived(code)

    def _arrived(self, event: str | bytes | int) -> None:
        self._events.append(event)
        if not self._is_hearing and self.listener is not None:
            self._is_hearing = True
            self._start(self._hear())

    async def _hear(self) -> None:
        assert self.listener is not None
        while self._events:
            event = self._events.popleft()
            if isinstance(event, int):
                self.listener.leave(event)
                return
            await self.listener.hear(event)
        self._is_hearing = False

    def _to_kernel(self, frames: bytes) -> None:
        self._kernel.append(frames)
        self._kernel_bytes += len(frames)

    def _read_soon(self) -> None:
        if not self._is_reading and not self._is_gone:
            self._is_reading = True
            loop = asyncio.get_running_loop()
            due_s = loop.time() + self._random.uniform(0.2, 1.0) * self.turn_s
            loop.call_at(max(due_s, self._stalled_until_s), self._read)

    def _read(self) -> None:
        self._is_reading = False
        if self._is_gone:
            return
        if asyncio.get_running_loop().time() < self._stalled_until_s:
            self._read_soon()
            return
        taken = [self._kernel.popleft() for _ in range(min(self.per_turn, len(self._kernel)))]
        self._kernel_bytes -= sum(map(len, taken))
        was_ready = not self._buffer
        while self._buffer and self._kernel_bytes < self.room_bytes:
            self._to_kernel(self._buffer.popleft())
        if not was_ready and not self._buffer and self.listener is not None:
            self.listener.ready()
        if taken:
            self._reader.hear(b"".join(taken))
        if self._kernel:
            self._read_soon()
        elif self._closing is not None:
            self._gone(self._closing.code)

    def _gone(self, code: int) -> None:
        if not self._is_gone:
            self._is_gone = True
            self._reader.closed(code)


def write_all(sinks: Sequence[Sink], frames: bytes) -> None:
    """In the place of `gateway.server.broadcast`, which writes to descriptors."""
    for sink in sinks:
        assert sink.is_ready(), "a socket that is not ready is written directly"
        sink.write(frames)
