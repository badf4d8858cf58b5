"""One subscriber's connection to Redis: confirmations, batches, and ends that are noticed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop
from redis.asyncio import Redis

from feeds.market.bus_names import topic
from gateway.bus.listener import Batch, Listener
from tests.conftest import RedisServer
from tests.proxy import proxy_to
from tests.until import until

LOOPS = {"uvloop": uvloop.new_event_loop}

NAME = "trade:sim:BTC-USD"
OTHER = "trade:sim:ETH-USD"


class Ear:
    """A Listener, and what it heard."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.listener = Listener(self._hear)
        self.heard = asyncio.Event()

    def _hear(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.heard.set()

    async def messages(self, count: int) -> list[tuple[str, bytes]]:
        async with asyncio.timeout(40):
            while len(found := [one for batch in self.batches for one in batch]) < count:
                self.heard.clear()
                await self.heard.wait()
        return found

    async def ended(self) -> Exception | None:
        async with asyncio.timeout(40):
            return await self.listener.closed


@contextlib.asynccontextmanager
async def listening(target: Path | int) -> AsyncIterator[Ear]:
    ear, loop = Ear(), asyncio.get_running_loop()
    if isinstance(target, Path):
        await loop.create_unix_connection(lambda: ear.listener, str(target))
    else:
        await loop.create_connection(lambda: ear.listener, "127.0.0.1", target)
    try:
        yield ear
    finally:
        ear.listener.abort()
        await ear.ended()


async def subscribe(ear: Ear, *names: str, limit_s: float = 40.0) -> None:
    async with asyncio.timeout(limit_s):
        await ear.listener.subscribe(names)


async def test_what_is_published_after_the_confirmation_is_heard_in_order(
    redis_server: RedisServer, redis: Redis
) -> None:
    async with listening(redis_server.socket) as ear:
        await subscribe(ear, NAME, OTHER)
        pipeline = redis.pipeline(transaction=False)
        for number in range(100):
            pipeline.publish(topic((NAME, OTHER)[number % 2]), b"%d" % number)
        await pipeline.execute()
        heard = await ear.messages(100)
    assert heard == [((NAME, OTHER)[number % 2], b"%d" % number) for number in range(100)]
    assert len(ear.batches) < 100


async def test_what_is_unsubscribed_is_heard_no_more(
    redis_server: RedisServer, redis: Redis
) -> None:
    async with listening(redis_server.socket) as ear:
        await subscribe(ear, NAME, OTHER)
        ear.listener.unsubscribe([NAME])
        await subscribe(ear, OTHER)
        assert await redis.publish(topic(NAME), b"1") == 0
        assert await redis.publish(topic(OTHER), b"2") == 1
        assert await ear.messages(1) == [(OTHER, b"2")]


async def test_hundreds_are_confirmed_together(redis_server: RedisServer, redis: Redis) -> None:
    names = [f"trade:sim:C{number}" for number in range(1_234)]
    async with listening(redis_server.socket) as ear:
        await subscribe(ear, *names)
        assert len(await redis.pubsub_channels("tickgate*")) == 1_234


async def test_who_gave_up_waiting_can_ask_again(redis_server: RedisServer) -> None:
    async with proxy_to(redis_server.socket) as proxy, listening(proxy.port) as ear:
        proxy.stall()
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await subscribe(ear, NAME, limit_s=0.05)
        async with asyncio.TaskGroup() as group:
            group.create_task(subscribe(ear, NAME, OTHER))
            group.create_task(subscribe(ear, OTHER))
            proxy.flow()


async def test_an_end_is_told_to_all_who_wait_and_to_all_who_come_later(
    redis_server: RedisServer,
) -> None:
    async with proxy_to(redis_server.socket) as proxy, listening(proxy.port) as ear:
        proxy.stall()

        async def refused() -> None:
            with pytest.raises(ConnectionError):
                await subscribe(ear, NAME)

        async with asyncio.TaskGroup() as group:
            group.create_task(refused())
            group.create_task(refused())
            await until(lambda: proxy.connections)
            proxy.cut()
        await ear.ended()
        await refused()
        # Nobody has to ask first whether the connection is still there.
        ear.listener.send("PING")
        ear.listener.unsubscribe([NAME])


async def test_a_refusal_of_redis_ends_the_connection_with_its_words(
    redis_server: RedisServer, redis: Redis
) -> None:
    await redis.config_set("requirepass", "secret")
    async with listening(redis_server.socket) as ear:
        with pytest.raises(ConnectionError):
            await subscribe(ear, NAME)
        assert "NOAUTH" in str(await ear.ended())


async def test_what_is_no_answer_of_redis_ends_the_connection() -> None:
    writers: list[asyncio.StreamWriter] = []

    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, listening(server.sockets[0].getsockname()[1]) as ear:
        await ear.ended()
        for writer in writers:
            writer.transport.abort()


async def test_a_confirmation_that_nobody_asked_for_ends_the_connection(
    redis_server: RedisServer,
) -> None:
    """Something below has connected anew, and subscribed again: what came between is not known."""
    async with listening(redis_server.socket) as ear:
        await subscribe(ear, NAME)
        await subscribe(ear, NAME, OTHER)
        ear.listener.send("SUBSCRIBE", topic(OTHER))
        assert "anew" in str(await ear.ended())
