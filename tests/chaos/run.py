"""A run: a world is built, harmed fault by fault, brought to rest, and asked what came of it."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import msgspec

from feeds.market import Publication
from feeds.market.bus_names import log_key
from gateway.serve import listening_socket
from tests.chaos.faults import Planned, World, planned
from tests.chaos.ledger import Finding, Truth
from tests.chaos.parts import HOST, Feed, FeedTold, Gateway, RedisProcess
from tests.chaos.truth import CHANNELS, QUOTES, TRADES, Said, said_in
from tests.chaos.watcher import Wants, Watcher
from tests.proxy import proxy_to
from tests.until import until

_FLOW_LIMIT_S: Final = 40.0
"""Longer than anything that is promised: without live messages for so long, there are none."""
_REST_LIMIT_S: Final = 40.0
_START_LIMIT_S: Final = 60.0

_WANTS: Final[dict[str, tuple[int | None, str, Wants]]] = {
    # client: by which line (None: straight), encoding, channels and rates
    "all": (None, "json", [(TRADES, "all"), (QUOTES, "all")]),
    "trades": (0, "msgpack", [(TRADES, "all")]),
    "half": (1, "json", [(TRADES[:2], "all"), (QUOTES[:1], "latest")]),
    "latest": (1, "json", [(QUOTES, "latest")]),
    "timed": (0, "msgpack", [(QUOTES, "100ms")]),
    "wildcard": (None, "json", [(("trade:toy:*",), "all"), (("quote:toy:*",), "200ms")]),
}


class Options(NamedTuple):
    """Of a run."""

    faults: int
    seed: int
    ticks_per_s: float = 180.0
    haste: float = 1.0
    """What pauses within a fault are multiplied by."""
    eager: bool = False
    """Whether clients come back at once, without jitter."""
    in_turn: bool = True
    """Whether each fault waits until everything flows again after the one before it."""


class Came(NamedTuple):
    """What came of one fault."""

    name: str
    harm_s: float
    first_s: float
    """From the end of the harm to the first client with live messages on all its channels."""
    last_s: float
    """The same of the last client."""


class Outcome(NamedTuple):
    """What came of a run."""

    seed: int
    came: list[Came]
    messages: int
    counts: dict[str, int]
    repeated: int
    """What the reference client dropped as it came a second time."""
    runs: int
    """Of the feed."""
    dropped: int
    """By the last run's feed, as its buffer was full."""
    findings: list[Finding]


class _Eager(Random):
    def random(self) -> float:
        return 0.0


async def run(options: Options, directory: Path, say: Callable[[str], None]) -> Outcome:
    plan = planned(options.faults, options.seed)
    async with _world(options, directory) as world:
        came, findings = [], []
        for one in plan:
            say(f"{one.number}/{len(plan)} {one.name}")
            done, lacking = await _harmed(world, one, wait=options.in_turn)
            findings += [Finding("stuck", name, "", f"after {one.name}") for name in lacking]
            came.append(done)
            if options.in_turn:
                say(
                    f"    {done.harm_s:.1f} s, then flow after {done.first_s:.2f}"
                    f" to {done.last_s:.2f} s"
                )
            for found in _news(world, findings):
                say(f"    FOUND {found}")
            if world.gateway.gave_up:
                findings.append(Finding("ended", "gateway", "", "its supervisor gave up"))
                await world.gateway.start()
        told = await _rested(world, findings)
        return _outcome(options.seed, world, came, told, findings)


@contextlib.asynccontextmanager
async def _world(options: Options, directory: Path) -> AsyncIterator[World]:
    redis = RedisProcess(directory)
    truth = Truth()
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(redis.client)
        stack.push_async_callback(redis.kill)
        await redis.start()
        bus = await stack.enter_async_context(proxy_to(redis.socket))
        feed_bus = await stack.enter_async_context(proxy_to(redis.socket))
        feed = Feed(directory, feed_bus.port, options.ticks_per_s)
        stack.push_async_callback(feed.kill)
        await feed.start()
        await _all_known(redis)
        # Also while no gateway runs nobody else is given its port.
        kept = stack.enter_context(listening_socket(HOST, 0, shared=True))
        gateway = Gateway(directory, bus.port, kept.getsockname()[1])
        stack.push_async_callback(gateway.kill)
        await gateway.start()
        lines = [await stack.enter_async_context(proxy_to(gateway.port)) for _ in range(2)]
        watchers = {name: Watcher(name, truth, redis.client) for name in _WANTS}
        world = World(
            redis, gateway, feed, bus, feed_bus, tuple(lines), tuple(watchers.values()),
            options.haste,
        )  # fmt: skip
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_watching(world, watchers[name], number, options))
                for number, name in enumerate(_WANTS)
            ]
            async with asyncio.timeout(_START_LIMIT_S):
                for watcher in watchers.values():
                    await watcher.ready.wait()
            try:
                yield world
            finally:
                for task in tasks:
                    task.cancel()


