"""Of two feed processes on one Redis one publishes a venue; the other takes over in time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
import pytest
import uvloop
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from feeds.feeds_at_work import FeedsAtWork
from feeds.lease import Lease
from feeds.market import Channel, Publication, SystemClock, Tick, Trade
from feeds.market.bus_names import head_key, lease_keys, log_key
from feeds.metrics import METRICS
from feeds.publisher import Publisher
from feeds.settings import PublisherSettings
from tests.conftest import RedisServer
from tests.proxy import proxy_to
from tests.until import until

LOOPS = {"uvloop": uvloop.new_event_loop}

BTC = Channel.parse("trade:sim:BTC-USD")
OTHER = Channel.parse("trade:replay:BTC-USD")
LONG_S, SHORT_S = 8.0, 1.5
"""Of leases: one that never ends by accident, and one whose end is waited for."""
PUBLISHER = PublisherSettings(batch_ticks_max=10, answer_limit_s=0.3)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Of leases. The publisher tells of a Redis that was slow to answer, as any may be."""
    return [one.getMessage() for one in caplog.records if one.name == "feeds.lease"]


def ticks(first: int, last: int, channel: Channel = BTC) -> list[Tick]:
    return [Tick(channel, Trade("1.50", "2", "buy", str(n))) for n in range(first, last + 1)]


async def log_of(redis: Redis, channel: Channel = BTC) -> list[Publication]:
    entries: Any = await redis.xrange(log_key(channel.name))
    return [Publication.decode(fields[b"m"]) for _, fields in entries]


def ids(publications: Iterable[Publication]) -> list[int]:
    return [int(msgspec.json.decode(one.payload)["id"]) for one in publications]


class Process:
    """A feed process' part of it: a publisher, a lease, and work that only says that it is done."""

    def __init__(self, redis: Redis, lease_s: float) -> None:
        self.publisher = Publisher(redis, PUBLISHER, SystemClock())
        self.lease = Lease("sim", redis, self.publisher, SystemClock(), lease_s=lease_s)
        self.publisher.on_fenced = lambda _: self.lease.doubt()
        self.works = 0
        """How often it has begun to work."""
        self.is_working = False

    async def work(self) -> None:
        self.works += 1
        self.is_working = True
        try:
            await asyncio.Event().wait()
        finally:
            self.is_working = False

    async def publish(self, first: int, last: int) -> None:
        self.publisher.offer(ticks(first, last))
        async with asyncio.timeout(40):
            await self.publisher.drain()


@contextlib.asynccontextmanager
async def process(
    url: str, lease_s: float = LONG_S, *, leaves: bool = True
) -> AsyncIterator[Process]:
    """With `leaves` False it is gone without a word."""
    async with Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as redis:
        one = Process(redis, lease_s)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one.publisher.run())]
            tasks.append(group.create_task(one.lease.run(one.work)))
            yield one
            for task in tasks:
                task.cancel()
        if leaves:
            await one.lease.leave()


