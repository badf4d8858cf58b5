"""A line between two programs that can be slowed, stalled, deafened, chopped and cut."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path


class Way:
    """One direction of the line."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        """How long each piece is held before it goes on."""
        self.piece_bytes = 0
        """The most that goes on at once; 0: as it came."""
        self.is_dropping = False
        """Whether what comes in never comes out."""
        self.passed = 0
        """Bytes that came out so far."""
        self._flowing = asyncio.Event()
        self._flowing.set()

    def stall(self) -> None:
        """Nothing comes out, and nothing is lost, until `flow`. The sender sees no end."""
        self._flowing.clear()

    def flow(self) -> None:
        self._flowing.set()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries until either end is gone."""
        with contextlib.suppress(OSError):
            await self._carry(reader, writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if self.is_dropping:
                continue
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            step = self.piece_bytes or len(data)
            for start in range(0, len(data), step):
                await self._flowing.wait()
                if writer.transport.is_closing():
                    return
                writer.write(data[start : start + step])
                await writer.drain()
                self.passed += len(data[start : start + step])


class Proxy:
    """Listens on loopback; `port` leads to the target. `requests` go to it, `answers` come back."""

    def __init__(self, group: asyncio.TaskGroup, target: Path | int) -> None:
        self.port = 0
        self.requests = Way()
        self.answers = Way()
        self.accepted = 0
        self.is_refusing = False
        """Whether new connections are ended at once."""
        self.open: set[asyncio.StreamWriter] = set()
        """Both ends of every connection that there is."""
        self.target = target
        """Where connections lead from now on."""
        self._group = group

    @property
    def connections(self) -> int:
        return len(self.open) // 2

    def stall(self) -> None:
        self.requests.stall()
        self.answers.stall()

    def flow(self) -> None:
        self.requests.flow()
        self.answers.flow()

    def cut(self) -> None:
        """Ends every connection, without a goodbye."""
        for writer in list(self.open):
            writer.transport.abort()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.is_refusing:
            writer.transport.abort()
            return
        self._group.create_task(self._carry(reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        if self.is_refusing:
            # Since a moment ago: what was cut then did not know of this one.
            for end in ends:
                end.transport.abort()
            return
        self.open |= ends
        try:
            async with asyncio.TaskGroup() as group:
                ways = [
                    group.create_task(self.requests.pump(reader, far_writer)),
                    group.create_task(self.answers.pump(far_reader, writer)),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
        finally:
            self.open -= ends
            for end in ends:
                end.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, Path):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection("127.0.0.1", self.target)


@contextlib.asynccontextmanager
async def proxy_to(target: Path | int) -> AsyncIterator[Proxy]:
    """A proxy to a Unix socket or to a port of this machine."""
    async with asyncio.TaskGroup() as group:
        proxy = Proxy(group, target)
        server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            proxy.is_refusing = True
            server.close()
            proxy.flow()
            proxy.cut()
