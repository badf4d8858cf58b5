"""Ticks to the bus: in order, each once, those that are too many told as such."""

import asyncio
from typing import Any

import msgspec
import pytest
import uvloop
from redis.asyncio import Redis

from feeds.market import Channel, SystemClock, Tick, Trade
from feeds.market.bus_names import DIRECTORY_KEY, head_key, log_key, topic
from feeds.publisher import Publisher
from feeds.settings import PublisherSettings
from tests.conftest import RedisServer
from tests.proxy import proxy_to
from tests.publishing import (
    BTC,
    ETH,
    SMALL,
    drained,
    has_channels,
    ids,
    log_of,
    publishing,
    ticks,
)
from tests.until import until
from tests.until_answer import until_answer

LOOPS = {"uvloop": uvloop.new_event_loop}


async def test_every_tick_comes_once_and_in_order_whatever_the_batches(
    redis_url: str, redis: Redis
) -> None:
    channels = [Channel("trade", "sim", f"C{at}-USD") for at in range(7)]
    async with publishing(redis_url) as publisher:
        for n in range(1, 201):
            publisher.offer(tick for channel in channels for tick in ticks(n, n, channel))
            await asyncio.sleep(0)
        await drained(publisher)
        assert publisher.counts.published == 1_400
    for channel in channels:
        log = await log_of(redis, channel)
        assert ids(log) == list(range(1, 201))
        assert [one.seq for one in log] == list(range(1, 201))
        assert not any(one.missing for one in log)


async def test_a_message_is_the_payload_and_when_it_was_published(
    redis_url: str, redis: Redis
) -> None:
    before_us = SystemClock().now_ns() // 1_000
    async with publishing(redis_url) as publisher:
        publisher.offer([Tick(BTC, Trade("68900.50", "0.0015", "buy", "995", 5, 6))])
        await drained(publisher)
    (only,) = await log_of(redis)
    payload = msgspec.json.decode(only.payload)
    tx = payload.pop("tx")
    assert payload == {
        "px": "68900.50",
        "sz": "0.0015",
        "side": "buy",
        "id": "995",
        "t": 5,
        "rx": 6,
    }
    assert before_us <= tx <= SystemClock().now_ns() // 1_000


async def test_busy_channels_starve_no_other(redis_url: str, redis: Redis) -> None:
    busy = [Channel("trade", "sim", f"C{at}-USD") for at in range(SMALL.pipeline_batches_max)]
    async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.psubscribe("tickgate*")
        async with publishing(redis_url) as publisher:
            for channel in busy:
                publisher.offer(ticks(1, 500, channel))
            publisher.offer(ticks(1, 1, ETH))
            await drained(publisher)
        heard: list[str] = []
        while topic(ETH.name) not in heard:
            message: Any = await pubsub.get_message(timeout=5)
            heard += [message["channel"].decode()] if message else []
    assert len(heard) <= SMALL.pipeline_batches_max * SMALL.batch_ticks_max + 1


async def test_a_buffer_that_overflows_loses_the_oldest_and_says_so(
    redis_server: RedisServer,
) -> None:
    settings = msgspec.structs.replace(SMALL, buffer_ticks_max=100)
    async with publishing(redis_server.url, settings) as publisher:
        redis_server.kill()
        publisher.offer([*ticks(1, 300), *ticks(1, 50, ETH)])
        publisher.offer(ticks(301, 301))
        assert publisher.counts.dropped == 250
        redis_server.start()
        await drained(publisher)
        publisher.offer(ticks(51, 51, ETH))
        await drained(publisher)
    async with Redis.from_url(redis_server.url) as redis:
        log = await log_of(redis)
        assert (log[0].seq, log[0].missing) == (202, ("feed", 201))
        assert ids(log) == [one.seq for one in log] == list(range(202, 302))
        # A busy channel never costs a quiet one its newest.
        newest, next_one = await log_of(redis, ETH)
        assert (newest.seq, newest.missing, ids([newest])) == (50, ("feed", 49), [50])
        assert (next_one.seq, next_one.missing, ids([next_one])) == (51, None, [51])


