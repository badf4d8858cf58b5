"""Question: does anything grow, or stay behind, while clients and subscriptions come and go?

`tickgate feeds` (sim) and `tickgate gateway`: clients that stay and change their subscriptions and
rates; clients that come, subscribe, listen for a few seconds and leave, one in four without a
goodbye. First a warm-up of forty minutes, until all that has a bound has reached it; models speak
after two or three minutes here instead of six, as they are told to wait for less. Then, for
`--seconds`, each process' RSS: how fast it grows, and to what that can be told (`bench.growth`).
Where the limit lies within that, a longer run has to tell: `make soak MINUTES=60`; a machine that
is busy with something else makes memory grow by what piles up when nobody gets a turn. Descriptors,
tasks, sessions and subscriptions are compared with those before, when nobody was there. Not shown:
what takes hours to grow by a page. `python -m bench.soak --seconds 600`
"""

import argparse
import asyncio
import contextlib
import math
import sys
import tempfile
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

from bench.cpu import OTHERS_CORE, SERVER_CORE, family, stay_off_the_server_core, waited_s
from bench.growth import Growth, growth_of
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
_WARM_UP_S: Final = 2_400.0
"""What has a bound and fills up to it: histories and pools of connections within seconds; what is
remembered of 16,384 numbers within two minutes; the ledger's pages in memory, by how many SQLite
keeps; the models' 120 to 170 candles, and then what each has said, within ten. The last are the
10,000 outcomes that grades know as counted: five a second here, 190 bytes each, which alone is
2 to 3 %/h of the feeds' RSS for half an hour (a census of a running process, 2026-11-22)."""
_SOON_HEARD: Final = {
    "TICKGATE_DERIVED_SIGNAL_ANOMALY_HISTORY": "120",
    "TICKGATE_DERIVED_SIGNAL_LEARNED_EXAMPLES": "100",
}
"""Half and a third of what they are: with these all models speak within the warm-up."""
_OPENING_S: Final = 10.0
_CALM_LIMIT_S: Final = 90.0
"""For what lingers to end: channels stay open for 30 s, sockets of who is gone until a ping."""
_SLOPE_MAX_PERCENT: Final = 1.0
_SLOPE_ASKED: Final = f"≤ {_SLOPE_MAX_PERCENT:g} %/h"
_TOLD_BY_ALL: Final = ("tickgate_tasks",)
_TOLD_BY_GATEWAY: Final = (
    "tickgate_sessions",
    "tickgate_subscriptions",
    "tickgate_outbox_sessions",
)
_ANSWER_LIMIT_S: Final = 10.0


class Soaked(msgspec.Struct, frozen=True):
    """One process, over the run."""

    process: str
    warm_up_mib: float
    """What it grew by in the warm-up."""
    growth: Growth
    """After that."""
    waited_percent: float
    """Of that time it could have run and had no core: what piles up meanwhile takes memory."""
    before: dict[str, float]
    after: dict[str, float]
    rss_mib: list[float]
    """Every ten seconds."""


class Watched:
    """A process by its admin listener and by /proc."""

    def __init__(self, name: str, process_id: int, port: int) -> None:
        self.name = name
        self._process_id = process_id
        self._port = port
        self.points: list[tuple[float, float]] = []
        self._waited_s: list[float] = []

    def look(self, now_s: float) -> None:
        words = Path(f"/proc/{self._process_id}/statm").read_text().split()
        self.points.append((now_s, int(words[1]) * 4_096.0))
        self._waited_s.append(waited_s(self._process_id))

    async def tell(self) -> dict[str, float]:
        """What is to be back at the start in the end."""
        wanted = _TOLD_BY_ALL + (_TOLD_BY_GATEWAY if self.name == "gateway" else ())
        page = await asyncio.to_thread(_page, self._port)
        descriptors = {"descriptors": _descriptors(self._process_id)}
        return descriptors | {name: page[name] for name in wanted}

    def soaked(self, before: dict[str, float], after: dict[str, float], warm_up_s: float) -> Soaked:
        counted = [point for point in self.points if point[0] >= warm_up_s]
        growth = growth_of(counted)
        warm_up_mib = growth.mib - self.points[0][1] / 2**20
        took_s = max(_LOOK_EVERY_S, counted[-1][0] - counted[0][0])
        waited = self._waited_s[-1] - self._waited_s[-len(counted)]
        sizes = [round(size / 2**20, 2) for _, size in self.points[::10]]
        return Soaked(self.name, warm_up_mib, growth, 100 * waited / took_s, before, after, sizes)


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


