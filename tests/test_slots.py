"""Connection slots in a real Redis: never more than a key may have, none locked up by a crash."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from typing import Protocol

import msgspec
import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from feeds.market import SystemClock
from gateway.access.limit_store import WORKERS_KEY, LimitStore, slots_key
from gateway.access.plans import PLANS, Plan
from gateway.access.slots import Slots
from tests.conftest import RedisServer
from tests.running_tickgate import REPOSITORY
from tests.until import until
from tests.until_answer import until_answer

TWO = msgspec.structs.replace(PLANS["free"], connections_max=2)
KICKING = msgspec.structs.replace(TWO, over_limit="kick_oldest")
KEY = "aaaaaaaa"
LEASE_S = 600.0
"""Longer than any standstill of whoever runs the tests: no lease ends in them by chance."""
SHORT_LEASE_S = 5.0
"""Where its end is waited for."""
RENEW_S = 0.2


class Worker:
    """One gateway process' part of the slots."""

    def __init__(self, redis: Redis, name: str, lease_s: float = LEASE_S) -> None:
        self.store = LimitStore(redis, SystemClock(), answer_limit_s=20.0)
        self.ended: list[str] = []
        self.slots = Slots(
            redis, self.store, name, end=self.ended.append, lease_s=lease_s, renew_s=RENEW_S
        )

    async def open(self, session: str, plan: Plan = TWO, key: str = KEY) -> bool:
        return await self.slots.open(session, key, plan)


class Started(Protocol):
    """Starts a worker."""

    def __call__(self, name: str, lease_s: float = LEASE_S) -> Worker: ...


@pytest.fixture
async def started(redis: Redis) -> AsyncIterator[Started]:
    """Starts workers; they leave at the end of the test."""
    running: list[asyncio.Task[None]] = []

    def start(name: str, lease_s: float = LEASE_S) -> Worker:
        worker = Worker(redis, name, lease_s)
        running.append(asyncio.create_task(worker.slots.run()))
        return worker

    yield start
    for task in running:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def slots_in(redis: Redis, key: str = KEY) -> int:
    return int(await redis.zcard(slots_key(key)))


async def test_a_key_has_no_more_connections_than_its_plan_over_all_workers(
    started: Started,
) -> None:
    one, two = started("one"), started("two")
    assert [await one.open("a"), await two.open("b")] == [True, True]
    assert [await one.open("c"), await two.open("d")] == [False, False]
    assert await one.open("e", key="bbbbbbbb"), "another key has slots of its own"


async def test_many_at_once_get_exactly_the_slots_there_are(started: Started) -> None:
    plan = msgspec.structs.replace(TWO, connections_max=7)
    workers = [started(name) for name in ("one", "two", "three")]
    opened = await asyncio.gather(
        *(worker.open(f"{n}", plan) for worker in workers for n in range(20))
    )
    assert sum(opened) == 7


async def test_a_closed_connection_makes_room(redis: Redis, started: Started) -> None:
    one, two = started("one"), started("two")
    await one.open("a")
    await one.open("b")
    one.slots.close("a")
    one.slots.close("a")
    await until_answer(lambda: two.open("c"))
    assert not await two.open("d")
    assert await slots_in(redis) == 2


async def test_no_limit_is_no_limit_and_is_counted(redis: Redis, started: Started) -> None:
    one = started("one")
    assert all([await one.open(f"{n}", PLANS["unlimited"]) for n in range(50)])
    assert await slots_in(redis) == 50
    assert (await one.store.usage(KEY)).open_connections == 50


async def test_the_oldest_connection_goes_for_a_new_one_wherever_it_is(
    redis: Redis, started: Started
) -> None:
    one, two = started("one"), started("two")
    await one.open("first", KICKING)
    await two.open("second", KICKING)
    assert await two.open("third", KICKING)
    await until(lambda: one.ended == ["first"])
    assert await one.open("fourth", KICKING)
    await until(lambda: two.ended == ["second"])
    assert await slots_in(redis) == 2
    assert (len(one.slots), len(two.slots)) == (1, 1)


async def test_the_slots_of_a_killed_worker_come_back(redis_url: str, started: Started) -> None:
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.slot_holder", redis_url, KEY, "2", str(SHORT_LEASE_S)),
        cwd=REPOSITORY,
        env=os.environ,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    one = started("one")
    assert not await one.open("a")
    holder.kill()
    await holder.wait()
    await until_answer(lambda: one.open("a"))


async def test_a_worker_that_lives_keeps_its_slots_longer_than_a_lease(
    redis: Redis, started: Started
) -> None:
    one, two = started("one", SHORT_LEASE_S), started("two")
    await one.open("a")
    await one.open("b")
    first_us = await until_answer(lambda: redis.zscore(WORKERS_KEY, "one"))

    async def has_outlived_it() -> bool:
        assert not await two.open("c")
        return float(await redis.zscore(WORKERS_KEY, "one")) > first_us + SHORT_LEASE_S * 1e6

    await until_answer(has_outlived_it)


async def test_a_worker_that_leaves_gives_its_slots_back_at_once(redis: Redis) -> None:
    one, two = Worker(redis, "one"), Worker(redis, "two")
    running = asyncio.create_task(one.slots.run())
    await one.open("a")
    await one.open("b")
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert await two.open("c")


async def test_workers_know_how_many_they_are(started: Started) -> None:
    workers = [started(name) for name in ("one", "two", "three")]
    await until(lambda: [worker.store.workers for worker in workers] == [3, 3, 3])


async def test_a_redis_that_lost_its_memory_is_told_again(redis: Redis, started: Started) -> None:
    one, two = started("one"), started("two")
    await one.open("a")
    await two.open("b")
    await redis.flushall()
    await until_answer(lambda: _has_slots(redis, 2))
    assert not await two.open("c")
    assert one.ended == two.ended == []


async def test_without_redis_each_worker_lets_in_its_share_and_afterwards_too_many_are_ended(
    redis_server: RedisServer, redis: Redis, started: Started
) -> None:
    one, two, three = started("one"), started("two"), started("three")
    workers = (one, two, three)
    await until(lambda: all(worker.store.workers == 3 for worker in workers))
    redis_server.kill()
    assert [await worker.open("a") for worker in workers] == [True] * 3, "at least one each"
    assert [await worker.open("b") for worker in workers] == [False] * 3
    redis_server.start()
    await until(lambda: sum(len(worker.ended) for worker in workers) == 1)
    await until_answer(lambda: _has_slots(redis, 2))
    assert sum(len(worker.slots) for worker in workers) == 2


async def test_what_was_closed_without_redis_is_closed_when_it_is_back(
    redis_server: RedisServer, redis: Redis, started: Started
) -> None:
    one = started("one")
    await one.open("a")
    await one.open("b")
    await redis.save()
    redis_server.kill()
    await until_answer(lambda: _is_local(one))
    one.slots.close("a")
    redis_server.start()
    with BlockingRedis(unix_socket_path=str(redis_server.socket)) as before:
        # Before the worker has its turn.
        assert before.zcard(slots_key(KEY)) == 2, "it came back with what it had saved"
    await until_answer(lambda: _has_slots(redis, 1))


async def _has_slots(redis: Redis, count: int) -> bool:
    return await slots_in(redis) == count


async def _is_local(worker: Worker) -> bool:
    await worker.store.wait_s("any", 1_000, 1_000)
    return worker.store.is_away
