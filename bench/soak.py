"""Question: does anything grow, or stay behind, while clients and subscriptions come and go?

`tickgate feeds` (sim) and `tickgate gateway`, and for some minutes: clients that stay and change
their subscriptions and rates; clients that come, subscribe, listen for a few seconds and leave, one
in four without a goodbye. Each process' RSS is fitted by a straight line after the warm-up, told
per hour with twice its standard error; where the limit lies within that, a longer run would have
to tell. Descriptors, tasks, sessions and subscriptions are compared with those before, when nobody
was there. Not shown: what takes hours to grow by a page. `python -m bench.soak --seconds 600`
"""

import argparse
import asyncio
import contextlib
import math
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from rich.table import Table

from bench.cpu import OTHERS_CORE, SERVER_CORE, family, stay_off_the_server_core
from bench.processes import environment, ready, started
from bench.setting import described, redis_server
from bench.soak_clients import Churn, Clients
from bench.verdict import Asked, add_options, at_most, console, keep, table_of
from feeds.market import SystemClock
from gateway.access.key_store import KeyStore
from gateway.serve import listening_socket

_SYMBOLS: Final = 40
_TICKS_PER_S: Final = 400.0
_LOOK_EVERY_S: Final = 1.0
_LOOKS: Final = 5
_WARM_UP_SHARE: Final = 0.4
"""Of the run: histories fill, pools of connections and of memory grow to what the load needs."""
_POINTS_LEAST: Final = 5
_OPENING_SHARE: Final = 0.05
_CALM_LIMIT_S: Final = 90.0
"""For what lingers to end: channels stay open for 30 s, sockets of who is gone until a ping."""
_SLOPE_MAX_PERCENT: Final = 1.0
_TOLD_BY_ALL: Final = ("tickgate_tasks",)
_TOLD_BY_GATEWAY: Final = (
    "tickgate_sessions",
    "tickgate_subscriptions",
    "tickgate_outbox_sessions",
)
_ANSWER_LIMIT_S: Final = 10.0


class Line(msgspec.Struct, frozen=True):
    """A straight line through a process' RSS."""

    mib: float
    """At the warm-up's end."""
    percent_per_h: float
    error_percent_per_h: float
    """Twice the standard error of the slope."""


class Soaked(msgspec.Struct, frozen=True):
    """One process, over the run."""

    process: str
    line: Line
    before: dict[str, float]
    after: dict[str, float]
    rss_mib: list[float]
    """Every ten seconds."""


def fitted(points: Sequence[tuple[float, float]]) -> Line:
    """Least squares through (seconds, bytes)."""
    times, sizes = zip(*points, strict=True)
    if len(points) < _POINTS_LEAST:
        return Line(sizes[0] / 2**20, math.nan, math.nan)
    slope, intercept = statistics.linear_regression(times, sizes)
    rests = [size - intercept - slope * time_s for time_s, size in points]
    spread = sum((time_s - statistics.fmean(times)) ** 2 for time_s in times)
    error = math.sqrt(sum(rest**2 for rest in rests) / (len(points) - 2) / spread)
    # Neighbouring readings are alike: so many count for less, by their autocorrelation.
    if len(set(rests)) > 1:
        likeness = min(0.99, max(0.0, statistics.correlation(rests[:-1], rests[1:])))
        error *= math.sqrt((1 + likeness) / (1 - likeness))
    start = intercept + slope * times[0]
    per_h = 3_600 * 100 / start
    return Line(start / 2**20, slope * per_h, 2 * error * per_h)


class Watched:
    """A process by its admin listener and by /proc."""

    def __init__(self, name: str, process_id: int, port: int) -> None:
        self.name = name
        self._process_id = process_id
        self._port = port
        self.points: list[tuple[float, float]] = []

    def look(self, now_s: float) -> None:
        words = Path(f"/proc/{self._process_id}/statm").read_text().split()
        self.points.append((now_s, int(words[1]) * 4_096.0))

    async def tell(self) -> dict[str, float]:
        """What is to be back at the start in the end."""
        wanted = _TOLD_BY_ALL + (_TOLD_BY_GATEWAY if self.name == "gateway" else ())
        page = await asyncio.to_thread(_page, self._port)
        descriptors = {"descriptors": _descriptors(self._process_id)}
        return descriptors | {name: page[name] for name in wanted}

    def soaked(self, before: dict[str, float], after: dict[str, float], warm_up_s: float) -> Soaked:
        counted = [point for point in self.points if point[0] >= warm_up_s]
        sizes = [round(size / 2**20, 2) for _, size in self.points[::10]]
        return Soaked(self.name, fitted(counted), before, after, sizes)


def _descriptors(process_id: int) -> float:
    """Without those to Redis: redis-py keeps as many as were ever needed at once."""
    sockets = Path("/proc/net/unix").read_text().splitlines()[1:]
    to_redis = {f"socket:[{line.split()[6]}]" for line in sockets}
    count = 0
    for one in Path(f"/proc/{process_id}/fd").iterdir():
        # It may have been closed since it was listed.
        with contextlib.suppress(FileNotFoundError):
            count += str(one.readlink()) not in to_redis
    return float(count)


def _page(port: int) -> dict[str, float]:
    connection = HTTPConnection("127.0.0.1", port, timeout=_ANSWER_LIMIT_S)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    families = text_string_to_metric_families(text)
    return {sample.name: sample.value for family in families for sample in family.samples}


