"""Runs one seed: in a loop of its own, with the product's own chance and its logs in hand."""

import asyncio
import logging
import random as global_random
from typing import NamedTuple
from unittest.mock import patch

from gateway import worker as worker_module
from tests.simulation.socket import write_all
from tests.simulation.virtual_time import VirtualLoop
from tests.simulation.world import World


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


def simulate(seed: int) -> Outcome:
    """Runs one seed to its end, or to the first broken promise."""
    loop = VirtualLoop()
    handler = _Failures(loop)
    root = logging.getLogger()
    state = global_random.getstate()
    # The product's own jitter.
    global_random.seed(seed)
    root.addHandler(handler)
    world: World | None = None
    failure: BaseException | None = None
    try:
        with patch.object(worker_module, "write_all", write_all):

            async def everything() -> None:
                nonlocal world
                world = World(seed, loop)
                with world.chances.limits():
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


def _end(loop: VirtualLoop, world: World | None) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=30.0))
    if world is not None:
        loop.run_until_complete(world.close())
