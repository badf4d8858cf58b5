"""`tickgate keys`: what is typed, what is printed, and what is good afterwards; on a real Redis."""

import json
from pathlib import Path

import pytest
from redis.asyncio import Redis

from feeds.market import SystemClock
from gateway.access.key_store import KeyStore
from gateway.access.keys import KeyRecord
from tests.conftest import RedisServer
from tests.running_tickgate import run_to_end


class Tickgate:
    """The command, on this test's Redis."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        self._directory = directory
        self._redis_url = redis_url

    async def keys(self, *words: str) -> tuple[int, str, str]:
        """Status, stdout and stderr."""
        return await run_to_end("keys", *words, data_dir=self._directory, REDIS_URL=self._redis_url)


@pytest.fixture
def tickgate(tmp_path: Path, redis_server: RedisServer) -> Tickgate:
    return Tickgate(tmp_path, redis_server.url)


async def the_record(redis: Redis) -> KeyRecord:
    (record,) = await KeyStore(redis, SystemClock()).list()
    return record


def now_us() -> int:
    return SystemClock().now_ns() // 1_000


async def test_a_key_may_end_and_see_less_than_its_plan(tickgate: Tickgate, redis: Redis) -> None:
    words = ("--label", "bot", "--expires", "90d", "--channels", "trade:kraken:*, quote:*:*")
    status, key, said = await tickgate.keys("create", *words)
    record = await the_record(redis)
    assert status == 0
    assert record.admits(key.strip(), now_us())
    assert record.channels == ("trade:kraken:*", "quote:*:*")
    assert record.expires_us == record.created_us + 90 * 86_400 * 1_000_000
    assert said.startswith(f"key {record.id} (pro, until 20")
    _, listed, _ = await tickgate.keys("list")
    assert "until 20" in listed
    assert "trade:kraken:*" in listed


async def test_a_rotated_key_is_printed_alone_and_both_are_good(
    tickgate: Tickgate, redis: Redis
) -> None:
    _, old, _ = await tickgate.keys("create")
    key_id = old.split("_")[1]
    status, new, said = await tickgate.keys("rotate", key_id, "--overlap", "24h")
    record = await the_record(redis)
    assert status == 0
    assert new.split("_")[1] == key_id
    assert record.admits(old.strip(), now_us())
    assert record.admits(new.strip(), now_us())
    assert said.startswith(f"key {key_id}: the one before is good until 20")
    assert old.split("_", 2)[2].strip() not in said


async def test_a_rotation_without_overlap_ends_the_old_key(
    tickgate: Tickgate, redis: Redis
) -> None:
    _, old, _ = await tickgate.keys("create")
    _, new, said = await tickgate.keys("rotate", old.split("_")[1], "--overlap", "0s")
    record = await the_record(redis)
    assert not record.admits(old.strip(), now_us())
    assert record.admits(new.strip(), now_us())
    assert "the one before is over" in said


async def test_usage_is_one_json_object(tickgate: Tickgate) -> None:
    _, key, _ = await tickgate.keys("create", "--plan", "free")
    status, told, _ = await tickgate.keys("usage", key.split("_")[1])
    assert status == 0
    assert json.loads(told).items() >= {"plan": "free", "messages": 0}.items()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("rotate", "nobody"), "there is no key nobody: see `tickgate keys list`"),
        (("usage", "nobody"), "there is no key nobody: see `tickgate keys list`"),
        (("create", "--expires", "soon"), "expected a length of time like 90s, 15m, 24h or 90d"),
        (("rotate", "nobody", "--overlap", "1w"), "expected a length of time"),
        (("create", "--channels", "kraken"), "'kraken' is no channel pattern"),
    ],
)
async def test_a_mistake_is_one_line_and_changes_nothing(
    tickgate: Tickgate, redis: Redis, words: tuple[str, ...], said: str
) -> None:
    status, printed, error = await tickgate.keys(*words)
    assert (status, printed) == (2, "")
    assert said in error
    assert error.count("\n") == 1
    assert await KeyStore(redis, SystemClock()).list() == []


async def test_a_revoked_key_is_not_rotated(tickgate: Tickgate) -> None:
    _, key, _ = await tickgate.keys("create")
    await tickgate.keys("revoke", key.split("_")[1])
    status, printed, error = await tickgate.keys("rotate", key.split("_")[1])
    assert (status, printed) == (2, "")
    assert "is revoked or has expired: make another one" in error
