"""A publisher that runs, what it is offered, and what Redis then has of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from feeds.market import Candle, Channel, Publication, SystemClock, Tick, Trade
from feeds.market.bus_names import DIRECTORY_KEY, finals_key, log_key
from feeds.publisher import Publisher
from feeds.settings import PublisherSettings

BTC = Channel.parse("trade:sim:BTC-USD")
ETH = Channel.parse("trade:sim:ETH-USD")
MINUTE = Channel.parse("candle.1m:agg:BTC-USD")
SMALL = PublisherSettings(batch_ticks_max=10, pipeline_batches_max=3, answer_limit_s=0.3)


def ticks(first: int, last: int, channel: Channel = BTC) -> list[Tick]:
    return [Tick(channel, Trade("1.50", "2", "buy", str(n))) for n in range(first, last + 1)]


def candle(start: int, version: int = 1, *, final: bool = True, channel: Channel = MINUTE) -> Tick:
    prices = ("1", "2", "1", "2")
    told = Candle(*(start, *prices, "2", "3", "1.5", "1", 2), final, version, version > 1)
    return Tick(channel, told)


def ids(publications: Iterable[Publication]) -> list[int]:
    return [int(msgspec.json.decode(one.payload)["id"]) for one in publications]


@contextlib.asynccontextmanager
async def publishing(url: str, settings: PublisherSettings = SMALL) -> AsyncIterator[Publisher]:
    async with Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as redis:
        publisher = Publisher(redis, settings, SystemClock())
        async with asyncio.TaskGroup() as group:
            running = group.create_task(publisher.run())
            yield publisher
            running.cancel()


async def drained(publisher: Publisher) -> None:
    async with asyncio.timeout(40):
        await publisher.drain()


async def log_of(redis: Redis, channel: Channel = BTC) -> list[Publication]:
    entries: Any = await redis.xrange(log_key(channel.name))
    return [Publication.decode(fields[b"m"]) for _, fields in entries]


async def finals_of(redis: Redis, channel: Channel = MINUTE) -> list[Publication]:
    messages: Any = await redis.lrange(finals_key(channel.name), 0, -1)
    return [Publication.decode(message) for message in messages]


def starts(publications: Iterable[Publication]) -> list[int]:
    return [msgspec.json.decode(one.payload)["start"] for one in publications]


async def has_messages(redis: Redis, count: int) -> bool:
    length: int = await redis.xlen(log_key(BTC.name))
    return length >= count


async def has_channels(redis: Redis, count: int) -> bool:
    found = await redis.smembers(DIRECTORY_KEY)
    return len(found) >= count