async def run(
    redis_url: str, data_dir: str, *, warm_up_s: float, seconds: float, seed: int
) -> tuple[list[Soaked], Churn]:
    async with Redis.from_url(redis_url) as redis:
        _, key = await KeyStore(redis, SystemClock()).create("bench", "unlimited")
    environ = environment(redis_url, ticks_per_s=_TICKS_PER_S, symbols=_SYMBOLS, seed=seed)
    # The ledger, which lasts, is nobody's but this run's.
    environ |= {"TICKGATE_DATA_DIR": data_dir, **_SOON_HEARD}
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
        await Clients(url, key, seed).run(min(_OPENING_S, seconds))
        before = [await _start(one) for one in watched]
        clients = Clients(url, key, seed)
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(_keep_looking(watched))
            await clients.run(warm_up_s + seconds)
            looking.cancel()
        after = [await _end(one, early) for one, early in zip(watched, before, strict=True)]
    told = zip(watched, before, after, strict=True)
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
    growth = one.growth
    if math.isnan(growth.percent_per_h):
        return Asked(f"soak: RSS of {one.process}", _SLOPE_ASKED, "too short to tell")
    told = f"{growth.percent_per_h:+.2f} ± {growth.error_percent_per_h:.2f} %/h"
    # Between the two a longer run would have to tell.
    is_above = growth.least_percent_per_h > _SLOPE_MAX_PERCENT
    met = True if growth.most_percent_per_h <= _SLOPE_MAX_PERCENT else False if is_above else None
    return Asked(f"soak: RSS of {one.process}", _SLOPE_ASKED, told, met)


def shown(soaked: Sequence[Soaked]) -> Table:
    table = Table("process", box=None, pad_edge=False)
    sizes = ("in the warm-up MiB", "RSS MiB", "then KiB", "%/h", "±")
    titles = (*sizes, "waited for a core %", "before", "after")
    for title in titles:
        table.add_column(title, justify="right")
    for one in soaked:
        growth = one.growth
        table.add_row(
            one.process,
            f"{one.warm_up_mib:+.1f}",
            f"{growth.mib:.1f}",
            f"{growth.grown_kib:+.0f}",
            f"{growth.percent_per_h:+.2f}",
            f"{growth.error_percent_per_h:.2f}",
            f"{one.waited_percent:.0f}",
            " ".join(f"{value:g}" for value in one.before.values()),
            " ".join(f"{value:g}" for value in one.after.values()),
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__.splitlines()[0])
    add_options(parser, seconds=600.0, repeats=1)
    parser.add_argument("--warm-up", type=float, default=_WARM_UP_S, help=f"[{_WARM_UP_S:g}]")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    stay_off_the_server_core()
    soaked: list[Soaked] = []
    rows: list[Asked] = []
    for _ in range(options.repeats):
        with (
            redis_server(OTHERS_CORE) as path,
            tempfile.TemporaryDirectory(prefix="tg-") as data_dir,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            told, churn = runner.run(
                run(
                    f"unix://{path}",
                    data_dir,
                    warm_up_s=options.warm_up,
                    seconds=options.seconds,
                    seed=options.seed,
                )
            )
        soaked += told
        rows += asked(told, churn)
        print(
            f"soak: {churn.connections} came and went, {churn.abrupt} of them without a goodbye;"
            f" {churn.subscriptions} changes, {churn.messages} messages; {churn.failures[:5]}"
        )
    screen = console()
    screen.print(*described(), sep="\n")
    screen.print(f"warm-up: {options.warm_up:g} s, counted after it: {options.seconds:g} s")
    screen.print(shown(soaked), table_of(rows), sep="\n")
    path_kept = keep("soak", __doc__, vars(options), soaked, rows, options.output)
    screen.print(f"written: {path_kept}")
    sys.exit(1 if any(row.met is False for row in rows) else 0)


if __name__ == "__main__":
    main()
