"""This gateway with everything of the product switched on, as bench.fanout starts it."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final

from redis.asyncio import Redis

from bench.fanout.server import PLAN
from bench.peers.peer import Ground, Peer, Running, launched_python, nothing_missing, told_port
from bench.setting import commit
from feeds.market import SystemClock
from feeds.market.bus_names import DIRECTORY_KEY
from gateway.access.key_store import KeyStore
from gateway.settings import GatewaySettings

_CHANNELS_MAX: Final = 1_000


@contextlib.contextmanager
def _start(ground: Ground) -> Iterator[Running]:
    key = asyncio.run(_prepared(ground.redis_path))
    # The default window: what a user gets who sets nothing.
    words = (f"unix://{ground.redis_path}", GatewaySettings().join_window_ms)
    with launched_python("bench.fanout.server", *words) as process:
        yield Running(process, told_port(process), ground.redis_path, key)


async def _prepared(redis_path: str) -> str:
    names = [f"trade:bench:C{number:05d}" for number in range(_CHANNELS_MAX)]
    async with Redis.from_url(f"unix://{redis_path}") as redis:
        await redis.sadd(DIRECTORY_KEY, *names)
        return (await KeyStore(redis, SystemClock()).create("bench", PLAN))[1]


PEER: Final = Peer(
    name="tickgate",
    missing=nothing_missing,
    version=commit,
    start=_start,
    wire="tickgate",
    dialect="tickgate",
    path="/v1/stream",
)
