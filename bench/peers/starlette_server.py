"""The server of the peer `starlette`: `python -m bench.peers.starlette_server REDIS_SOCKET`.

What one writes first: `await send_text` for one connection after the other. On uvicorn with its
sans-I/O WebSocket class, httptools and uvloop, without compression, pings and logs.
"""

import asyncio
import contextlib
import sys
from collections import defaultdict
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from bench.peers.plain_server import ACK, Bus, decode_subscribe
from gateway.serve import listening_socket


def _application(redis_path: str) -> Starlette:
    bus = Bus(redis_path)
    subscribers: defaultdict[str, dict[WebSocket, None]] = defaultdict(dict)

    async def handle(socket: WebSocket) -> None:
        await socket.accept()
        channels = decode_subscribe(await socket.receive_text()).channels
        await bus.subscribe(channels)
        for channel in channels:
            subscribers[channel][socket] = None
        await socket.send_text(ACK)
        with contextlib.suppress(WebSocketDisconnect):
            await socket.receive_text()
        for channel in channels:
            subscribers[channel].pop(socket, None)

    async def fan_out() -> None:
        async for channel, text in bus.ticks():
            for socket in list(subscribers[channel]):
                with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                    await socket.send_text(text)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(fan_out())
            yield
            task.cancel()

    return Starlette(routes=[WebSocketRoute("/", handle)], lifespan=lifespan)


def main() -> None:
    bound = listening_socket("127.0.0.1", 0)
    bound.listen(4_096)
    print(bound.getsockname()[1], flush=True)
    configuration = uvicorn.Config(
        _application(sys.argv[1]),
        http="httptools",
        loop="uvloop",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="on",
        access_log=False,
        log_level="error",
        backlog=4_096,
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(configuration).run(sockets=[bound])


if __name__ == "__main__":
    main()
