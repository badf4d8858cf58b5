"""EDGE (redis): a connection of its own on which the bus is heard: topics, and a pattern of them.

It ends by raising, also where it is half open: Redis has to answer a ping each second. Who uses it
opens another one, and reads from the streams what came meanwhile.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from feeds.cancelling import stop_if_cancelled

_BEAT_S: Final = 1.0
_BEATS_MAX: Final = 3
"""So many pings without any word from Redis end it."""
_NAMES_AT_ONCE: Final = 500
_MESSAGES_AT_ONCE: Final = 200
"""Before the event loop has a turn."""


class BusEar:
    """`open` it, `subscribe`, and `listen` until it raises; then `close`."""

    def __init__(self, redis: Redis, on_message: Callable[[bytes, bytes], None]) -> None:
        """`on_message` hears a topic and what was published there."""
        pool = redis.connection_pool
        # Messages come as plain lists by RESP2; by RESP3 redis-py makes a text of each, for a log.
        # Its socket timeout would hide cancellations (see feeds/cancelling.py).
        options = {**pool.connection_kwargs, "protocol": 2, "socket_timeout": None}
        self._connection: AbstractConnection = pool.connection_class(**options)
        self._on_message = on_message
        self._unconfirmed = 0
        self._is_closed = False
        self._failure: Exception | None = None
        self._words = 0
        """Replies so far: what the watchdog compares."""

    async def open(self, pattern: str) -> None:
        await self._connection.connect()  # type: ignore[no-untyped-call]
        await self._ask("PSUBSCRIBE", [pattern])

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Asks for them. What is published from its confirmation on is heard."""
        await self._ask("SUBSCRIBE", topics)

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        await self._ask("UNSUBSCRIBE", topics)

    async def confirmed(self) -> None:
        """Reads until all that was asked for is confirmed. Only before `listen`."""
        while self._unconfirmed:
            await self._read()

    async def listen(self) -> None:
        """Until it ends, by RedisError or OSError."""
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._keep_reading(), name="bus-ear")
            failure = await self._watch(reading)
            reading.cancel()
        raise failure

    def end(self, failure: Exception) -> None:
        """Within a beat."""
        self._failure = self._failure or failure

    async def close(self) -> None:
        self._is_closed = True
        await self._connection.disconnect(nowait=True)

    async def _keep_reading(self) -> Exception:
        while True:
            stop_if_cancelled()
            try:
                for _ in range(_MESSAGES_AT_ONCE):
                    await self._read()
            except (RedisError, OSError) as error:
                return error
            await asyncio.sleep(0)

    async def _watch(self, reading: "asyncio.Task[Exception]") -> Exception:
        """Returns what it ended by."""
        silent_beats, words = 0, self._words
        while silent_beats < _BEATS_MAX and self._failure is None:
            try:
                await self._send("PING")
            except (RedisError, OSError) as error:
                return error
            done, _ = await asyncio.wait([reading], timeout=_BEAT_S)
            if done:
                return reading.result()
            silent_beats = 0 if self._words != words else silent_beats + 1
            words = self._words
        return self._failure or RedisConnectionError("it does not answer")

    async def _ask(self, word: str, topics: Sequence[str]) -> None:
        for start in range(0, len(topics), _NAMES_AT_ONCE):
            some = topics[start : start + _NAMES_AT_ONCE]
            self._unconfirmed += len(some)
            await self._send(word, *some)

    async def _send(self, *words: str) -> None:
        if self._is_closed:
            # redis-py would open it again, and nobody would listen.
            raise RedisConnectionError("it is closed")
        await self._connection.send_packed_command(self._connection.pack_command(*words))

    async def _read(self) -> None:
        reply = await self._connection.read_response(timeout=math.inf, disconnect_on_error=False)
        self._words += 1
        match reply:
            case [b"message", bytes() as topic, bytes() as message]:
                self._on_message(topic, message)
            case [b"pmessage", _, bytes() as topic, bytes() as message]:
                self._on_message(topic, message)
            case [b"subscribe" | b"psubscribe" | b"unsubscribe", _, int()]:
                self._unconfirmed -= 1
            case _:
                pass  # the answer to a ping