@pytest.mark.parametrize("key", [head_key(BTC.name), log_key(BTC.name), DIRECTORY_KEY])
async def test_a_key_of_another_type_costs_its_own_channel_only(
    redis_url: str, redis: Redis, key: str
) -> None:
    await redis.set(key, "something else")
    async with publishing(redis_url) as publisher:
        publisher.register([BTC, ETH])
        publisher.offer([*ticks(1, 25), *ticks(1, 25, ETH)])
        await drained(publisher)
        assert ids(await log_of(redis, ETH)) == list(range(1, 26))
        if key != DIRECTORY_KEY:
            assert publisher.counts.dropped == 25
            await redis.delete(head_key(BTC.name), log_key(BTC.name))
            publisher.offer(ticks(26, 26))
            await drained(publisher)
            (only,) = await log_of(redis)
            assert (only.missing, ids([only])) == (("feed", 25), [26])


async def test_channels_are_announced_before_their_first_tick(redis_url: str, redis: Redis) -> None:
    async with publishing(redis_url) as publisher:
        publisher.register([BTC, ETH])
        await until_answer(lambda: has_channels(redis, 2))
    assert await redis.smembers(DIRECTORY_KEY) == {BTC.name.encode(), ETH.name.encode()}


async def test_many_channels_can_all_be_found_once_all_is_published(
    redis_url: str, redis: Redis
) -> None:
    many = [Channel("trade", "sim", f"C{at}-USD") for at in range(2_500)]
    async with publishing(redis_url) as publisher:
        publisher.register(many)
        publisher.offer(ticks(1, 3))
        await drained(publisher)
        assert await redis.scard(DIRECTORY_KEY) == 2_500


async def test_a_channel_registered_while_others_are_announced_is_not_forgotten(
    redis_server: RedisServer, redis: Redis
) -> None:
    async with proxy_to(redis_server.socket) as proxy:
        url, patient = f"redis://127.0.0.1:{proxy.port}", PublisherSettings()
        async with publishing(url, patient) as publisher:
            proxy.answers.delay_s = 0.1
            publisher.register([BTC])
            await until_answer(lambda: has_channels(redis, 1))
            publisher.register([ETH])
            await until_answer(lambda: has_channels(redis, 2))


async def test_it_stops_at_once_also_while_redis_is_silent(redis_server: RedisServer) -> None:
    async with proxy_to(redis_server.socket) as proxy, asyncio.timeout(40):
        proxy.stall()
        patient = msgspec.structs.replace(SMALL, answer_limit_s=60.0)
        async with publishing(f"redis://127.0.0.1:{proxy.port}", patient) as publisher:
            publisher.offer(ticks(1, 10))
            await until(lambda: proxy.connections)


@pytest.mark.parametrize("socket_timeout_s", [None, 5.0], ids=["bare", "redis-py's own limit"])
@pytest.mark.parametrize("is_drained", [False, True], ids=["from the start", "after a drain"])
async def test_a_cancellation_ends_it_at_every_step(
    redis_url: str, is_drained: bool, socket_timeout_s: float | None
) -> None:
    """Connecting, sending ticks and announcing their channel take a few dozen steps."""
    for steps in range(60):
        async with Redis.from_url(redis_url, socket_timeout=socket_timeout_s) as redis:
            publisher = Publisher(redis, SMALL, SystemClock())
            publisher.register([BTC])
            publisher.offer(ticks(1, 5))
            running = asyncio.create_task(publisher.run())
            if is_drained:
                await drained(publisher)
            for _ in range(steps):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait([running], timeout=40)
            assert running.cancelled(), f"swallowed after {steps} steps"


async def test_nothing_offered_is_nothing_to_wait_for(redis_url: str) -> None:
    async with publishing(redis_url) as publisher:
        publisher.offer([])
        await drained(publisher)


async def test_each_batch_tells_how_old_its_oldest_tick_was_when_redis_had_it(
    redis_url: str,
) -> None:
    told: list[tuple[float, int]] = []
    now_us = SystemClock().now_ns() // 1_000
    aged = [Trade("1.50", "2", "buy", str(n), None, now_us - n * 1_000_000) for n in (50, 90)]
    async with publishing(redis_url) as publisher:
        publisher.counts.on_published = lambda delay_s, count: told.append((delay_s, count))
        publisher.offer([Tick(BTC, aged[0]), Tick(ETH, aged[1]), *ticks(1, 3)])
        publisher.offer(ticks(1, 2, Channel("trade", "sim", "UNDATED-USD")))
        await drained(publisher)
        publisher.offer(ticks(3, 3, Channel("trade", "sim", "UNDATED-USD")))
        await drained(publisher)
    ((delay_s, count),) = told
    assert 90 <= delay_s < 3_600
    assert count == 7
