"""The bench's plain dialect for servers in Python: one subscribe message, one ack, then ticks.

And how they hear Redis: redis-py's pubsub on one task, the way its documentation shows.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from redis.asyncio import Redis

ACK: Final = '{"type":"ack"}'


class Subscribe(msgspec.Struct):
    """What the load client sends."""

    channels: list[str]


decode_subscribe = msgspec.json.Decoder(Subscribe).decode


class Bus:
    """One subscription of Redis for each channel that anybody wants."""

    def __init__(self, redis_path: str) -> None:
        self._pubsub = Redis.from_url(f"unix://{redis_path}").pubsub()
        self._known: set[str] = set()
        self._listening = asyncio.Event()
        self._lock = asyncio.Lock()

    async def subscribe(self, channels: list[str]) -> None:
        # Two at once would each make a connection, and one of them would be forgotten.
        async with self._lock:
            new = [channel for channel in channels if channel not in self._known]
            if new:
                self._known.update(new)
                await self._pubsub.subscribe(*new)
                self._listening.set()

    async def ticks(self) -> AsyncIterator[tuple[str, str]]:
        """Channel and text, from the first subscription on."""
        await self._listening.wait()
        async for message in self._pubsub.listen():
            if message["type"] == "message":
                yield message["channel"].decode(), message["data"].decode()
