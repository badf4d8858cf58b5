"""The embedded Redis: keys come back, the bus does not, and nobody sees it before that is so."""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from feeds.market.bus_names import DIRECTORY_KEY, head_key, log_key
from gateway.access.key_store import KEYS_KEY
from gateway.processes.embedded_redis import (
    SOCKET_PATH_BYTES_MAX,
    EmbeddedRedis,
    EmbeddedRedisError,
    brief_redis,
    find_redis_server,
    private_directory,
)
from tests.until import until

CHANNEL = "trade:sim:BTC-USD"


@asynccontextmanager
async def started(embedded: EmbeddedRedis) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process alone; ready or not is up to the test."""
    process = await asyncio.create_subprocess_exec(*embedded.command)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        embedded.remove()


async def _fill(redis: Redis) -> None:
    await redis.hset(KEYS_KEY, "abc", "a key")
    await redis.hset(head_key(CHANNEL), "seq", "7")
    await redis.xadd(log_key(CHANNEL), {"m": "x"})
    await redis.sadd(DIRECTORY_KEY, CHANNEL)


async def test_keys_survive_and_the_bus_does_not(tmp_path: Path) -> None:
    async with brief_redis(tmp_path, {}) as url, Redis.from_url(url) as redis:
        await _fill(redis)
    async with brief_redis(tmp_path, {}) as url, Redis.from_url(url) as redis:
        assert await redis.keys() == [KEYS_KEY.encode()]
        assert await redis.hget(KEYS_KEY, "abc") == b"a key"


async def test_many_channels_are_forgotten_too(tmp_path: Path) -> None:
    async with brief_redis(tmp_path, {}) as url, Redis.from_url(url) as redis:
        await redis.mset({head_key(f"trade:sim:C{n}-USD"): n for n in range(2_500)})
        await redis.hset(KEYS_KEY, "abc", "a key")
    async with brief_redis(tmp_path, {}) as url, Redis.from_url(url) as redis:
        assert await redis.keys() == [KEYS_KEY.encode()]


async def test_saving_the_keys_leaves_nothing_else_in_the_file(tmp_path: Path) -> None:
    embedded = EmbeddedRedis.prepare(tmp_path, {})
    async with started(embedded) as process:
        await embedded.ready(lambda: process.returncode is None)
        async with Redis.from_url(embedded.url) as redis:
            await _fill(redis)
        await embedded.save_keys()
    content = (tmp_path / "redis.rdb").read_bytes()
    assert b"a key" in content
    assert b"BTC-USD" not in content


async def test_nobody_can_reach_it_before_it_has_forgotten_the_bus(tmp_path: Path) -> None:
    async with brief_redis(tmp_path, {}) as url, Redis.from_url(url) as redis:
        await _fill(redis)
    embedded = EmbeddedRedis.prepare(tmp_path, {})
    socket = Path(embedded.url.removeprefix("unix://"))
    async with started(embedded) as process:
        await until(lambda: os.listdir(socket.parent))
        assert socket.name not in os.listdir(socket.parent)
        await embedded.ready(lambda: process.returncode is None)
        assert os.listdir(socket.parent) == [socket.name]
        async with Redis.from_url(embedded.url) as redis:
            assert await redis.keys() == [KEYS_KEY.encode()]


async def test_it_comes_back_on_the_same_socket_after_a_kill(tmp_path: Path) -> None:
    embedded = EmbeddedRedis.prepare(tmp_path, {})
    socket = Path(embedded.url.removeprefix("unix://"))
    first = await asyncio.create_subprocess_exec(*embedded.command)
    await embedded.ready(lambda: first.returncode is None)
    first.kill()
    await first.wait()
    assert os.listdir(socket.parent) == [socket.name]  # Dead: connections are refused.
    async with started(embedded) as second:
        await embedded.ready(lambda: second.returncode is None)
        async with Redis.from_url(embedded.url) as redis:
            assert await redis.ping()


async def test_a_cancellation_ends_what_waits_for_it_at_every_step(tmp_path: Path) -> None:
    """The first command of a new connection is sent and read in a few dozen steps."""
    embedded = EmbeddedRedis.prepare(tmp_path, {})
    async with started(embedded) as process:
        await embedded.ready(lambda: process.returncode is None)
        for steps in range(1, 41):
            saving = asyncio.create_task(embedded.save())
            for _ in range(steps):
                await asyncio.sleep(0)
            was_done = saving.done()
            saving.cancel()
            await asyncio.wait([saving])
            assert saving.cancelled() or was_done, f"swallowed after {steps} steps"


async def test_it_listens_to_nobody_else_and_bounds_slow_subscribers(tmp_path: Path) -> None:
    async with brief_redis(tmp_path, {}) as url, Redis.from_url(url) as redis:
        socket = Path(url.removeprefix("unix://"))
        assert stat.S_IMODE(os.stat(socket.parent).st_mode) == 0o700
        assert stat.S_IMODE(os.stat(socket).st_mode) == 0o700
        told = await redis.config_get("*")
    assert told["port"] == "0"
    assert told["save"] == ""
    assert told["appendonly"] == "no"
    assert "pubsub 33554432 8388608 60" in told["client-output-buffer-limit"]


async def test_nothing_is_left_of_a_brief_one(tmp_path: Path) -> None:
    async with brief_redis(tmp_path, {"XDG_RUNTIME_DIR": str(tmp_path)}) as url:
        directory = Path(url.removeprefix("unix://")).parent
        assert directory.parent == tmp_path
    assert not directory.exists()


async def test_a_file_that_redis_cant_read_is_named_with_redis_own_words(tmp_path: Path) -> None:
    (tmp_path / "redis.rdb").write_bytes(b"REDIS9999 not one of ours")
    with pytest.raises(EmbeddedRedisError, match=r"RDB format version 9999.*redis\.log"):
        async with brief_redis(tmp_path, {}):
            pass


async def test_saving_where_nobody_answers_is_an_error_of_one_line(tmp_path: Path) -> None:
    embedded = EmbeddedRedis.prepare(tmp_path, {})
    with pytest.raises(EmbeddedRedisError, match="the keys could not be saved"):
        await embedded.save()
    embedded.remove()


def test_a_place_with_a_long_path_is_passed_over(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 80)
    long.mkdir()
    directory = private_directory({"XDG_RUNTIME_DIR": str(long)})
    assert directory.parent != long
    assert os.listdir(long) == []
    assert len(os.fsencode(directory / "redis.sock")) <= SOCKET_PATH_BYTES_MAX
    directory.rmdir()


def test_a_place_that_is_none_is_passed_over(tmp_path: Path) -> None:
    directory = private_directory({"XDG_RUNTIME_DIR": str(tmp_path / "absent")})
    assert directory.is_dir()
    directory.rmdir()


def test_the_redis_server_on_the_path_comes_first(tmp_path: Path) -> None:
    server = tmp_path / "redis-server"
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    assert find_redis_server(str(tmp_path)) == server


@pytest.mark.skipif(
    not (Path(sys.prefix) / "bin" / "redis-server").exists(),
    reason="this environment has no redis-server of its own: one is on the PATH",
)
def test_without_one_on_the_path_it_is_the_environments_own(tmp_path: Path) -> None:
    assert find_redis_server(str(tmp_path)) == Path(sys.prefix) / "bin" / "redis-server"
