"""A venue for tests: a real WebSocket server on loopback that does what it is told.

It sends frames, keeps what it was sent, goes silent, closes in order, cuts the line, stops
listening.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from feeds.market import Tick
from tests.kept_port import kept_port

DEADLINE_S = 20.0
"""Longer than anything here takes; only a failing test waits so long."""


class Side:
    """The venue's end of one connection."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._inbox: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.path = connection.request.path if connection.request else ""
        self.gone = asyncio.Event()

    async def listen(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for frame in self._connection:
                self._inbox.put_nowait(frame)
        self.gone.set()

    async def received(self) -> str | bytes:
        """The next frame that the feed sent."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._inbox.get()

    async def send(self, *frames: str | bytes) -> None:
        for frame in frames:
            await self._connection.send(frame)

    async def close(self, code: int, reason: str = "") -> None:
        await self._connection.close(code, reason)

    def cut(self) -> None:
        """No closing handshake: the line is dead."""
        self._connection.transport.abort()

    def stop_reading(self) -> None:
        """What the feed sends from now on, a close frame too, stays in the kernel."""
        self._connection.transport.pause_reading()

    async def is_left(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self.gone.wait()


class VenueServer:
    """Listens on a port of its own; `async with` it."""

    def __init__(self) -> None:
        self.port = 0
        self.accepted = 0
        self._arrivals: asyncio.Queue[Side] = asyncio.Queue()
        self._server: Server | None = None
        self._keeping = contextlib.ExitStack()
        """Of the port, which is nobody else's while it is refused there."""

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def __aenter__(self) -> "VenueServer":
        self.port = self._keeping.enter_context(kept_port())
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()
        self._keeping.close()

    async def listen(self) -> None:
        """Opens the port, the same one again after `refuse`."""
        self._server = await serve(
            self._serve, "127.0.0.1", self.port, close_timeout=0.1, compression=None
        )

    async def refuse(self) -> None:
        """Closes the port and all connections."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def next_side(self) -> Side:
        """The venue's end of the next connection that the feed opens."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._arrivals.get()

    async def _serve(self, connection: ServerConnection) -> None:
        side = Side(connection)
        self.accepted += 1
        self._arrivals.put_nowait(side)
        await side.listen()


class TickList:
    """A sink that can be waited for."""

    def __init__(self) -> None:
        self.ticks: list[Tick] = []
        self._came = asyncio.Event()

    def offer(self, ticks: Iterable[Tick]) -> None:
        self.ticks.extend(ticks)
        self._came.set()

    async def reach(self, count: int) -> list[Tick]:
        """All so far, once there are as many."""
        await until(lambda: len(self.ticks) >= count, self._came)
        return self.ticks


async def until(condition: Callable[[], bool], came: asyncio.Event | None = None) -> None:
    """Returns once it holds. Looks again whenever `came` is set, or every few milliseconds."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            if came is None:
                await asyncio.sleep(0.002)
            else:
                came.clear()
                await came.wait()


@contextlib.asynccontextmanager
async def running(*coroutines: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """They run for as long as the block does; then they are cancelled and awaited."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def binance_trade(id_: int, at_ms: int = 1_700_000_000_000) -> str:
    """A trade in the shape of Binance's combined stream; the numbers are made up.

    Where candles are made of it, `at_ms` is to be now: those of the years since would all be told.
    """
    return (
        f'{{"stream":"btcusdt@trade","data":{{"e":"trade","E":{at_ms},"s":"BTCUSDT",'
        f'"t":{id_},"p":"61000.10000000","q":"0.00100000","T":{at_ms},"m":true,"M":true}}}}'
    )
