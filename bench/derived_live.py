"""Question: does one process on one core carry 500 pairs x 5 venues, and publish all of it?

Ticks made up beforehand are offered when they are due, to the sink that the feeds process has:
they and what is derived of them go to a real Redis on the other core. No venue's socket, no models
but by --models. CPU time and memory; Redis' CPU, too. `python -m bench.derived_live`.
"""

import argparse
import asyncio
import contextlib
import gc
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop
from redis.asyncio import Redis
from rich.table import Table

from bench.cpu import OTHERS_CORE, SERVER_CORE, cpu_s
from bench.derived import Load, batches, market
from bench.resident import resident_kib
from bench.setting import redis_server
from bench.verdict import Asked, add_options, at_most, console, keep, table_of
from feeds.derived import DERIVATIONS
from feeds.derived.settings import DerivedSettings
from feeds.derived.signal_settings import SignalSettings
from feeds.deriving.derived_feed import DerivedFeed
from feeds.market import SystemClock, Tick
from feeds.publisher import Publisher
from feeds.settings import PublisherSettings

_WARM_UP: Final = 0.25
"""Of the ticks, which are not counted: channels are made then."""
_LEAD_US: Final = 2_000_000


class Running(msgspec.Struct):
    """What the run has come to so far."""

    offered: int = 0
    late_s: float = 0.0
    waiting_max: int = 0
    held_max: int = 0


async def run(load: Load, models: Sequence[str]) -> dict[str, Any]:
    """One run, on the server's core."""
    clock = SystemClock()
    settings = DerivedSettings(signal=SignalSettings(models=tuple(models)))
    with redis_server(OTHERS_CORE) as path, tempfile.TemporaryDirectory() as directory:
        os.sched_setaffinity(0, {SERVER_CORE})
        async with Redis.from_url(f"unix://{path}") as redis, asyncio.TaskGroup() as group:
            publisher = Publisher(redis, PublisherSettings(), clock)
            feed = DerivedFeed(
                DERIVATIONS,
                settings,
                [f"v{venue}" for venue in range(load.venues)],
                publisher,
                redis,
                clock=clock,
                ledger=Path(directory) / "ledger.sqlite",
            )
            await feed.load()
            tasks = [group.create_task(publisher.run()), group.create_task(feed.run())]
            redis_id = (await redis.info("server"))["process_id"]
            told = await _played(load, feed, publisher, redis_id)
            for task in tasks:
                task.cancel()
    return told


async def _played(
    load: Load, feed: DerivedFeed, publisher: Publisher, redis_id: int
) -> dict[str, Any]:
    start_us = time.time_ns() // 1_000 + _LEAD_US + round(load.seconds * load.ticks_per_s * 15)
    due = list(batches(list(market(load, start_us)), start_us))
    gc.collect()
    gc.freeze()
    running = Running()
    first_kib = resident_kib()
    warm_up = round(len(due) * _WARM_UP)
    await _offer(due[:warm_up], feed, publisher, running)
    before = cpu_s(os.getpid()), publisher.counts.published, running.offered, time.monotonic()
    redis_before_s = cpu_s(redis_id)
    running.late_s, running.waiting_max, running.held_max = 0.0, 0, 0
    await _offer(due[warm_up:], feed, publisher, running)
    span_s = time.monotonic() - before[3]
    spent_s = cpu_s(os.getpid()) - before[0]
    redis_s = cpu_s(redis_id) - redis_before_s
    published = publisher.counts.published - before[1]
    ticks = running.offered - before[2]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):
            await feed.drain()
    return {
        "core": spent_s / span_s,
        "ticks_per_s": ticks / span_s,
        "published_per_s": published / span_s,
        "us_per_tick": spent_s / ticks * 1e6,
        "redis_us_per_tick": redis_s / ticks * 1e6,
        "late_ms": running.late_s * 1e3,
        "waiting_ticks_max": running.waiting_max,
        "unpublished_max": running.held_max,
        "dropped": publisher.counts.dropped,
        "restarts": feed.counts.restarts,
        "resident_mib": resident_kib() / 1_024,
        "grown_mib": (resident_kib() - first_kib) / 1_024,
        "told": dict(feed.counts.told),
    }


async def _offer(
    due: Sequence[tuple[int, list[Tick]]],
    feed: DerivedFeed,
    publisher: Publisher,
    running: Running,
) -> None:
    """Open loop: what is late is offered all the same, and how late is told."""
    for at_us, ticks in due:
        ahead_s = at_us / 1e6 - time.time()
        await asyncio.sleep(max(0.0, ahead_s))
        running.late_s = max(running.late_s, -ahead_s)
        feed.offer(ticks)
        running.offered += len(ticks)
        running.waiting_max = max(running.waiting_max, feed.waiting_ticks)
        running.held_max = max(running.held_max, publisher.waiting_ticks)


def asked(runs: Sequence[dict[str, Any]], load: Load) -> list[Asked]:
    """The worst run counts."""
    what = f"{load.pairs} pairs x {load.venues} venues at {load.ticks_per_s:,.0f} ticks/s"
    return [
        at_most(f"{what}: share of a core, published", max(one["core"] for one in runs), 1.0, ""),
        at_most("ticks dropped", max(one["dropped"] for one in runs), 0, ""),
        at_most("begun again, too slow", max(one["restarts"] for one in runs), 0, ""),
    ]


def show(runs: Sequence[dict[str, Any]]) -> None:
    table = Table(
        "core",
        "µs a tick",
        "Redis' µs",
        "ticks/s",
        "published/s",
        "late ms",
        "waiting",
        "MiB",
        box=None,
    )
    for one in runs:
        table.add_row(
            f"{one['core']:.0%}",
            f"{one['us_per_tick']:.1f}",
            f"{one['redis_us_per_tick']:.1f}",
            f"{one['ticks_per_s']:,.0f}",
            f"{one['published_per_s']:,.0f}",
            f"{one['late_ms']:.0f}",
            f"{one['waiting_ticks_max']:,}",
            f"{one['resident_mib']:.0f}",
        )
    console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.derived_live", description=__doc__)
    add_options(parser, seconds=20)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--venues", type=int, default=5)
    parser.add_argument("--ticks-per-s", type=float, default=10_000)
    parser.add_argument("--models", default="", help="comma separated; none: prices and candles")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    load = Load(given.pairs, given.venues, given.ticks_per_s, given.seconds, given.seed)
    models = [name for name in given.models.split(",") if name]
    runs: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for _ in range(given.repeats):
            runs.append(runner.run(run(load, models)))
            show(runs[-1:])
    rows = asked(runs, load)
    console().print(table_of(rows))
    path = keep("derived_live", __doc__.partition("\n")[0], vars(given), runs, rows, given.output)
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
