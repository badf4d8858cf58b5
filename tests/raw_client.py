"""A client that speaks in bytes: for what no well-behaved WebSocket library would say."""

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import NamedTuple

from tests.gateway_server import GatewayServer
from tests.stream_client import DEADLINE_S

TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


class Heard(NamedTuple):
    """One frame of the server's."""

    opcode: int
    payload: bytes

    @property
    def close_code(self) -> int:
        assert self.opcode == CLOSE
        return int.from_bytes(self.payload[:2], "big")


def framed(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Masked, as a client's frames are; the mask is zero, so the payload is what it was."""
    size = len(payload)
    if size < 126:
        header = bytes((fin << 7 | opcode, 0x80 | size))
    elif size < 65_536:
        header = bytes((fin << 7 | opcode, 0xFE)) + size.to_bytes(2, "big")
    else:
        header = bytes((fin << 7 | opcode, 0xFF)) + size.to_bytes(8, "big")
    return header + bytes(4) + payload


def upgrade(key: str, path: str = "/v1/stream", *lines: str) -> bytes:
    """The head of a request for the stream."""
    nonce = base64.b64encode(bytes(16)).decode()
    head = [f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket"]
    head += ["Connection: Upgrade", f"Sec-WebSocket-Key: {nonce}", "Sec-WebSocket-Version: 13"]
    head += [f"X-API-Key: {key}"] if key else []
    return "\r\n".join([*head, *lines, "", ""]).encode()


class RawClient:
    """A socket, and what has been read of it and not been used yet."""

    def __init__(self, plain: socket.socket) -> None:
        self.plain = plain
        self._unread = b""

    async def say(self, data: bytes) -> None:
        """Raises OSError where the server has had enough."""
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.get_running_loop().sock_sendall(self.plain, data)

    async def pour(self, data: bytes) -> None:
        """Says it again and again, until the server has had enough."""
        with contextlib.suppress(OSError):
            while True:
                await self.say(data)

    async def head(self) -> bytes:
        """The head of an HTTP answer."""
        while b"\r\n\r\n" not in self._unread:
            await self._read()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        return head

    async def hear(self) -> Heard:
        """The next frame. Raises EOFError."""
        first, size = await self.take(2)
        if size >= 126:
            size = int.from_bytes(await self.take(2 if size == 126 else 8), "big")
        return Heard(first & 15, await self.take(size))

    async def hear_until(self, opcode: int) -> Heard:
        """The next frame of a kind."""
        while (heard := await self.hear()).opcode != opcode:
            pass
        return heard

    async def hear_all(self) -> list[Heard]:
        """Everything to the end, however it comes."""
        heard: list[Heard] = []
        with contextlib.suppress(EOFError, OSError):
            while True:
                heard.append(await self.hear())
        return heard

    async def is_cut_off(self) -> bool:
        """Reads to the end, however it comes."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                await self._read()
        return True

    async def take(self, size: int) -> bytes:
        """So many bytes. Raises EOFError."""
        while len(self._unread) < size:
            await self._read()
        taken, self._unread = self._unread[:size], self._unread[size:]
        return taken

    async def _read(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            data = await asyncio.get_running_loop().sock_recv(self.plain, 65_536)
        if not data:
            raise EOFError
        self._unread += data


@contextlib.asynccontextmanager
async def raw_client(gateway: GatewayServer, *, upgraded: bool = True) -> AsyncIterator[RawClient]:
    """Connected; `upgraded`: with the gateway's own key, and welcome."""
    with socket.socket() as plain:
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", gateway.port))
        client = RawClient(plain)
        if upgraded:
            await client.say(upgrade(gateway.key))
            assert (await client.head()).startswith(b"HTTP/1.1 101 ")
            assert b'"welcome"' in (await client.hear()).payload
        yield client
