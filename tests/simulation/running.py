"""Runs one seed: in a loop of its own, with the product's own chance and its logs in hand."""

import asyncio
import gc
import logging
import random as global_random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Final, NamedTuple
from unittest.mock import patch

from redis import utils as redis_utils

from gateway import worker as worker_module
from tests.simulation.feeds_world import FeedsWorld
from tests.simulation.socket import write_all
from tests.simulation.virtual_time import VirtualLoop
from tests.simulation.world import World

FEEDS_EVERY: Final = 10
"""Each tenth seed plays the feeds, the others the gateway: one of theirs takes three times as
long."""


class _Failures(logging.Handler):
    """What the product logs as a failure of its own is one."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__(logging.ERROR)
        self._loop = loop

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info is not None and record.exc_info[1] is not None:
            self._loop.failures.append(record.exc_info[1])


class Outcome(NamedTuple):
    """What one seed came to."""

    seed: int
    digest: str
    failure: BaseException | None
    events: list[str]


_lib_version = lru_cache(redis_utils.get_lib_version)


@contextmanager
def _quick() -> Iterator[None]:
    """Without what costs most and says nothing: redis-py reads its own version from a file for
    each connection, and no cycle of one short simulation is worth looking for while it runs."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with patch.object(redis_utils, "get_lib_version", _lib_version):
            yield
    finally:
        if was_enabled:
            gc.enable()


def simulate(seed: int) -> Outcome:
    """Runs one seed to its end, or to the first broken promise."""
    loop = VirtualLoop()
    handler = _Failures(loop)
    root = logging.getLogger()
    state = global_random.getstate()
    # The product's own jitter.
    global_random.seed(seed)
    root.addHandler(handler)
    world: World | FeedsWorld | None = None
    failure: BaseException | None = None
    try:
        with ExitStack() as stack:
            stack.enter_context(_quick())
            stack.enter_context(patch.object(worker_module, "write_all", write_all))

            async def everything() -> None:
                nonlocal world
                world = world_of(seed, loop)
                stack.enter_context(world.limits())
                await world.run()

            try:
                loop.run_until_complete(everything())
            except Exception as error:
                failure = error
            _end(loop, world)
    finally:
        root.removeHandler(handler)
        global_random.setstate(state)
        loop.close()
    digest = world.digest() if world is not None else ""
    return Outcome(seed, digest, failure, world.events if world is not None else [])


def is_of_feeds(seed: int) -> bool:
    return seed % FEEDS_EVERY == FEEDS_EVERY - 1


def world_of(seed: int, loop: VirtualLoop) -> World | FeedsWorld:
    """Which of the two is played."""
    return FeedsWorld(seed, loop) if is_of_feeds(seed) else World(seed, loop)


def _end(loop: VirtualLoop, world: World | FeedsWorld | None) -> None:
    loop.wake_all()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=30.0))
    if world is not None:
        loop.run_until_complete(world.close())
