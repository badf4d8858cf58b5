"""Question: how evenly do connections spread over `--workers N`, and what do more workers bring?

1,000 subscribers of one channel on the real `tickgate gateway --workers N`, whose workers share the
port by SO_REUSEPORT: the kernel chooses by a hash of the addresses. Workers, clients, publisher and
Redis share all cores: with few of them, more workers can't bring much. `python -m bench.workers`.
"""

import argparse
import asyncio
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import uvloop
from redis.asyncio import Redis
from rich.table import Table

from bench.cpu import cpu_s, family
from bench.fanout.figures import Spread
from bench.fanout.loads import channel
from bench.fanout.publish import Published
from bench.load.client import Heard, LoadClient, compiled
from bench.processes import REPOSITORY, environment, ready, started
from bench.setting import described, redis_server
from bench.verdict import Asked, add_options, at_most, console, keep, table_of
from feeds.market import SystemClock
from feeds.market.bus_names import DIRECTORY_KEY
from gateway.access.key_store import KeyStore

_PATIENCE_S: Final = 20.0
_ESTABLISHED: Final = "01"
_DEVIATION_MAX: Final = 25.0
"""Percent off the mean, beyond which the kernel's choice would not do."""


def connections_of(process_ids: Sequence[int], port: int) -> dict[int, int]:
    """How many connections to a local port each process holds; who holds none is left out."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == _ESTABLISHED and int(words[1].partition(":")[2], 16) == port:
            inodes.add(f"socket:[{words[9]}]")
    held = dict.fromkeys(process_ids, 0)
    for one in process_ids:
        for descriptor in Path(f"/proc/{one}/fd").iterdir():
            try:
                held[one] += str(descriptor.readlink()) in inodes
            except FileNotFoundError:
                continue  # Closed meanwhile.
    return {one: count for one, count in held.items() if count}


async def _prepared(redis_url: str) -> str:
    async with Redis.from_url(redis_url) as redis:
        await redis.sadd(DIRECTORY_KEY, channel(0))
        return (await KeyStore(redis, SystemClock()).create("bench", "unlimited"))[1]


async def run(
    program: str, workers: int, connections: int, rates: Sequence[float], seconds: float
) -> dict[str, Any]:
    """One gateway; its load at each of the rates, with new connections each time."""
    with redis_server() as path:
        redis_url = f"unix://{path}"
        key = await _prepared(redis_url)
        environ = environment(redis_url, ticks_per_s=1, symbols=1, seed=1)
        environ["TICKGATE_GATEWAY_WORKERS"] = str(workers)
        environ["TICKGATE_ADMIN_ENABLED"] = "false"
        async with started("gateway", environ) as gateway:
            port = urlsplit(await ready(gateway)).port or 0
            spreads, loads = [], []
            for rate in rates:
                client = LoadClient(
                    port=port,
                    key=key,
                    connections=connections,
                    expected=round(rate * seconds) * connections,
                    limit_s=seconds + _PATIENCE_S,
                )
                one = await _heard(client.command(program), gateway.pid, path, rate, seconds, port)
                spreads.append(one.pop("spread"))
                loads.append(one)
    return {"workers": workers, "spreads": spreads, "loads": loads}


async def _heard(
    command: Sequence[str], gateway_id: int, path: str, rate: float, seconds: float, port: int
) -> dict[str, Any]:
    client = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert client.stdout is not None
    try:
        async with asyncio.timeout(_PATIENCE_S + 2 * seconds + _PATIENCE_S):
            assert await client.stdout.readline() == b"ready\n", "not all could subscribe"
            processes = family(gateway_id)
            spread = connections_of(processes, port)
            before_s = cpu_s(*processes)
            publisher = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.fanout.publish", path, "1"),
                *(str(rate), str(round(rate * seconds))),
                stdout=asyncio.subprocess.PIPE,
                cwd=REPOSITORY,
            )
            told, _ = await publisher.communicate()
            heard = msgspec.json.decode(await client.stdout.read(), type=Heard)
            await client.wait()
    finally:
        if client.returncode is None:
            client.kill()
    published = msgspec.json.decode(told, type=Published)
    spent_s, span_s = cpu_s(*processes) - before_s, max(heard.span_s, 1e-3)
    return {
        "spread": sorted(spread.values()),
        "ticks_per_s": rate,
        "deliveries_per_s": heard.messages / span_s,
        "us_per_delivery": spent_s / max(1, heard.messages) * 1e6,
        "cores": spent_s / span_s,
        "client_core": heard.cpu_s / span_s,
        "publisher_late_s": published.late_s,
        "p50_ms": heard.p50_us / 1_000,
        "p99_ms": heard.p99_us / 1_000,
        "lost": heard.expected - heard.messages,
        "faults": heard.holes + heard.disorder,
    }


def deviation(spread: Sequence[int], workers: int) -> float:
    """How far the busiest or the idlest worker is off the mean, percent."""
    shares = [*spread, *([0] * (workers - len(spread)))]
    mean = sum(shares) / workers
    return max(abs(share - mean) for share in shares) / mean * 100


def _spread_table(runs: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("workers", "connections of each, least to most", box=None, pad_edge=False)
    for title in ("off the mean: median", "worst"):
        table.add_column(title, justify="right")
    for workers in dict.fromkeys(one["workers"] for one in runs):
        spreads = [each for one in runs if one["workers"] == workers for each in one["spreads"]]
        off = [deviation(each, workers) for each in spreads]
        examples = "; ".join(" ".join(map(str, each)) for each in spreads[:4])
        cells = (f"{statistics.median(off):.0f} %", f"{max(off):.0f} %")
        table.add_row(str(workers), examples, *cells)
    return table


def _load_table(runs: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("workers, ticks/s", box=None, pad_edge=False)
    figures = {
        "deliveries/s": ("deliveries_per_s", ",.0f"),
        "µs each": ("us_per_delivery", ".2f"),
        "cores": ("cores", ".2f"),
        "client's": ("client_core", ".2f"),
        "p50 ms": ("p50_ms", ".1f"),
        "p99": ("p99_ms", ".1f"),
    }
    for title in (*figures, "faults"):
        table.add_column(title, justify="right")
    loads = [(one["workers"], load) for one in runs for load in one["loads"]]
    for key in dict.fromkeys((workers, load["ticks_per_s"]) for workers, load in loads):
        same = [load for workers, load in loads if (workers, load["ticks_per_s"]) == key]
        spreads = [
            Spread.of(load[figure] for load in same).told(form) for figure, form in figures.values()
        ]
        faults = sum(load["lost"] + load["faults"] for load in same)
        table.add_row(f"{key[0]}, {key[1]:,.0f}", *spreads, str(faults))
    return table


def _asked(runs: Sequence[Mapping[str, Any]]) -> list[Asked]:
    rows = []
    for workers in dict.fromkeys(one["workers"] for one in runs):
        spreads = [each for one in runs if one["workers"] == workers for each in one["spreads"]]
        worst = max(deviation(each, workers) for each in spreads)
        if workers > 1:
            what = f"workers: {workers}, the farthest off the mean"
            rows.append(at_most(what, worst, _DEVIATION_MAX, " %"))
    lost = sum(load["lost"] + load["faults"] for one in runs for load in one["loads"])
    return [*rows, at_most("workers: lost or out of order", lost, 0, "")]


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.workers", description=__doc__)
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--connections", type=int, default=1_000)
    rates = (100.0, 1_000.0, 3_000.0, 6_000.0)
    parser.add_argument("--ticks-per-s", nargs="+", type=float, default=rates)
    add_options(parser, seconds=5.0)
    options = parser.parse_args()
    runs = []
    with compiled() as program:
        for repeat in range(1, options.repeats + 1):
            for workers in options.workers:
                print(f"{workers} workers, run {repeat}", file=sys.stderr)
                asked = (options.connections, options.ticks_per_s, options.seconds)
                runs.append(uvloop.run(run(program, workers, *asked)))
    screen = console()
    screen.print(*described(), _spread_table(runs), _load_table(runs), sep="\n")
    rows = _asked(runs)
    screen.print(table_of(rows))
    written = keep("workers", __doc__ or "", vars(options), runs, rows, options.output)
    screen.print(f"written: {written}")


if __name__ == "__main__":
    main()
