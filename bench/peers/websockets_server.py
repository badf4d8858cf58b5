"""The server of the peer `websockets`: `python -m bench.peers.websockets_server REDIS_SOCKET`.

Its `broadcast`, on uvloop, without compression and keep-alive pings: what its documentation
advises for many clients (topics/broadcast, topics/performance).
"""

import sys
from collections import defaultdict

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from bench.peers.plain_server import ACK, Bus, decode_subscribe


async def _main(redis_path: str) -> None:
    bus = Bus(redis_path)
    subscribers: defaultdict[str, set[ServerConnection]] = defaultdict(set)

    async def handle(connection: ServerConnection) -> None:
        channels = decode_subscribe(await connection.recv()).channels
        await bus.subscribe(channels)
        for channel in channels:
            subscribers[channel].add(connection)
        await connection.send(ACK)
        await connection.wait_closed()
        for channel in channels:
            subscribers[channel].discard(connection)

    async with serve(
        handle, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=4_096
    ) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        async for channel, text in bus.ticks():
            broadcast(subscribers[channel], text)


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1]))
