"""A venue that sends bytes as a test has them, frames that no server makes among them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from websockets.frames import Frame, Opcode
from websockets.utils import accept_key

from tests.venue_server import DEADLINE_S

_KEY_HEADER = "Sec-WebSocket-Key"
_HEAD = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %b\r\n\r\n"
)


class RawVenue:
    """A TCP server that shakes hands and then sends bytes as they are."""

    def __init__(self, at_once: bytes = b"") -> None:
        self.url = ""
        self.heard = bytearray()
        self.gone = asyncio.Event()
        self._at_once = at_once
        self._writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            (key,) = (line[19:] for line in head.decode().split("\r\n") if line[:17] == _KEY_HEADER)
            writer.write(_HEAD % accept_key(key).encode() + self._at_once)
            while data := await reader.read(65_536):
                self.heard += data
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        self.gone.set()

    def send(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)

    def hang_up(self) -> None:
        assert self._writer is not None
        self._writer.close()


@contextlib.asynccontextmanager
async def raw_venue(at_once: bytes = b"") -> AsyncIterator[RawVenue]:
    """Listens; `at_once` comes with its answer to the handshake."""
    venue = RawVenue(at_once)
    async with (
        asyncio.timeout(DEADLINE_S),
        await asyncio.start_server(venue.serve, "127.0.0.1", 0) as server,
    ):
        venue.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield venue
        await venue.gone.wait()


def framed(opcode: Opcode, payload: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin).serialize(mask=False)


def text(message: str) -> bytes:
    return framed(Opcode.TEXT, message.encode())
