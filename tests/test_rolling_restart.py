"""Gateway workers replaced, killed and ended under clients that come back: real processes.

Whatever happens to a worker, each client gets every seq once and in order.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from feeds.market import SystemClock
from gateway.access.key_store import KeyStore
from gateway.client import (
    ClosedError,
    Drain,
    Gap,
    Missed,
    Reconnecting,
    Reset,
    Stream,
    UnreachableError,
    connect,
)
from tests.client_gateway import Eager
from tests.conftest import RedisServer
from tests.gateway_server import Publishing
from tests.running_tickgate import COMMAND, RunningTickgate, environment
from tests.ticks import BTC, trades
from tests.until import is_gone
from tests.until import until as until_soon

_LIMIT_S = 40.0
"""Several processes start one after the other: long, where the machine is busy."""
_CLIENTS = 6
_QUICK = {"TICKGATE_GATEWAY_SHUTDOWN_LIMIT_S": "1"}


@contextlib.asynccontextmanager
async def workers(
    count: int, redis_url: str, data_dir: Path, **variables: str
) -> AsyncIterator[RunningTickgate]:
    """`tickgate gateway`, serving."""
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "gateway", "--workers", str(count)),
        env=environment(data_dir, REDIS_URL=redis_url, **_QUICK, **variables),
        cwd=data_dir,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    gateway = RunningTickgate(process, data_dir)
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(gateway.read())
            try:
                await gateway.says("listening: http://127.0.0.1:")
                await until(lambda: len(gateway.pids().get("gateway", ())) == count)
                yield gateway
                if process.returncode is None:
                    assert await gateway.stop(signal.SIGTERM) == 0
            finally:
                if process.returncode is None:
                    process.kill()
                reading.cancel()
    finally:
        await process.wait()


async def until(found: Callable[[], object]) -> None:
    await until_soon(found, _LIMIT_S)


class Reader:
    """A client that reads its channel to the end, and what it was told on the way."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.seqs: list[int] = []
        self.told: list[object] = []

    async def read(self, last: int) -> None:
        async for message in self._stream:
            if isinstance(message, dict):
                self.seqs.append(message["seq"])
                if message["seq"] == last:
                    return
            else:
                self.told.append(message)

    def has_lost(self) -> list[object]:
        return [one for one in self.told if isinstance(one, Gap | Missed | Reset)]

    def was_away(self) -> bool:
        return any(isinstance(one, Reconnecting) for one in self.told)

    def was_told_to_leave(self) -> bool:
        """Before it was away for the first time."""
        first = next(one for one in self.told if isinstance(one, Drain | Reconnecting))
        return isinstance(first, Drain)


class Market:
    """Publishes trade after trade until it is told to end."""

    def __init__(self, publish: Publishing) -> None:
        self._publish = publish
        self.last = 1
        self.is_over = False

    async def run(self) -> None:
        while not self.is_over:
            self.last += 1
            await self._publish(trades(self.last, self.last))
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def readers(
    gateway: RunningTickgate, key: str, publish: Publishing
) -> AsyncIterator[tuple[Market, list[Reader]]]:
    """Clients that read all the while; at the end each has the market's every trade."""
    market, found = Market(publish), list[Reader]()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(_CLIENTS):
            stream = await stack.enter_async_context(connect(gateway.url, key, random=Eager()))
            await stream.subscribe(BTC.name)
            found.append(Reader(stream))
        async with asyncio.TaskGroup() as group:
            publishing = group.create_task(market.run())
            reading = [group.create_task(one.read(1_000_000)) for one in found]
            yield market, found
            market.is_over = True
            await publishing
            await until(lambda: all(one.seqs[-1:] == [market.last] for one in found))
            for one in reading:
                one.cancel()
        for one in found:
            assert one.seqs == list(range(2, market.last + 1))
            assert one.has_lost() == []


@pytest.fixture
async def key(redis: Redis, publish: Publishing) -> str:
    await publish(trades(1, 1))
    return (await KeyStore(redis, SystemClock()).create("tests", "unlimited"))[1]


@pytest.mark.parametrize("count", [1, 2])
async def test_replacing_the_workers_loses_nothing_for_clients_that_come_back(
    redis_server: RedisServer, publish: Publishing, key: str, tmp_path: Path, count: int
) -> None:
    async with workers(count, redis_server.url, tmp_path) as gateway:
        before = gateway.pids()["gateway"]
        async with readers(gateway, key, publish) as (_, clients):
            gateway.process.send_signal(signal.SIGUSR2)
            await until(lambda: gateway.output.count("a new process serves") == count)
            await until(lambda: all(is_gone(pid) for pid in before))
            await until(lambda: all(one.was_away() for one in clients))
        after = gateway.pids()["gateway"]
        assert len(after) == count
        assert not set(before) & set(after)
        assert all(one.was_told_to_leave() for one in clients)
        assert "starting it again" not in gateway.output


async def test_killed_workers_lose_nothing_for_clients_that_come_back(
    redis_server: RedisServer, publish: Publishing, key: str, tmp_path: Path
) -> None:
    async with workers(2, redis_server.url, tmp_path) as gateway:
        async with readers(gateway, key, publish) as (_, clients):
            for pid in gateway.pids()["gateway"]:
                os.kill(pid, signal.SIGKILL)
            await until(lambda: all(one.was_away() for one in clients))
        await until(lambda: gateway.output.count("killed by signal 9") == 2)


async def test_new_clients_are_always_served_while_workers_are_replaced(
    redis_server: RedisServer, publish: Publishing, key: str, tmp_path: Path
) -> None:
    async with workers(1, redis_server.url, tmp_path) as gateway:
        (before,) = gateway.pids()["gateway"]
        gateway.process.send_signal(signal.SIGUSR2)
        met, failures = 0, list[str]()
        while not is_gone(before):
            try:
                async with connect(gateway.url, key) as stream:
                    assert (await stream.subscribe(BTC.name)).ok
                    met += 1
            except (UnreachableError, ClosedError) as error:
                # It had just been accepted by the one that ends: to be tried again.
                failures.append(str(error))
        assert met
        # Somebody listens all the while.
        assert not [failure for failure in failures if "refused" in failure]
