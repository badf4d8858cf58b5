"""Ticks to the bus: in order, each once, whatever befalls Redis and the line to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import msgspec
import pytest
import uvloop
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from feeds.market import Candle, Channel, Publication, SystemClock, Tick, Trade
from feeds.market.bus_names import DIRECTORY_KEY, finals_key, head_key, log_key, topic
from feeds.publisher import Publisher
from feeds.settings import PublisherSettings
from tests.conftest import RedisServer
from tests.proxy import proxy_to
from tests.until import until
from tests.until_answer import until_answer

Deed = Callable[[Redis], Awaitable[None]]
"""Something done to a Redis."""

LOOPS = {"uvloop": uvloop.new_event_loop}

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
    async with asyncio.timeout(10):
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
        async with asyncio.timeout(2):
            await publisher.drain()
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
    redis_server: RedisServer, redis: Redis
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


async def test_chopped_and_slow_answers_are_answers_all_the_same(
    redis_server: RedisServer, redis: Redis
) -> None:
    async with proxy_to(redis_server.socket) as proxy:
        proxy.answers.piece_bytes, proxy.requests.piece_bytes = 1, 7
        proxy.answers.delay_s = 0.01
        async with publishing(f"redis://127.0.0.1:{proxy.port}") as publisher:
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


async def test_channels_are_announced_before_their_first_tick(redis_url: str, redis: Redis) -> None:
    async with publishing(redis_url) as publisher:
        publisher.register([BTC, ETH])
        await until_answer(lambda: has_channels(redis, 2))
    assert await redis.smembers(DIRECTORY_KEY) == {BTC.name.encode(), ETH.name.encode()}


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
            await until_answer(lambda: has_channels(redis, 2), 2.0)


async def test_it_stops_at_once_also_while_redis_is_silent(redis_server: RedisServer) -> None:
    async with proxy_to(redis_server.socket) as proxy, asyncio.timeout(5):
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
            await asyncio.wait([running], timeout=5)
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
    assert 90 <= delay_s < 150
    assert count == 7


@pytest.mark.parametrize("interval", ["1m", "5m", "15m", "1h", "4h", "1d"])
async def test_final_candles_and_their_corrections_are_kept_as_they_were_published(
    redis_url: str, redis: Redis, interval: str
) -> None:
    channel = Channel(f"candle.{interval}", "kraken", "BTC-USD")
    of = {"channel": channel}
    ticks_ = [candle(1, final=False, **of), candle(1, **of), candle(2, final=False, **of)]
    async with publishing(redis_url) as publisher:
        publisher.offer([*ticks_, candle(1, 2, **of), candle(2, **of)])
        await drained(publisher)
    log = await log_of(redis, channel)
    assert await finals_of(redis, channel) == [log[1], log[3], log[4]]


async def test_of_nothing_else_is_there_such_a_list(redis_url: str, redis: Redis) -> None:
    second = Channel.parse("candle.1s:agg:BTC-USD")
    signal = Channel.parse("signal:trend:BTC-USD")
    async with publishing(redis_url) as publisher:
        publisher.offer([candle(1, channel=one) for one in (second, signal, BTC)])
        publisher.offer([candle(1, final=False)])
        await drained(publisher)
    assert len(await log_of(redis, second)) == len(await log_of(redis, MINUTE)) == 1
    assert not [key async for key in redis.scan_iter("*finals")]


async def test_a_thousand_final_candles_are_kept_whatever_the_stream_keeps(
    redis_url: str, redis: Redis
) -> None:
    async with publishing(redis_url, PublisherSettings()) as publisher:
        for start in range(1, 1_301):
            publisher.offer([candle(start, final=False), candle(start, final=False), candle(start)])
        await drained(publisher)
    assert starts(await finals_of(redis)) == list(range(301, 1_301))
    assert len(await log_of(redis, MINUTE)) < 1_300


async def test_final_candles_are_kept_once_though_their_batch_was_sent_again(
    redis_server: RedisServer, redis: Redis
) -> None:
    async with (
        proxy_to(redis_server.socket) as proxy,
        publishing(f"redis://127.0.0.1:{proxy.port}") as publisher,
    ):
        publisher.offer([candle(1)])
        await drained(publisher)
        proxy.answers.is_dropping = True
        publisher.offer(candle(start) for start in range(2, 8))

        async def are_there() -> bool:
            return len(await finals_of(redis)) == 7

        await until_answer(are_there)
        proxy.answers.is_dropping = False
        proxy.cut()
        await drained(publisher)
        assert publisher.counts.retried_batches >= 1
    assert starts(await finals_of(redis)) == list(range(1, 8))


async def test_final_candles_outlive_the_epochs_in_which_they_were_told(
    redis_url: str, redis: Redis
) -> None:
    async with publishing(redis_url) as publisher:
        for start in range(1, 13, 3):
            publisher.offer(candle(at) for at in range(start, start + 3))
            await drained(publisher)
            await redis.hset(head_key(MINUTE.name), "seq", "1")
            # On a new connection Redis is asked what it still knows.
            await redis.client_kill_filter(_type="normal", skipme=True)
    kept = await finals_of(redis)
    assert starts(kept) == list(range(1, 13))
    assert len({one.epoch for one in kept}) == 4
    assert starts(await log_of(redis, MINUTE)) == [10, 11, 12]


async def test_a_list_of_another_type_keeps_its_own_channel_out(
    redis_url: str, redis: Redis
) -> None:
    await redis.set(finals_key(MINUTE.name), "something else")
    async with publishing(redis_url) as publisher:
        publisher.offer([candle(1, final=False), candle(1), *ticks(1, 5)])
        await drained(publisher)
        assert publisher.counts.dropped == 2
        assert ids(await log_of(redis)) == list(range(1, 6))
        await redis.delete(finals_key(MINUTE.name))
        publisher.offer([candle(2)])
        await drained(publisher)
    (only,) = await finals_of(redis)
    assert (starts([only]), only.missing) == ([2], ("feed", 2))