async def _watching(world: World, watcher: Watcher, number: int, options: Options) -> None:
    line, encoding, wants = _WANTS[watcher.ledger.client]
    port = world.gateway.port if line is None else world.lines[line].port
    random = _Eager() if options.eager else Random(options.seed * 100 + number)
    url = f"ws://{HOST}:{port}/v1/stream"
    await watcher.run(url, world.gateway.token, wants, encoding=encoding, random=random)


async def _all_known(redis: RedisProcess) -> None:
    """Every channel has begun: acks tell its epoch from the first one on."""
    async with asyncio.timeout(_START_LIMIT_S):
        keys = [log_key(name) for name in CHANNELS]
        while await redis.client.exists(*keys) < len(keys):  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.02)


async def _harmed(world: World, one: Planned, *, wait: bool) -> tuple[Came, list[str]]:
    """What came of it; who has no live messages even long after it."""
    began_s = time.monotonic()
    await one.harm(world)
    healed_s = time.monotonic()
    for watcher in world.watchers:
        watcher.await_fresh()
    lacking: list[str] = []
    if wait:
        with contextlib.suppress(TimeoutError):
            await until(lambda: all(one.flow() for one in world.watchers), _FLOW_LIMIT_S)
        lacking = [
            f"{one.ledger.client} {one.lacking()}" for one in world.watchers if not one.flow()
        ]
    flows = [flow.last_s - healed_s for one in world.watchers if (flow := one.flow())]
    first_s, last_s = (min(flows), max(flows)) if flows else (0.0, 0.0)
    return Came(one.name, healed_s - began_s, first_s, last_s), lacking


def _news(world: World, told: list[Finding]) -> list[Finding]:
    """What clients have found since the last time."""
    news = [found for one in world.watchers for found in one.findings]
    for one in world.watchers:
        one.findings.clear()
    told += news
    return news


async def _rested(world: World, findings: list[Finding]) -> FeedTold:
    """The feed has said its last, and everybody has heard it; or is found to lack it."""
    told = await world.feed.stop()
    heads = {name: await _head(world.redis, name) for name in CHANNELS}
    for name, (_, _, said) in heads.items():
        if said != Said(told.run, told.last[name]):
            findings.append(Finding("lost", "bus", name, f"at {said}, but {told} was said"))

    def lacking() -> list[Finding]:
        return [
            Finding("lost", one.ledger.client, name, f"at {at} instead of {heads[name]}")
            for one in world.watchers
            for name, place in one.ledger.places.items()
            if (at := (place.epoch, place.seq, place.said)) != heads[name]
        ]

    try:
        await until(lambda: not lacking(), _REST_LIMIT_S)
    except TimeoutError:
        findings += lacking()
    return told


async def _head(redis: RedisProcess, channel: str) -> tuple[str | None, int, Said | None]:
    """A channel's newest message: its epoch, its seq, and what was said."""
    newest = await redis.client.xrevrange(log_key(channel), count=1)
    publication = Publication.decode(newest[0][1][b"m"])
    said = said_in(msgspec.json.decode(publication.payload))
    return publication.epoch, publication.seq, said


def _outcome(
    seed: int, world: World, came: list[Came], told: FeedTold, findings: list[Finding]
) -> Outcome:
    _news(world, findings)
    counts: dict[str, int] = {}
    for watcher in world.watchers:
        for name, count in watcher.ledger.counts.items():
            counts[name] = counts.get(name, 0) + count
    return Outcome(
        seed=seed,
        came=came,
        messages=sum(one.ledger.messages for one in world.watchers),
        counts=dict(sorted(counts.items())),
        repeated=sum(one.repeated for one in world.watchers),
        runs=told.run,
        dropped=told.dropped,
        findings=findings,
    )


def new_seed() -> int:
    return int.from_bytes(os.urandom(3), "big")


def by_name(came: Sequence[Came]) -> dict[str, list[Came]]:
    """Pairs under a name of their own."""
    found: dict[str, list[Came]] = {}
    for one in sorted(came, key=lambda one: one.name):
        name = "two at once" if " + " in one.name else one.name
        found.setdefault(name, []).append(one)
    return found
