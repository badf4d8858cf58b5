"""The table of faults. Each is one coroutine that harms, and returns when the harm is over.

What it does is drawn from its own Random: the same seed does the same, as far as processes let it.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, Literal, NamedTuple

from redis.exceptions import RedisError

from tests.chaos.parts import Feed, Gateway, RedisProcess, resume, suspend
from tests.chaos.watcher import Watcher
from tests.proxy import Proxy, Way
from tests.until import is_gone, until

_END_LIMIT_S: Final = 30.0

Victim = Literal["gateway", "feed", "redis", "bus", "feed's bus", "line", "client", "all"]


class World(NamedTuple):
    """All that can be harmed."""

    redis: RedisProcess
    gateway: Gateway
    feed: Feed
    bus: Proxy
    """Between gateway and Redis."""
    feed_bus: Proxy
    """Between feed and Redis."""
    lines: tuple[Proxy, ...]
    """Between clients and gateway."""
    watchers: tuple[Watcher, ...]
    haste: float
    """What every pause is multiplied by."""

    async def pause(self, random: Random, least_s: float, most_s: float) -> None:
        await asyncio.sleep(random.uniform(least_s, most_s) * self.haste)


class Fault(NamedTuple):
    """One row."""

    name: str
    victim: Victim
    weight: int
    harm: Callable[[World, Random], Awaitable[None]]


async def _kill_worker(world: World, random: Random) -> None:
    await _lose_worker(world, random, signal.SIGKILL)


async def _end_worker(world: World, random: Random) -> None:
    await _lose_worker(world, random, signal.SIGTERM)


async def _lose_worker(world: World, random: Random, number: signal.Signals) -> None:
    workers = world.gateway.workers()
    if not workers or not world.gateway.may_lose_one():
        await _kill_gateway(world, random)
        return
    worker = random.choice(workers)
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker, number)
    # One that is asked to end sends its clients away first.
    await until(lambda: is_gone(worker), _END_LIMIT_S)


async def _kill_gateway(world: World, random: Random) -> None:
    await world.gateway.kill()
    await world.pause(random, 0, 1)
    await world.gateway.start()


async def _stop_worker(world: World, random: Random) -> None:
    workers = world.gateway.workers()
    worker = random.choice(workers) if workers else 0
    await _stop(world, random, worker)


async def _kill_feed(world: World, random: Random) -> None:
    await world.feed.kill()
    # What is still on the way must not come after what the next one says.
    world.feed_bus.cut()
    await world.pause(random, 0, 1)
    await world.feed.start()


async def _stop_feed(world: World, random: Random) -> None:
    await _stop(world, random, world.feed.process.pid if world.feed.process else 0)


async def _stop_redis(world: World, random: Random) -> None:
    await _stop(world, random, world.redis.process.pid if world.redis.process else 0)


async def _stop(world: World, random: Random, pid: int) -> None:
    pids = (pid,) if pid else ()
    suspend(*pids)
    try:
        await world.pause(random, 0.2, 5)
    finally:
        resume(*pids)


async def _restart_redis(world: World, random: Random) -> None:
    await world.redis.kill()
    await world.pause(random, 0, 3)
    await world.redis.start()


async def _kill_everything(world: World, random: Random) -> None:
    """A machine that crashed: Redis remembers what it had told."""
    await asyncio.gather(world.gateway.kill(), world.feed.kill(), world.redis.kill())
    await world.redis.start()
    world.feed_bus.cut()
    await world.pause(random, 0, 1)
    await asyncio.gather(world.feed.start(), world.gateway.start())


async def _restart_redis_empty(world: World, random: Random) -> None:
    await world.redis.kill()
    world.redis.forget()
    await world.pause(random, 0, 3)
    await world.redis.start()


async def _restart_redis_from_backup(world: World, random: Random) -> None:
    world.redis.keep()
    await world.pause(random, 0.5, 3)
    await world.redis.kill()
    world.redis.recall()
    await world.pause(random, 0, 1)
    await world.redis.start()


async def _flush_all(world: World, _: Random) -> None:
    await _ask_redis(world, "FLUSHALL")


async def _kill_subscribers(world: World, _: Random) -> None:
    await _ask_redis(world, "CLIENT", "KILL", "TYPE", "pubsub")


async def _kill_clients(world: World, _: Random) -> None:
    await _ask_redis(world, "CLIENT", "KILL", "TYPE", "normal")


async def _ask_redis(world: World, *words: str) -> None:
    """Another fault may have it away: then this one is none."""
    with contextlib.suppress(RedisError, OSError, TimeoutError):
        async with asyncio.timeout(2):
            await world.redis.client.execute_command(*words)


async def _reset_bus(world: World, _: Random) -> None:
    world.bus.cut()


async def _reset_feed_bus(world: World, _: Random) -> None:
    world.feed_bus.cut()


async def _half_open_bus(world: World, random: Random) -> None:
    await _half_open(world, random, world.bus)


async def _half_open_feed_bus(world: World, random: Random) -> None:
    await _half_open(world, random, world.feed_bus)


async def _half_open(world: World, random: Random, line: Proxy) -> None:
    """Connections of now never hear a word again; new ones work."""
    line.requests.is_dropping = line.answers.is_dropping = True
    line.requests, line.answers = Way(), Way()
    await world.pause(random, 0, 1)


async def _chop_bus(world: World, random: Random) -> None:
    await _chop(world, random, world.bus)


async def _stall_bus(world: World, random: Random) -> None:
    await _stall(world, random, world.bus)


async def _chop_feed_bus(world: World, random: Random) -> None:
    await _chop(world, random, world.feed_bus)


async def _chop(world: World, random: Random, line: Proxy) -> None:
    line.requests.piece_bytes = line.answers.piece_bytes = random.choice((5, 17, 61, 509))
    try:
        await world.pause(random, 0.5, 2)
    finally:
        line.requests.piece_bytes = line.answers.piece_bytes = 0


async def _stall(world: World, random: Random, line: Proxy) -> None:
    line.stall()
    try:
        await world.pause(random, 0.3, 5)
    finally:
        line.flow()


async def _reset_line(world: World, random: Random) -> None:
    random.choice(world.lines).cut()


async def _half_open_line(world: World, random: Random) -> None:
    await _half_open(world, random, random.choice(world.lines))


async def _chop_line(world: World, random: Random) -> None:
    await _chop(world, random, random.choice(world.lines))


async def _stall_line(world: World, random: Random) -> None:
    await _stall(world, random, random.choice(world.lines))


async def _stall_client(world: World, random: Random) -> None:
    flowing = random.choice(world.watchers).flowing
    flowing.clear()
    try:
        await world.pause(random, 1, 20)
    finally:
        flowing.set()


FAULTS: Final = (
    Fault("gateway worker SIGKILL", "gateway", 3, _kill_worker),
    Fault("gateway worker SIGTERM", "gateway", 2, _end_worker),
    Fault("gateway worker SIGSTOP", "gateway", 3, _stop_worker),
    Fault("whole gateway SIGKILL", "gateway", 2, _kill_gateway),
    Fault("feed SIGKILL", "feed", 2, _kill_feed),
    Fault("feed SIGSTOP", "feed", 2, _stop_feed),
    Fault("Redis SIGSTOP", "redis", 3, _stop_redis),
    Fault("Redis restart, memory kept", "redis", 3, _restart_redis),
    Fault("Redis restart, memory lost", "redis", 3, _restart_redis_empty),
    Fault("Redis restart, from a backup", "redis", 2, _restart_redis_from_backup),
    Fault("FLUSHALL", "redis", 2, _flush_all),
    Fault("everything SIGKILL", "all", 1, _kill_everything),
    Fault("CLIENT KILL pubsub", "bus", 2, _kill_subscribers),
    Fault("CLIENT KILL normal", "bus", 2, _kill_clients),
    Fault("bus reset", "bus", 2, _reset_bus),
    Fault("bus half-open", "bus", 3, _half_open_bus),
    Fault("bus chopped", "bus", 2, _chop_bus),
    Fault("bus stalled", "bus", 2, _stall_bus),
    Fault("feed's bus reset", "feed's bus", 2, _reset_feed_bus),
    Fault("feed's bus half-open", "feed's bus", 2, _half_open_feed_bus),
    Fault("feed's bus chopped", "feed's bus", 1, _chop_feed_bus),
    Fault("client reset", "line", 2, _reset_line),
    Fault("client half-open", "line", 2, _half_open_line),
    Fault("client chopped", "line", 2, _chop_line),
    Fault("client line stalled", "line", 2, _stall_line),
    Fault("client stalled", "client", 2, _stall_client),
)


class Planned(NamedTuple):
    """Faults that happen at once: one, or two of different victims."""

    number: int
    faults: tuple[Fault, ...]
    seed: str

    @property
    def name(self) -> str:
        return " + ".join(fault.name for fault in self.faults)

    async def harm(self, world: World) -> None:
        """Returns when all is healed."""
        async with asyncio.TaskGroup() as group:
            for fault in self.faults:
                group.create_task(_done(fault, world, Random(f"{self.seed} {fault.name}")))


async def _done(fault: Fault, world: World, random: Random) -> None:
    await fault.harm(world, random)


_AT_ONCE: Final = 0.2
"""The share of pairs."""


def planned(count: int, seed: int) -> list[Planned]:
    """`count` faults; every kind comes before any comes twice, where they suffice."""
    random = Random(seed)
    weights = [fault.weight for fault in FAULTS]
    order = random.sample(FAULTS, len(FAULTS))[:count]
    order += random.choices(FAULTS, weights, k=count - len(order))
    random.shuffle(order)
    plan: list[Planned] = []
    while order:
        faults = (order.pop(),)
        if order and random.random() < _AT_ONCE and _may_meet(faults[0], order[-1]):
            faults = (*faults, order.pop())
        plan.append(Planned(len(plan) + 1, faults, f"{seed}-{len(plan) + 1}"))
    return plan


def _may_meet(one: Fault, other: Fault) -> bool:
    return one.victim != other.victim and "all" not in (one.victim, other.victim)
