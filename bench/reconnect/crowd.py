"""Thousands of subscribers in one process that come back by the reference client's rules.

Each knows its channels' positions, asks with `since`, and counts what it was not told. They speak
the protocol on bare sockets: 5,000 of the reference client would measure the client.
"""

import asyncio
import time
from collections.abc import Sequence
from random import Random
from typing import Final, cast

import msgspec

from feeds.market import Position
from gateway.consumer.errors import UnreachableError, closed, pause_s

_ANSWER_LIMIT_S: Final = 30.0
_UPGRADE: Final = (
    b"GET /v1/stream HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nX-API-Key: "
)
_DATA: Final = b'{"ch":"'


class _Row(msgspec.Struct):
    ch: str
    epoch: str | None = None
    seq: int | None = None
    recovered: bool | None = None


class _Told(msgspec.Struct):
    """Any announcement: what of it matters here."""

    type: str
    ok: list[_Row] = []
    err: list[dict[str, object]] = []
    code: str = ""


_decode = msgspec.json.Decoder(_Told).decode


class Counted(msgspec.Struct):
    """What all of them together were told, or not told."""

    messages: int = 0
    holes: int = 0
    """Seqs that never came, before or after the return."""
    repeated: int = 0
    announced: int = 0
    """Gaps and resets."""
    not_recovered: int = 0
    """Channels whose return was refused for good."""
    asked_again: int = 0
    """Channels, or whole commands, that were to be asked for again."""
    tries: int = 0
    """Connections that were refused, or ended before the ack."""


class Subscriber(asyncio.Protocol):
    """One connection at a time."""

    def __init__(self, names: Sequence[str], key: str, counted: Counted) -> None:
        self.positions: dict[str, Position] = {}
        self.back = asyncio.Event()
        """Every channel has been accepted on this connection."""
        self.lost = asyncio.Event()
        self.back_s = 0.0
        self._names = list(names)
        self._request = _UPGRADE + key.encode() + b"\r\n\r\n"
        self._counted = counted
        self._wanting: set[str] = set()
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._rest, self._is_open = b"", False
        self._wanting = set(self._names)
        self.back.clear()
        self.lost.clear()
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self.back.clear()
        self.lost.set()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self._is_open:
            header, end, behind = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = data
                return
            if not header.startswith(b"HTTP/1.1 101"):
                self.abort()
                return
            data, self._is_open = behind, True
        self._rest = self._frames(data)

    def _frames(self, data: bytes) -> bytes:
        """Takes the whole ones; what is left."""
        at = 0
        while len(data) - at >= 2:
            length, header = data[at + 1], 2
            if length == 126:
                length, header = int.from_bytes(data[at + 2 : at + 4], "big"), 4
            elif length == 127:
                length, header = int.from_bytes(data[at + 2 : at + 10], "big"), 10
            end = at + header + length
            if end > len(data):
                break
            self._take(data[at] & 15, data[at + header : end])
            at = end
        return data[at:]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == 9:
            self._send(10, payload)
        elif opcode == 1 and payload.startswith(_DATA):
            self._hear_data(payload)
        elif opcode == 1:
            self._hear(_decode(payload))

    def _hear_data(self, payload: bytes) -> None:
        end = payload.index(b'"', len(_DATA))
        name = payload[len(_DATA) : end].decode()
        seq = int(payload[end + 8 : payload.index(b",", end + 8)])
        before = self.positions[name]
        self._counted.messages += 1
        if seq <= before.seq:
            self._counted.repeated += 1
            return
        self._counted.holes += seq - before.seq - 1
        self.positions[name] = Position(before.epoch, seq)

    def _hear(self, told: _Told) -> None:
        match told.type:
            case "welcome":
                self._ask()
            case "ack":
                self._acknowledged(told)
            case "gap" | "reset":
                self._counted.announced += 1
            case "error":
                self._counted.asked_again += 1
                self._ask_later()

    def _acknowledged(self, told: _Told) -> None:
        for row in told.ok:
            self._wanting.discard(row.ch)
            if row.recovered is False:
                self._counted.not_recovered += 1
            if row.ch not in self.positions:
                self.positions[row.ch] = Position(row.epoch or "", row.seq or 0)
        if self._wanting:
            self._counted.asked_again += len(told.err)
            self._ask_later()
        else:
            self.back_s = time.monotonic()
            self.back.set()

    def _ask_later(self) -> None:
        asyncio.get_running_loop().call_later(1.0, self._ask)

    def _ask(self) -> None:
        since = {name: self.positions[name] for name in self._wanting & self.positions.keys()}
        command = {"op": "subscribe", "id": 1, "channels": sorted(self._wanting), "since": since}
        self._send(1, msgspec.json.encode(command))

    def _send(self, opcode: int, payload: bytes) -> None:
        assert self._transport is not None
        size = len(payload)
        length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        # Masked with zeros, which change nothing.
        self._transport.write(bytes((0x80 | opcode,)) + length + bytes(4) + payload)


class Crowd:
    """All of them."""

    def __init__(self, port: int, key: str, wants: Sequence[Sequence[str]], seed: int) -> None:
        self.counted = Counted()
        self.subscribers = [Subscriber(names, key, self.counted) for names in wants]
        self._port = port
        self._random = Random(seed)

    async def run(self, at_once: int) -> None:
        """Keeps all connected until cancelled; at first not more than so many at once."""
        gate = asyncio.Semaphore(at_once)
        async with asyncio.TaskGroup() as group:
            for one in self.subscribers:
                group.create_task(self._keep(one, gate))

    async def all_back(self) -> None:
        for one in self.subscribers:
            await one.back.wait()

    async def _keep(self, one: Subscriber, gate: asyncio.Semaphore) -> None:
        async with gate:
            await self._connected(one)
        failures = 0
        while True:
            await one.lost.wait()
            failures += 1
            await asyncio.sleep(pause_s(closed(1006, "it broke"), failures, self._random))
            while not await self._connected(one):
                failures += 1
                self.counted.tries += 1
                await asyncio.sleep(pause_s(UnreachableError(), failures, self._random))
            failures = 0

    async def _connected(self, one: Subscriber) -> bool:
        """Whether it is back, on a new connection."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_ANSWER_LIMIT_S):
                await loop.create_connection(lambda: one, "127.0.0.1", self._port)
                waits = [loop.create_task(one.back.wait()), loop.create_task(one.lost.wait())]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for wait in waits:
                    wait.cancel()
        except (OSError, TimeoutError):
            one.abort()
            return False
        return one.back.is_set()
