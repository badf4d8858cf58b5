"""A loop of ours that stands still is not Redis being away; a Redis that is silent is noticed."""

import asyncio
import itertools
import logging
import signal
import time
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

import pytest
import uvloop
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from gateway.access.limit_store import LimitStore
from gateway.bus.recaller import Recaller
from gateway.patience import patience
from tests.conftest import RedisServer
from tests.gateway_server import GatewayServer, Publishing
from tests.manual_clock import ManualClock
from tests.ticks import BTC, trades
from tests.until import until
from tests.until_answer import until_answer
from tests.venue_server import running

T = TypeVar("T")

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
LIMIT_S = 0.2


@pytest.mark.parametrize("last", [0, 10])
@pytest.mark.parametrize("first", [2, 3, 4, 5])
async def test_an_answer_that_came_while_our_loop_stood_still_is_used(
    redis_server: RedisServer,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    first: int,
    last: int,
) -> None:
    """In some passes of the loop, or all: an answer takes some seven to be asked for and read."""
    clock = ManualClock()
    store = LimitStore(redis, clock, answer_limit_s=LIMIT_S)

    async def knows_the_script() -> bool:
        clock.advance(1)
        await store.wait_s("key", 1 / 60, 1)
        return not store.is_away

    await until_answer(knows_the_script)
    caplog.clear()
    with BlockingRedis(unix_socket_path=str(redis_server.socket)) as beside:
        passes = {first, *range(first, last)}
        assert await answered(store.wait_s("other", 1 / 60, 1), beside, still_in=passes) == 0.0
    assert not store.is_away
    assert not caplog.records


@pytest.mark.parametrize("first", [1, 2])
async def test_history_that_came_while_our_loop_stood_still_is_known(
    redis_server: RedisServer, gateway: GatewayServer, publish: Publishing, first: int
) -> None:
    await publish(trades(1, 9))
    worker = gateway.worker
    recaller = Recaller(worker.bus, worker.hub, worker.clock, answer_limit_s=5 * LIMIT_S)
    async with gateway.client() as client:
        await client.subscribe(BTC.name)
        topic = worker.hub.topics[BTC.name]
        assert not topic.history.has(1)
        # A channel that was read a moment ago is not read again.
        await until(lambda: worker.clock.monotonic_s() - topic.read_s > 0.2)
        with BlockingRedis(unix_socket_path=str(redis_server.socket)) as beside:
            async with running(recaller.run()):
                asking = recaller.recall({BTC.name: 1})
                await answered(asking, beside, still_in=range(first, first + 3))
                assert topic.history.has(1)


async def answered(
    asking: Coroutine[Any, Any, T], beside: BlockingRedis, *, still_in: Collection[int]
) -> T:
    """The answer, where our loop stands still in these of its passes, and Redis never does."""
    task = asyncio.create_task(asking)
    for number in itertools.count(1):
        await asyncio.sleep(0)
        if task.done():
            break
        if number in still_in:
            time.sleep(2 * LIMIT_S)  # noqa: ASYNC251 - the standstill
        # However late Redis gets a core: what it was asked for before, it has answered by now.
        beside.ping()
        beside.ping()
    return await task


async def test_a_redis_that_is_silent_is_noticed(
    redis_server: RedisServer, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    store = LimitStore(redis, ManualClock(), answer_limit_s=LIMIT_S)
    await store.wait_s("key", 1 / 60, 20)
    assert redis_server.process is not None
    redis_server.process.send_signal(signal.SIGSTOP)
    try:
        with caplog.at_level(logging.WARNING):
            assert await store.wait_s("other", 1 / 60, 20) == 0.0, "from the local share"
    finally:
        redis_server.process.send_signal(signal.SIGCONT)
    assert store.is_away
    assert "limits are local" in caplog.text


async def test_patience_ends_and_is_not_ended_early() -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    with pytest.raises(TimeoutError):
        async with patience(LIMIT_S):
            await asyncio.Event().wait()
    assert loop.time() - began_s >= 0.9 * LIMIT_S


async def test_whoever_is_cancelled_while_patient_is_cancelled() -> None:
    async def wait() -> None:
        async with patience(60.0):
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
