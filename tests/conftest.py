"""What tests stand on: a real redis-server of their own, on a private socket."""

import asyncio
import contextlib
import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.gateway_server import GatewayServer, Publishing, gateway_on, publishing_on

pytest_plugins = ["pytester", "tests.second_tries"]

T = TypeVar("T")

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Captures of real market data; not part of the project, and absent from most clones."""

# However busy the machine is: time is limited by pytest-timeout, not example by example. And the
# same examples each time: a change is judged by what it changes. Chance has its own (`make fuzz`).
settings.register_profile(
    "tickgate",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tickgate")

_PLAIN_LOOP = {"asyncio": asyncio.new_event_loop}


def pytest_xdist_auto_num_workers() -> int:
    """Three for two cores: half of a test's time is waiting, for processes, timers and limits."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return cores + (cores + 1) // 2


def pytest_collection_finish() -> None:
    """What is collected stays: 700,000 objects, at which the garbage collector need not look.

    Half a second of a core each time: to clients and to Redis a gateway under test would be silent.
    """
    gc.collect()
    gc.freeze()


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """A module whose LOOPS names an event loop runs on that: what the product runs on."""
    module = item.getparent(pytest.Module)
    return getattr(module.module, "LOOPS", _PLAIN_LOOP) if module else _PLAIN_LOOP


def find_redis_server() -> str:
    found = shutil.which("redis-server") or str(Path(sys.prefix) / "bin" / "redis-server")
    assert os.access(found, os.X_OK), "no redis-server: run the tests with `make test`"
    return found


class RedisServer:
    """A redis-server that a test may kill and start again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [find_redis_server(), "--port", "0", "--unixsocket", str(self.socket)]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self.directory)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        with BlockingRedis(unix_socket_path=str(self.socket)) as client:
            for _ in range(2_000):
                try:
                    client.ping()
                except RedisConnectionError:
                    assert self.process.poll() is None, "redis-server did not start"
                    # The only wait: for a process that offers no other sign of being ready.
                    subprocess.run(["sleep", "0.01"], check=True)
                else:
                    return
        raise AssertionError("redis-server did not answer within 20 s")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="tg-") as directory:
        server = RedisServer(Path(directory))
        try:
            server.start()
            yield server
        finally:
            server.kill()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def shared() -> Path:
    """Where the captures are; the test is skipped, loudly, where they are absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no captures at {SHARED}: this clone tests its own small fixtures only")
    return SHARED


@contextlib.asynccontextmanager
async def in_one_task(context: contextlib.AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """A context entered and left by the same task, as task groups demand it.

    A fixture is set up by one task and torn down by another.
    """
    entered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    leaving = asyncio.Event()

    async def hold() -> None:
        async with context as value:
            entered.set_result(value)
            await leaving.wait()

    holding = asyncio.create_task(hold())
    await asyncio.wait((holding, entered), return_when=asyncio.FIRST_COMPLETED)
    try:
        if not entered.done():
            await holding
        yield entered.result()
    finally:
        leaving.set()
        await holding


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[GatewayServer]:
    """A gateway with the quick settings, ready, on this test's Redis."""
    async with in_one_task(gateway_on(redis_url)) as running:
        yield running


@pytest.fixture
async def publish(redis_url: str) -> AsyncIterator[Publishing]:
    """Publishes ticks as a feed does; returns when Redis has them."""
    async with in_one_task(publishing_on(redis_url)) as publishing:
        yield publishing
