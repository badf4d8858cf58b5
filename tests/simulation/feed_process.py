"""A feeds process: the product's own `run_feeds`, which may be killed, stopped and begun again."""

import asyncio
import contextlib
from typing import TYPE_CHECKING

from feeds.errors import BusUnreachableError
from feeds.feed import Feed
from feeds.feeds_at_work import FeedsAtWork
from feeds.lease import Lease
from feeds.run import run_feeds
from tests.simulation.stage import URL
from tests.simulation.venue_side import NAME
from tests.simulation.virtual_time import Process

if TYPE_CHECKING:
    from tests.simulation.feeds_world import FeedsWorld


class FeedProcess:
    """One after the other in the same place."""

    def __init__(self, world: "FeedsWorld", number: int) -> None:
        self._world = world
        self._number = number
        self.at_work: FeedsAtWork | None = None
        self.is_there = False
        self.changed_s = 0.0
        """When it was begun, stopped, woken, or ended."""

    def begin(self) -> None:
        self._stopping = asyncio.Event()
        self.process = Process(self._number)
        self.at_work = None
        self.is_there = True
        self.changed_s = self._world.loop.time()
        self._task = self._world.start(self._run(), self.process.context)

    @property
    def feed(self) -> Feed | None:
        return None if self.at_work is None else self.at_work.feeds[0]

    @property
    def lease(self) -> Lease | None:
        return None if self.at_work is None else self.at_work.leases[NAME]

    @property
    def token(self) -> str:
        return "" if self.lease is None else self.lease._token

    @property
    def leads(self) -> bool:
        """As it believes."""
        is_awake = self.is_there and not self.process.is_stopped
        return is_awake and self.lease is not None and self.lease.is_held

    def stop(self) -> None:
        """SIGTERM."""
        self._stopping.set()

    def kill(self) -> None:
        world = self._world
        self._task.cancel()
        world.server.cut_of(self.process)
        world.exchange.leave(self.token)
        self._gone()

    def pause(self) -> None:
        """SIGSTOP."""
        self.changed_s = self._world.loop.time()
        self._world.loop.stop_process(self.process)

    def wake(self) -> None:
        self.changed_s = self._world.loop.time()
        self._world.loop.wake(self.process)

    async def _run(self) -> None:
        world = self._world
        with contextlib.suppress(BusUnreachableError):
            await run_feeds(
                world.chances.feeds,
                URL,
                clock=world.clock,
                random=world.fork(),
                stopping=self._stopping,
                beside=self._look_at,
            )
        self._gone()

    async def _look_at(self, at_work: FeedsAtWork) -> None:
        self.at_work = at_work
        await asyncio.Event().wait()

    def _gone(self) -> None:
        self.is_there = False
        self.changed_s = self._world.loop.time()
