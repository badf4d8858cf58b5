"""A loop of ours that stands still is not Redis being away; a Redis that is silent is noticed."""

import asyncio
import itertools
import logging
import signal
import time

import pytest
import uvloop
from redis.asyncio import Redis

from gateway.access.limit_store import LimitStore
from gateway.patience import patience
from tests.conftest import RedisServer
from tests.manual_clock import ManualClock

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
LIMIT_S = 0.2


@pytest.mark.parametrize("last", [0, 10])
@pytest.mark.parametrize("first", [2, 3, 4, 5])
async def test_an_answer_that_came_while_our_loop_stood_still_is_used(
    redis: Redis, caplog: pytest.LogCaptureFixture, first: int, last: int
) -> None:
    """In some passes of the loop, or all: an answer takes some seven to be asked for and read."""
    store = LimitStore(redis, ManualClock(), answer_limit_s=LIMIT_S)
    await store.wait_s("key", 1 / 60, 1)
    asking = asyncio.create_task(store.wait_s("other", 1 / 60, 1))
    for number in itertools.count(1):
        await asyncio.sleep(0)
        if asking.done():
            break
        if number == first or first <= number < last:
            time.sleep(2 * LIMIT_S)  # noqa: ASYNC251 - the standstill
    assert await asking == 0.0
    assert not store.is_away
    assert not caplog.records


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
