"""The server of the peer `uwebsockets`: `python -m bench.peers.socketify_server REDIS_SOCKET PORT`.

uWebSockets by its Python binding, with its own publish: it joins what a turn of its loop publishes.
No compression, and room for whoever is late. Its asyncio loop polls while there is work.
"""

import sys
from typing import Final

from socketify import App, CompressOptions, OpCode, WebSocket

from bench.peers.plain_server import ACK, Bus, decode_subscribe

_BACKPRESSURE_BYTES: Final = 64 << 20


def main() -> None:
    redis_path, port = sys.argv[1], int(sys.argv[2])
    application = App()
    bus = Bus(redis_path)

    async def subscribe(socket: WebSocket, text: str, _: OpCode) -> None:
        channels = decode_subscribe(text).channels
        await bus.subscribe(channels)
        for channel in channels:
            socket.subscribe(channel)
        socket.send(ACK, OpCode.TEXT)

    async def fan_out() -> None:
        async for channel, text in bus.ticks():
            application.publish(channel, text, OpCode.TEXT)

    application.ws(
        "/*",
        {
            "compression": CompressOptions.DISABLED,
            "idle_timeout": 960,
            "max_backpressure": _BACKPRESSURE_BYTES,
            "message": subscribe,
        },
    )
    application.loop.create_background_task(fan_out)
    application.listen(
        {"host": "127.0.0.1", "port": port}, lambda listening: print(listening.port, flush=True)
    )
    application.run()


if __name__ == "__main__":
    main()
