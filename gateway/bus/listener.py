"""EDGE: one connection to Redis in subscriber mode: hiredis straight on an asyncio protocol.

What one read of the socket brought is handed on in one call.
"""

import asyncio
import fcntl
import struct
import termios
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, cast

import hiredis

from feeds.market.bus_names import channel_of, topic
from gateway.bus.counts import BusCounts
from gateway.bus.heartbeat import Heartbeat

_COMMAND_NAMES_MAX: Final = 500

Batch = Sequence[tuple[str, bytes]]
"""Channel names and their messages, in the order of arrival."""


class Listener(asyncio.Protocol):
    """One connection to Redis in subscriber mode."""

    def __init__(
        self,
        on_batch: Callable[[Batch], None],
        counts: BusCounts | None = None,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self._on_batch = on_batch
        self._counts = counts or BusCounts()
        self._heartbeat = heartbeat
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._confirmations: dict[str, asyncio.Future[bool]] = {}
        """True when confirmed, False when the connection ended before."""
        self._asked: Counter[str] = Counter()
        """How many confirmations of each are still to come."""
        self.closed: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.beats = 0
        """Heartbeats so far: what a watchdog compares."""
        self.beating = asyncio.Event()
        """Set with the first, or when the connection has ended."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(exc)
        self.beating.set()
        for confirmation in self._confirmations.values():
            if not confirmation.done():
                confirmation.set_result(False)
        self._confirmations.clear()

    def data_received(self, data: bytes) -> None:
        self._counts.reads += 1
        self._counts.bytes_in += len(data)
        self._reader.feed(data)
        batch: list[tuple[str, bytes]] = []
        beat = b"" if self._heartbeat is None else self._heartbeat.topic
        while (reply := self._reader.gets()) is not False:
            match reply:
                case [b"message", bytes() as name, bytes() as message]:
                    if name == beat:
                        self._hear_beat(message)
                    else:
                        batch.append((channel_of(name.decode()), message))
                case [b"subscribe", bytes() as name, int()]:
                    self._confirm(channel_of(name.decode()))
                case Exception() as error:
                    self.fail(error)
                case _:
                    pass  # the OK of AUTH, confirmations of unsubscribing
        if batch:
            self._counts.heard(*batch[0])
            self._on_batch(batch)

    def send(self, *words: str) -> None:
        assert self._transport is not None
        if self.closed.done():
            # uvloop raises for a transport that is gone; who sends finds out by `closed`.
            return
        encoded = [word.encode() for word in words]
        parts = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)
        self._transport.write(b"*%d\r\n%b" % (len(encoded), parts))

    async def subscribe(self, names: Sequence[str]) -> None:
        """Returns when Redis has confirmed each. Raises ConnectionError when the connection ends.

        Bound the wait outside.
        """
        if self.closed.done():
            raise ConnectionError("the bus is away")
        loop = asyncio.get_running_loop()
        waits = [self._confirmations.setdefault(name, loop.create_future()) for name in names]
        self._asked.update(names)
        for start in range(0, len(names), _COMMAND_NAMES_MAX):
            self.send("SUBSCRIBE", *map(topic, names[start : start + _COMMAND_NAMES_MAX]))
        if waits:
            # Not gather: who gives up waiting must not cancel what the next try waits for.
            await asyncio.wait(waits)
        if not all(wait.result() for wait in waits):
            raise ConnectionError("the bus is away")

    def unsubscribe(self, names: Sequence[str]) -> None:
        if names and not self.closed.done():
            self.send("UNSUBSCRIBE", *map(topic, names))

    def unread_bytes(self) -> int:
        """What the kernel holds for us: what came since the last read."""
        plain = self._transport.get_extra_info("socket") if self._transport is not None else None
        if plain is None or self.closed.done():
            return 0
        held = fcntl.ioctl(plain.fileno(), termios.FIONREAD, bytes(4))
        return int(struct.unpack("i", held)[0])

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def fail(self, error: Exception) -> None:
        """Ends the connection, and says why."""
        if not self.closed.done():
            self.closed.set_result(error)
        self.abort()

    def _hear_beat(self, message: bytes) -> None:
        assert self._heartbeat is not None
        self._heartbeat.hear(message)
        self.beats += 1
        self.beating.set()

    def _confirm(self, name: str) -> None:
        confirmation = self._confirmations.pop(name, None)
        if confirmation is not None and not confirmation.done():
            confirmation.set_result(True)
        if self._asked[name] > 1:
            self._asked[name] -= 1
        elif not self._asked.pop(name, 0):
            # What stands between us and Redis has subscribed anew: who knows what was lost.
            self.fail(ConnectionError("redis was connected to anew below us"))
