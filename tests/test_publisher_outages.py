"""Whatever befalls Redis and the line to it: nothing is lost unsaid, nothing comes twice."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import pytest
import uvloop
from redis.asyncio import Redis

from feeds.market.bus_names import head_key
from tests.conftest import RedisServer
from tests.proxy import proxy_to
from tests.publishing import (
    BTC,
    ETH,
    SMALL,
    drained,
    has_messages,
    ids,
    log_of,
    publishing,
    ticks,
)
from tests.until import until
from tests.until_answer import until_answer

Deed = Callable[[Redis], Awaitable[None]]
"""Something done to a Redis."""

LOOPS = {"uvloop": uvloop.new_event_loop}


async def test_dropping_goes_on_being_told_while_redis_comes_and_goes(
    redis_server: RedisServer,
) -> None:
    settings = msgspec.structs.replace(SMALL, buffer_ticks_max=30)
    async with publishing(redis_server.url, settings) as publisher:
        first = 1
        for _ in range(5):
            redis_server.kill()
            publisher.offer(ticks(first, first + 99))
            await asyncio.sleep(0)
            publisher.offer(ticks(first + 100, first + 149))
            redis_server.start()
            await drained(publisher)
            first += 150
        assert publisher.counts.published + publisher.counts.dropped == first - 1
    async with Redis.from_url(redis_server.url) as redis:
        log = await log_of(redis)
    assert ids(log)[-1] == 750
    told = sum(one.missing.messages for one in log if one.missing)
    # Redis began anew each time: this is the account of its last life.
    assert log[-1].seq == len(log) + told


async def test_a_killed_redis_gets_everything_when_it_is_back(redis_server: RedisServer) -> None:
    async with publishing(redis_server.url) as publisher:
        publisher.offer(ticks(1, 100))
        await drained(publisher)
        redis_server.kill()
        publisher.offer(ticks(101, 300))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await publisher.drain()
        redis_server.start()
        await drained(publisher)
        assert publisher.counts.published == 300
        assert publisher.counts.dropped == 0
    async with Redis.from_url(redis_server.url) as redis:
        log = await log_of(redis)
    assert ids(log) == list(range(101, 301))
    assert [one.seq for one in log] == list(range(1, 201))


async def test_killed_connections_lose_and_repeat_nothing(redis_url: str, redis: Redis) -> None:
    async with publishing(redis_url) as publisher:
        for first in range(1, 901, 30):
            publisher.offer(ticks(first, first + 29))
            await redis.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0)
        await drained(publisher)
    log = await log_of(redis)
    assert ids(log) == [one.seq for one in log] == list(range(1, 901))
    assert len({one.epoch for one in log}) == 1


async def test_a_batch_whose_answer_was_lost_is_not_published_twice(
    redis_server: RedisServer, redis: Redis
) -> None:
    async with (
        proxy_to(redis_server.socket) as proxy,
        publishing(f"redis://127.0.0.1:{proxy.port}") as publisher,
    ):
        publisher.offer(ticks(1, 5))
        await drained(publisher)
        for first in range(6, 106, 20):
            proxy.answers.is_dropping = True
            publisher.offer([*ticks(first, first + 19), *ticks(first, first + 19, ETH)])
            await until_answer(partial(has_messages, redis, first + 9))
            proxy.answers.is_dropping = False
            proxy.cut()
            await drained(publisher)
        assert publisher.counts.retried_batches >= 5
    for channel, first in ((BTC, 1), (ETH, 6)):
        log = await log_of(redis, channel)
        assert ids(log) == list(range(first, 106))
        assert [one.seq for one in log] == list(range(1, len(log) + 1))


async def test_a_redis_that_stalls_is_given_up_on_and_tried_again(
    redis_server: RedisServer, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        proxy_to(redis_server.socket) as proxy,
        publishing(f"redis://127.0.0.1:{proxy.port}") as publisher,
    ):
        publisher.offer(ticks(1, 5))
        await drained(publisher)
        proxy.stall()
        publisher.offer(ticks(6, 60))
        await until(lambda: publisher.counts.retried_batches >= 2)
        proxy.flow()
        await drained(publisher)
    assert ids(await log_of(redis)) == list(range(1, 61))
    assert "redis can't take ticks (no answer in time); holding them" in caplog.text


async def test_chopped_and_slow_answers_are_answers_all_the_same(
    redis_server: RedisServer, redis: Redis
) -> None:
    async with proxy_to(redis_server.socket) as proxy:
        proxy.answers.piece_bytes, proxy.requests.piece_bytes = 1, 7
        proxy.answers.delay_s = 0.01
        patient = msgspec.structs.replace(SMALL, answer_limit_s=60.0)
        async with publishing(f"redis://127.0.0.1:{proxy.port}", patient) as publisher:
            publisher.offer([*ticks(1, 40), *ticks(1, 40, ETH)])
            await drained(publisher)
            assert publisher.counts.retried_batches == 0
    assert ids(await log_of(redis)) == ids(await log_of(redis, ETH)) == list(range(1, 41))


async def test_a_redis_that_forgot_the_script_is_told_it_again(
    redis_url: str, redis: Redis
) -> None:
    async with publishing(redis_url) as publisher:
        for first in range(1, 101, 20):
            publisher.offer(ticks(first, first + 19))
            await drained(publisher)
            await redis.script_flush()
    assert ids(await log_of(redis)) == list(range(1, 101))


async def fill_up(redis: Redis, *, is_full: bool) -> None:
    await redis.config_set("maxmemory", 1 if is_full else 0)


async def demote(redis: Redis, *, is_replica: bool) -> None:
    await (redis.replicaof("127.0.0.1", "1") if is_replica else redis.replicaof("NO", "ONE"))


@pytest.mark.parametrize(
    ("refusing", "willing"),
    [
        (partial(fill_up, is_full=True), partial(fill_up, is_full=False)),
        (partial(demote, is_replica=True), partial(demote, is_replica=False)),
    ],
    ids=["no memory", "a replica"],
)
async def test_a_redis_that_takes_no_writes_just_now_is_waited_for(
    redis_url: str, redis: Redis, refusing: Deed, willing: Deed
) -> None:
    async with publishing(redis_url) as publisher:
        publisher.offer([*ticks(1, 5), *ticks(1, 5, ETH)])
        await drained(publisher)
        await refusing(redis)
        publisher.offer([*ticks(6, 60), *ticks(6, 60, ETH)])
        await until(lambda: publisher.counts.retried_batches >= 2)
        assert publisher.counts.published == 10
        await willing(redis)
        await drained(publisher)
    for channel in (BTC, ETH):
        log = await log_of(redis, channel)
        assert ids(log) == [one.seq for one in log] == list(range(1, 61))


async def test_a_redis_restored_from_an_older_copy_numbers_nothing_twice(
    redis_server: RedisServer,
) -> None:
    async with publishing(redis_server.url) as publisher:
        publisher.offer(ticks(1, 10))
        await drained(publisher)
        async with Redis.from_url(redis_server.url) as redis:
            await redis.save()
            publisher.offer(ticks(11, 30))
            await drained(publisher)
            before = await redis.hget(head_key(BTC.name), "epoch")
        redis_server.kill()
        redis_server.start()
        publisher.offer(ticks(31, 40))
        await drained(publisher)
    async with Redis.from_url(redis_server.url) as redis:
        after = await redis.hget(head_key(BTC.name), "epoch")
        assert ids(await log_of(redis))[-10:] == list(range(31, 41))
    assert before != after


async def test_nobody_who_is_new_goes_on_where_a_restored_redis_stands(
    redis_server: RedisServer,
) -> None:
    async with Redis.from_url(redis_server.url) as redis:
        async with publishing(redis_server.url) as publisher:
            publisher.offer(ticks(1, 10))
            await drained(publisher)
            before = await redis.hget(head_key(BTC.name), "epoch")
            await redis.save()
            publisher.offer(ticks(11, 30))
            await drained(publisher)
        redis_server.kill()
        redis_server.start()
        async with publishing(redis_server.url) as publisher:
            publisher.offer(ticks(31, 60))
            await drained(publisher)
        after = await redis.hget(head_key(BTC.name), "epoch")
        assert ids(await log_of(redis)) == list(range(31, 61))
    assert before != after


async def test_a_restored_redis_that_a_publisher_vouched_for_is_trusted(
    redis_server: RedisServer,
) -> None:
    async with Redis.from_url(redis_server.url) as redis:
        async with publishing(redis_server.url) as publisher:
            publisher.offer(ticks(1, 10))
            await drained(publisher)
            await redis.save()
            redis_server.kill()
            redis_server.start()
            publisher.offer(ticks(11, 20))
            await drained(publisher)
        async with publishing(redis_server.url) as publisher:
            publisher.offer(ticks(21, 30))
            await drained(publisher)
        publications = await log_of(redis)
        assert ids(publications) == list(range(1, 31))
    assert len({one.epoch for one in publications}) == 1


async def test_a_redis_restored_to_an_earlier_epoch_does_not_go_on_in_it(
    redis_server: RedisServer,
) -> None:
    async with publishing(redis_server.url) as publisher:
        publisher.offer(ticks(1, 10))
        await drained(publisher)
        async with Redis.from_url(redis_server.url) as redis:
            epochs = [await redis.hget(head_key(BTC.name), "epoch")]
            await redis.save()
            await redis.flushall()
            publisher.offer(ticks(11, 12))
            await drained(publisher)
            epochs.append(await redis.hget(head_key(BTC.name), "epoch"))
        redis_server.kill()
        redis_server.start()
        publisher.offer(ticks(13, 40))
        await drained(publisher)
    async with Redis.from_url(redis_server.url) as redis:
        epochs.append(await redis.hget(head_key(BTC.name), "epoch"))
        assert ids(await log_of(redis)) == list(range(13, 41))
    assert len(set(epochs)) == 3