async def test_the_second_stands_by_and_takes_over_when_the_first_leaves(
    redis_url: str, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(process(redis_url))
        await until(lambda: first.is_working)
        async with process(redis_url) as second:
            await until(lambda: said(caplog))
            assert said(caplog) == [
                "standing by for sim: another process publishes it, or did so"
                f" {LONG_S:g} s ago at most"
            ]
            await first.publish(1, 30)
            assert not second.works
            await stack.aclose()
            await until(lambda: second.is_working)
            await second.publish(31, 60)
            assert (first.lease.take_overs, second.lease.take_overs) == (0, 1)
            assert (first.lease.is_held, second.lease.is_held) == (False, True)
    log = await log_of(redis)
    assert ids(log) == [one.seq for one in log] == list(range(1, 61))
    assert len({one.epoch for one in log}) == 1
    assert said(caplog)[1].startswith("publishing sim now, after ")
    assert len(said(caplog)) == 2


async def test_one_that_is_gone_without_a_word_is_followed_when_its_lease_ends(
    redis_url: str, redis: Redis
) -> None:
    async with process(redis_url, SHORT_S, leaves=False) as first:
        await until(lambda: first.is_working)
        await first.publish(1, 30)
    assert first.lease.is_held
    async with process(redis_url, SHORT_S) as second:
        await until(lambda: second.is_working)
        await second.publish(31, 60)
    log = await log_of(redis)
    assert ids(log) == [one.seq for one in log] == list(range(1, 61))


async def test_a_stalled_one_that_wakes_up_publishes_nothing_and_stands_by(
    redis_server: RedisServer, redis: Redis
) -> None:
    """Its connections stall, as all of it does that Redis can see."""
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(proxy_to(redis_server.socket))
        url = f"redis://127.0.0.1:{proxy.port}"
        stalled = await stack.enter_async_context(process(url, SHORT_S, leaves=False))
        await until(lambda: stalled.is_working)
        await stalled.publish(1, 10)
        proxy.stall()
        stalled.publisher.offer(ticks(11, 50))
        second = await stack.enter_async_context(process(redis_server.url))
        await until(lambda: second.is_working)
        await second.publish(101, 120)
        proxy.flow()
        await until(lambda: not stalled.is_working)
        await second.publish(121, 140)
        async with asyncio.timeout(40):
            await stalled.publisher.drain()
        await until(lambda: stalled.publisher.waiting_ticks == 0)
        assert stalled.publisher.counts.yielded == 40
    log = await log_of(redis)
    assert ids(log) == [*range(1, 11), *range(101, 141)]
    assert [one.seq for one in log] == list(range(1, 51))
    assert len({one.epoch for one in log}) == 1


async def test_a_lease_that_ended_while_nobody_wanted_it_is_taken_up_again_with_what_waits(
    redis_url: str, redis: Redis
) -> None:
    async with process(redis_url) as only:
        await until(lambda: only.is_working)
        for first in range(1, 101, 10):
            await redis.delete(lease_keys("sim")[0])
            await only.publish(first, first + 9)
        assert (only.works, only.publisher.counts.yielded) == (1, 0)
    assert ids(await log_of(redis)) == list(range(1, 101))


async def test_a_redis_without_its_memory_gives_the_lease_to_who_had_it(
    redis_server: RedisServer,
) -> None:
    async with process(redis_server.url) as only:
        await until(lambda: only.is_working)
        await only.publish(1, 10)
        redis_server.kill()
        only.publisher.offer(ticks(11, 30))
        redis_server.start()
        await only.publish(31, 40)
        async with Redis.from_url(redis_server.url) as redis:
            assert ids(await log_of(redis)) == list(range(11, 41))


async def test_a_lease_stops_only_its_own_venue(redis_url: str, redis: Redis) -> None:
    async with process(redis_url) as one:
        await until(lambda: one.is_working)
        await redis.set(lease_keys("sim")[0], "somebody")
        one.publisher.offer([*ticks(1, 30), *ticks(1, 30, OTHER)])
        await until(lambda: not one.is_working)
        async with asyncio.timeout(40):
            await one.publisher.drain()
        one.publisher.offer(ticks(31, 40, OTHER))
        async with asyncio.timeout(40):
            await one.publisher.drain()
    assert not await log_of(redis)
    assert ids(await log_of(redis, OTHER)) == list(range(1, 41))


async def test_a_lease_of_another_type_is_told_once_and_waited_for(
    redis_url: str, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.hset(lease_keys("sim")[0], "not", "ours")
    async with process(redis_url) as one:
        await until(lambda: said(caplog))
        await redis.delete(lease_keys("sim")[0])
        await until(lambda: one.is_working)
        await one.publish(1, 5)
    assert said(caplog) == ["the lease of sim has another type in redis: nothing gets in"]
    assert await redis.hget(head_key(BTC.name), "seq") == b"5"


async def test_metrics_tell_who_holds_it(redis_url: str) -> None:
    async with process(redis_url) as first:
        await until(lambda: first.is_working)
        async with process(redis_url) as second:
            told = []
            for one in (first, second):
                at_work = FeedsAtWork([], one.publisher, SystemClock(), {"sim": one.lease})
                rows = {row.name: row.read(at_work) for row in METRICS}
                told.append((rows["tickgate_feed_lease"], rows["tickgate_feed_take_overs_total"]))
    assert told == [({("sim",): 1}, {("sim",): 0}), ({("sim",): 0}, {("sim",): 0})]


async def test_any_number_of_them_hand_it_round_and_nothing_is_said_twice(
    redis_url: str, redis: Redis
) -> None:
    async with contextlib.AsyncExitStack() as all_of_them:
        stacks = [contextlib.AsyncExitStack() for _ in range(5)]
        ones: list[Process] = []
        for stack in stacks:
            all_of_them.push_async_callback(stack.aclose)
            ones.append(await stack.enter_async_context(process(redis_url)))
        number = 0
        left = list(range(5))
        while left:
            await until(lambda: [at for at in left if ones[at].is_working])
            (working,) = [at for at in left if ones[at].is_working]
            await ones[working].publish(number + 1, number + 20)
            number += 20
            left.remove(working)
            await stacks[working].aclose()
    log = await log_of(redis)
    assert ids(log) == [one.seq for one in log] == list(range(1, 101))
