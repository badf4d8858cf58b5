"""What tests stand on: a real redis-server of their own, on a private socket."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Captures of real market data; not part of the project, and absent from most clones."""


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
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603
        with BlockingRedis(unix_socket_path=str(self.socket)) as client:
            for _ in range(1_000):
                try:
                    client.ping()
                except RedisConnectionError:
                    assert self.process.poll() is None, "redis-server did not start"
                    # The only wait: for a process that offers no other sign of being ready.
                    subprocess.run(["sleep", "0.01"], check=True)  # noqa: S607
                else:
                    return
        raise AssertionError("redis-server did not answer within 10 s")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="tg-") as directory:
        server = RedisServer(Path(directory))
        server.start()
        yield server
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

