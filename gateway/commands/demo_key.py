"""The key that a run makes for newcomers, and takes back: its own one and no other.

Its id is kept in the data directory: a killed run's key is forgotten by the next one.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from feeds.market import SystemClock
from gateway.access.key_store import KeyStore
from gateway.commands.failure import CommandFailure
from gateway.commands.redis_access import connected, in_time

DEMO_LABEL: Final = "demo"
DEMO_PLAN: Final = "pro"

FORGET_LIMIT_S: Final = 2.0
"""What a silent Redis may add to the end of a run."""

_FILE: Final = "demo-key"


async def make_demo_key(redis: Redis, data_dir: Path) -> str:
    """A new one; that of the run before, if it left one, is gone.

    For who holds the lock. Raises RedisError, OSError, and CommandFailure where Redis is silent.
    """
    store = KeyStore(redis, SystemClock())
    async with in_time():
        await _forget(store, data_dir)
        record, key = await store.create(DEMO_LABEL, DEMO_PLAN)
    (data_dir / _FILE).write_text(record.id)
    return key


async def forget_demo_key(redis_url: str, data_dir: Path) -> None:
    """Takes it back, if there is one. Where that can't be done the next run does it."""
    if (data_dir / _FILE).exists():
        with contextlib.suppress(RedisError, OSError, CommandFailure):
            async with asyncio.timeout(FORGET_LIMIT_S), connected(redis_url) as redis:
                await _forget(KeyStore(redis, SystemClock()), data_dir)


async def _forget(store: KeyStore, data_dir: Path) -> None:
    file = data_dir / _FILE
    if file.exists():
        await store.forget(file.read_text(errors="replace"))
        file.unlink()