async def run(redis_url: str, seconds: float, seed: int) -> tuple[list[Soaked], Churn]:
    async with Redis.from_url(redis_url) as redis:
        _, key = await KeyStore(redis, SystemClock()).create("bench", "unlimited")
    environ = environment(redis_url, ticks_per_s=_TICKS_PER_S, symbols=_SYMBOLS, seed=seed)
    # The feeds' listener has this port, and the gateway's the next one.
    admin_port = _free_pair()
    environ["TICKGATE_ADMIN_PORT"] = str(admin_port)
    async with (
        started("feeds", environ, OTHERS_CORE) as feeds,
        started("gateway", environ, SERVER_CORE) as gateway,
    ):
        url = await ready(gateway)
        watched = [
            Watched("feeds", feeds.pid, admin_port),
            Watched("gateway", family(gateway.pid)[1], admin_port + 1),
        ]
        # Those who come first open what stays open: connections to Redis, above all.
        await Clients(url, key, seed).run(max(2.0, seconds * _OPENING_SHARE))
        before = [await _start(one) for one in watched]
        clients = Clients(url, key, seed)
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(_keep_looking(watched))
            await clients.run(seconds)
            looking.cancel()
        after = [await _end(one, early) for one, early in zip(watched, before, strict=True)]
    told = zip(watched, before, after, strict=True)
    warm_up_s = seconds * _WARM_UP_SHARE
    return [one.soaked(early, late, warm_up_s) for one, early, late in told], clients.churn


async def _keep_looking(watched: Sequence[Watched]) -> None:
    began_s = time.monotonic()
    while True:
        for one in watched:
            one.look(time.monotonic() - began_s)
        await asyncio.sleep(_LOOK_EVERY_S)


async def _start(one: Watched) -> dict[str, float]:
    """The least of some looks: while nobody is there."""
    told = [await one.tell()]
    while len(told) < _LOOKS:
        await asyncio.sleep(_LOOK_EVERY_S)
        told.append(await one.tell())
    return {name: min(look[name] for look in told) for name in told[0]}


async def _end(one: Watched, early: Mapping[str, float]) -> dict[str, float]:
    """What it tells once that is no more than it was early, or after a while."""
    deadline_s = time.monotonic() + _CALM_LIMIT_S
    while True:
        told = await one.tell()
        if time.monotonic() >= deadline_s or all(told[name] <= early[name] for name in told):
            return told
        await asyncio.sleep(_LOOK_EVERY_S)


def _free_pair() -> int:
    """A port that is free, as the next one is."""
    while True:
        with listening_socket("127.0.0.1", 0) as first:
            port: int = first.getsockname()[1]
            with contextlib.suppress(OSError), listening_socket("127.0.0.1", port + 1):
                return port


def asked(soaked: Sequence[Soaked], churn: Churn) -> list[Asked]:
    rows = []
    for one in soaked:
        rows.append(_growth(one))
        grown = {name: one.after[name] - early for name, early in one.before.items()}
        for name, by in grown.items():
            rows.append(at_most(f"soak: {one.process}, {name}, more than before", by, 0, ""))
    rows.append(at_most("soak: clients that failed", len(churn.failures), 0, ""))
    return rows


def _growth(one: Soaked) -> Asked:
    line = one.line
    least = line.percent_per_h - line.error_percent_per_h
    most = line.percent_per_h + line.error_percent_per_h
    told = f"{line.percent_per_h:+.2f} ± {line.error_percent_per_h:.2f} %/h"
    # Between the two a longer run would have to tell.
    met = True if most <= _SLOPE_MAX_PERCENT else False if least > _SLOPE_MAX_PERCENT else None
    return Asked(f"soak: RSS of {one.process}", f"≤ {_SLOPE_MAX_PERCENT:g} %/h", told, met)


def shown(soaked: Sequence[Soaked]) -> Table:
    table = Table("process", box=None, pad_edge=False)
    for title in ("RSS MiB", "%/h", "± (2 standard errors)", "before", "after"):
        table.add_column(title, justify="right")
    for one in soaked:
        line = one.line
        table.add_row(
            one.process,
            f"{line.mib:.1f}",
            f"{line.percent_per_h:+.2f}",
            f"{line.error_percent_per_h:.2f}",
            " ".join(f"{value:g}" for value in one.before.values()),
            " ".join(f"{value:g}" for value in one.after.values()),
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__.splitlines()[0])
    add_options(parser, seconds=600.0, repeats=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    stay_off_the_server_core()
    soaked: list[Soaked] = []
    rows: list[Asked] = []
    for _ in range(options.repeats):
        with (
            redis_server(OTHERS_CORE) as path,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            told, churn = runner.run(run(f"unix://{path}", options.seconds, options.seed))
        soaked += told
        rows += asked(told, churn)
        print(
            f"soak: {churn.connections} came and went, {churn.abrupt} of them without a goodbye;"
            f" {churn.subscriptions} changes, {churn.messages} messages; {churn.failures[:5]}"
        )
    screen = console()
    screen.print(*described(), sep="\n")
    screen.print(shown(soaked), table_of(rows), sep="\n")
    path_kept = keep("soak", __doc__, vars(options), soaked, rows, options.output)
    screen.print(f"written: {path_kept}")
    sys.exit(1 if any(row.met is False for row in rows) else 0)


if __name__ == "__main__":
    main()
