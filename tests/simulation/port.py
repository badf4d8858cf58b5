"""The gateway's workers behind one port: whoever comes is given to one of those that listen."""

import asyncio
from random import Random

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.settings import GatewaySettings
from gateway.worker import Worker
from tests.simulation.socket import Socket
from tests.simulation.stage import URL, Stage
from tests.simulation.stand_ins import Holders


class Place:
    """Where a worker stands; after its end another one does."""

    def __init__(self, stage: Stage, settings: GatewaySettings) -> None:
        self._stage = stage
        self._settings = settings
        self._redis = new_redis(1)
        self.is_listening = False
        self.sockets: list[Socket] = []
        """Those that it serves."""
        self.begin()

    def begin(self) -> None:
        self.worker = Worker(self._settings, self._redis, URL, self._stage.clock)
        self.worker.holders = Holders(self.worker)  # type: ignore[assignment]
        self._working = self._stage.start(self.worker.run())
        self.is_listening = True

    def end(self) -> None:
        """The process is gone, and all of its sockets with it."""
        self.is_listening = False
        self._working.cancel()
        for socket in self.sockets:
            socket.cut()
        self.sockets.clear()

    def drain(self) -> None:
        """Whom it serves is sent to another."""
        self.is_listening = False
        for socket in self.sockets:
            if socket.listener is not None and not socket.is_leaving:
                socket.listener.shut_down()

    async def close(self) -> None:
        await close_redis(self._redis)


class Port:
    """All workers."""

    def __init__(self, stage: Stage, settings: GatewaySettings, workers: int) -> None:
        self._stage = stage
        self.places = [Place(stage, settings) for _ in range(workers)]

    @property
    def workers(self) -> list[Worker]:
        return [place.worker for place in self.places]

    def accept(self, random: Random) -> Place | None:
        """None: nobody listens."""
        listening = [place for place in self.places if place.is_listening]
        return random.choice(listening) if listening else None

    async def restart(self, random: Random, *, drains: bool) -> None:
        """One of them; with others beside it, it is away for a while."""
        place = random.choice(self.places)
        if not place.is_listening:
            return
        if drains:
            place.drain()
            await self._stage.passed(random.choice((0.3, 2.0)))
        place.end()
        if len(self.places) > 1:
            await self._stage.passed(random.choice((0.0, 0.5)))
        place.begin()

    def end(self) -> None:
        for place in self.places:
            place.end()

    async def close(self) -> None:
        await asyncio.gather(*(place.close() for place in self.places))


def new_redis(retries: int) -> Redis:
    retry = Retry(NoBackoff(), retries)
    return Redis.from_url(URL, socket_timeout=None, socket_connect_timeout=None, retry=retry)


async def close_redis(redis: Redis) -> None:
    await redis.connection_pool.disconnect()
    await redis.aclose()
