"""What a client's tests stand on: a gateway that comes and goes, and a publisher."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import msgspec
import uvicorn
from redis.asyncio import Redis

import feeds
from feeds.market import Channel, SystemClock
from feeds.market.bus_names import DIRECTORY_KEY, head_key, log_key
from gateway.access.key_store import KeyStore
from gateway.serve import configured, listening_socket
from gateway.settings import GatewaySettings

HOST = "127.0.0.1"
BUS_SCRIPT = (Path(feeds.__file__).parent / "bus.lua").read_text()


class Eager(Random):
    """Jitter that is always the least."""

    def random(self) -> float:
        return 0.0


class Publisher:
    """Any program that publishes by `bus.lua`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = redis.register_script(BUS_SCRIPT)

    async def announce(self, *names: str) -> None:
        await self._redis.sadd(DIRECTORY_KEY, *names)

    async def trades(self, name: str, *prices: str, missing: str = "-") -> None:
        """One trade each."""
        await self.announce(name)
        kept = Channel.parse(name).promises.history_max
        payloads = [
            msgspec.json.encode({"px": price, "sz": "1", "side": "buy", "id": price})
            for price in prices
        ]
        arguments: list[str | int | bytes] = ["", 0, kept, missing, len(payloads), *payloads]
        await self._script(keys=[head_key(name), log_key(name)], args=arguments)

    async def trim(self, name: str, kept: int) -> None:
        """The channel's stream keeps no more than its newest."""
        await self._redis.xtrim(log_key(name), maxlen=kept, approximate=False)

    async def key(self, plan: str = "pro") -> tuple[str, str]:
        """A new key's id and text."""
        record, key = await KeyStore(self._redis, SystemClock()).create("test", plan)
        return record.id, key

    async def revoke(self, key_id: str) -> None:
        await KeyStore(self._redis, SystemClock()).revoke(key_id)


@contextlib.asynccontextmanager
async def gateway(
    redis_url: str, settings: GatewaySettings | None = None, port: int = 0
) -> AsyncIterator[int]:
    """A gateway in this process; its port."""
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        with listening_socket(HOST, port) as bound:
            server = uvicorn.Server(configured(settings or GatewaySettings(), redis_url))
            serving = group.create_task(server.serve(sockets=[bound]))
            # uvicorn offers no event to wait on.
            while not server.started:
                assert not serving.done()
                await asyncio.sleep(0.005)
            try:
                yield bound.getsockname()[1]
            finally:
                server.should_exit = True
                await serving
