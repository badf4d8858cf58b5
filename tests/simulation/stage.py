"""What every simulation has: a clock, wires, a Redis, the truth; what is done, and when to fail."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from contextvars import Context
from random import Random
from typing import Any, Final

from tests.simulation.network import Weather
from tests.simulation.redis_server import RedisServer
from tests.simulation.truth import Truth, Violation
from tests.simulation.virtual_time import VirtualClock, VirtualLoop

URL: Final = "unix:///simulated"
POLL_S: Final = 0.25


class Stage:
    """Of one seed. What is played on it overrides `check` and `befall`."""

    def __init__(self, random: Random, loop: VirtualLoop) -> None:
        self.random = random
        self.loop = loop
        self.clock = VirtualClock(loop)
        self.truth = Truth()
        self.weather = Weather(self.fork())
        self.server = RedisServer(
            self.fork(), self.clock, self.weather, self.published, self.truth.began
        )
        loop.connect = self.server.connect
        self.events: list[str] = []
        """What was done, for people."""
        self._trace: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._faults: set[asyncio.Task[None]] = set()
        """Those that are not over: a Redis with an older memory comes back late."""

    def fork(self) -> Random:
        return Random(self.random.random())

    def record(self, name: str, heard: bytes) -> None:
        hashing = self._trace.setdefault(name, hashlib.sha256())
        hashing.update(b"%d %b\n" % (round(self.loop.time() * 1e9), heard))

    def digest(self) -> str:
        """Of all that was heard by everybody, and when."""
        told = "".join(f"{name} {one.hexdigest()}\n" for name, one in sorted(self._trace.items()))
        return hashlib.sha256(told.encode()).hexdigest()

    def limits(self) -> AbstractContextManager[object]:
        """What is another one in the product while it runs."""
        raise NotImplementedError

    # Tasks.

    def start(
        self, work: Coroutine[Any, Any, None], context: Context | None = None
    ) -> asyncio.Task[None]:
        task = self.loop.create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.loop.failures.append(error)

    async def tasks_end(self) -> None:
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=10.0)

    # What happens.

    async def keep_failing(self, faults: list[tuple[float, str]]) -> None:
        for at_s, fault in faults:
            await asyncio.sleep(at_s - self.loop.time())
            self.events.append(f"{self.loop.time():.3f} {fault}")
            task = self.start(self.befall(fault))
            self._faults.add(task)
            task.add_done_callback(self._faults.discard)

    async def befall(self, fault: str) -> None:
        raise NotImplementedError

    async def faults_end(self) -> None:
        while self._faults:
            await self.passed(POLL_S)

    def heal(self) -> None:
        """Redis and the wires."""
        server = self.server
        server.start()
        server.loses = server.repeats = server.overtakes = 0.0
        server.bus.trims_to = None
        self.weather.latency_s = 0.001

    # What must be true.

    def published(self, told: Any) -> None:
        self.truth.published(told)

    def check(self) -> None:
        """Now and then. Raises Violation."""
        self.raise_failures()

    async def passed(self, seconds: float) -> None:
        until_s = self.loop.time() + seconds
        while (left_s := until_s - self.loop.time()) > 0:
            await asyncio.sleep(min(left_s, POLL_S))
            self.check()

    async def until(
        self, holds: Callable[[], bool], limit_s: float, otherwise: Callable[[], str]
    ) -> None:
        until_s = self.loop.time() + limit_s
        while not holds():
            if self.loop.time() >= until_s:
                raise Violation(otherwise())
            await self.passed(POLL_S)

    def raise_failures(self) -> None:
        if self.loop.failures:
            failure = self.loop.failures[0]
            while isinstance(failure, BaseExceptionGroup):
                failure = failure.exceptions[0]
            raise failure
