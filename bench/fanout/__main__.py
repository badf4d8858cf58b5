"""Question: what does a delivery cost the gateway, how late is it, and does every one come?

W1: 1,000 subscribers of one channel at growing rates. W2: the same at 100 ticks/s. W3: 500
connections with 20 of 100 channels each at 2,000 ticks/s. Open loop; the gateway has core 0 to
itself, everything else shares core 1. Needs a C compiler. `python -m bench.fanout`.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from bench.processes import REPOSITORY
from bench.setting import described, redis_server
from feeds.market import SystemClock
from feeds.market.bus_names import DIRECTORY_KEY
from gateway.key_store import KeyStore

_RESULTS: Final = REPOSITORY / "bench" / "results"
_SOURCE: Final = Path(__file__).with_name("load.c")
_HOST: Final = "127.0.0.1"
_PATIENCE_S: Final = 20.0
"""Beyond the schedule, for what is late."""


class Load(NamedTuple):
    """Who listens to what, and how much there is to hear."""

    name: str
    connections: int
    channels: int
    channels_each: int
    ticks_per_s: float

    def deliveries(self, seconds: float) -> int:
        ticks = int(self.ticks_per_s * seconds)
        return ticks * self.connections * self.channels_each // self.channels


LOADS: Final = (
    Load("W1 100k/s", 1_000, 1, 1, 100),
    Load("W1 1M/s", 1_000, 1, 1, 1_000),
    Load("W1 3M/s", 1_000, 1, 1, 3_000),
    Load("W1 5M/s", 1_000, 1, 1, 5_000),
    Load("W1 7M/s", 1_000, 1, 1, 7_000),
    Load("W3", 500, 100, 20, 2_000),
)


class Bench:
    """A running Redis and gateway, and the load client compiled for them."""

    def __init__(self, redis_path: str, port: int, key: str, server_id: int, load: str) -> None:
        self._redis_path = redis_path
        self._port = port
        self._key = key
        self._server_id = server_id
        self._load = load

    def run(self, load: Load, seconds: float) -> dict[str, Any]:
        deliveries = load.deliveries(seconds)
        shape = (load.connections, load.channels, load.channels_each, deliveries)
        client = _pinned(1, self._load, _HOST, self._port, self._key, *shape, seconds + _PATIENCE_S)
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n", "the load client could not subscribe"
        before_s = _cpu_s(self._server_id)
        ticks = int(load.ticks_per_s * seconds)
        publisher = _pinned(
            *(1, sys.executable, "-m", "bench.fanout.publish", self._redis_path),
            *(load.channels, load.ticks_per_s, ticks),
        )
        told, _ = client.communicate()
        late, _ = publisher.communicate()
        heard = json.loads(told)
        cpu_s = _cpu_s(self._server_id) - before_s
        span_s = max(heard["span_s"], 1e-3)
        return {
            "load": load.name,
            "lost": deliveries - heard["messages"],
            "holes": heard["holes"] + heard["disorder"],
            "deliveries_per_s": heard["messages"] / span_s,
            "us_per_delivery": cpu_s / max(1, heard["messages"]) * 1e6,
            "core": cpu_s / span_s,
            "client_core": heard["cpu_s"] / span_s,
            "publisher_late_s": json.loads(late)["late_s"],
            **{part: heard[f"{part}_us"] / 1_000 for part in ("p50", "p90", "p99", "p999", "max")},
        }


def _pinned(core: int, *command: object) -> subprocess.Popen[str]:
    words = ["taskset", "-c", str(core % (os.cpu_count() or 1)), *map(str, command)]
    environ = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environ)


def _cpu_s(process_id: int) -> float:
    """Seconds of CPU that all threads of a process have had."""
    threads = Path(f"/proc/{process_id}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


@contextmanager
def _compiled() -> Iterator[str]:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        sys.exit("bench.fanout: no C compiler: the load client can't be built (apt install gcc)")
    with tempfile.TemporaryDirectory(prefix="tg-") as directory:
        program = str(Path(directory) / "load")
        subprocess.run([compiler, "-O2", "-o", program, str(_SOURCE)], check=True)
        yield program


@contextmanager
def _bench(window_ms: float) -> Iterator[Bench]:
    with _compiled() as load, redis_server() as path:
        key = asyncio.run(_prepared(path))
        server = _pinned(
            0, sys.executable, "-m", "bench.fanout.server", f"unix://{path}", window_ms
        )
        try:
            assert server.stdout is not None
            yield Bench(path, int(server.stdout.readline()), key, server.pid, load)
        finally:
            server.terminate()
            server.wait(timeout=15)


async def _prepared(path: str) -> str:
    names = [f"trade:bench:C{number:05d}" for number in range(max(load[2] for load in LOADS))]
    async with Redis.from_url(f"unix://{path}") as redis:
        await redis.sadd(DIRECTORY_KEY, *names)
        return (await KeyStore(redis, SystemClock()).create("bench", "unlimited"))[1]


def _shown(results: list[dict[str, Any]]) -> Table:
    table = Table(
        "load", "deliveries/s", "µs each", "core", "client", "p50 ms", "p99", "max", "lost"
    )
    for name in dict.fromkeys(result["load"] for result in results):
        runs = [result for result in results if result["load"] == name]

        def middle(part: str, runs: list[dict[str, Any]] = runs) -> float:
            return statistics.median(float(run[part]) for run in runs)

        worst = max(run["p99"] for run in runs)
        table.add_row(
            *(name, f"{middle('deliveries_per_s'):,.0f}", f"{middle('us_per_delivery'):.2f}"),
            *(f"{middle('core'):.0%}", f"{middle('client_core'):.0%}", f"{middle('p50'):.1f}"),
            *(f"{middle('p99'):.1f} (≤ {worst:.1f})", f"{max(run['max'] for run in runs):.1f}"),
            str(sum(run["lost"] + run["holes"] for run in runs)),
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.fanout", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--window-ms", type=float, default=2.0)
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    console = Console(width=120)
    with _bench(options.window_ms) as bench:
        for repeat in range(options.repeats):
            for load in LOADS:
                console.print(f"{load.name}, run {repeat + 1} of {options.repeats}")
                results.append(bench.run(load, options.seconds))
    where = described()
    console.print(*where, sep="\n")
    console.print(_shown(results))
    _RESULTS.mkdir(exist_ok=True)
    path = _RESULTS / f"fanout-{datetime.now(UTC):%Y-%m-%d}.json"
    told = {"question": __doc__, "where": where, "settings": vars(options), "results": results}
    path.write_text(json.dumps(told, indent=1) + "\n")
    console.print(f"written: {path.relative_to(REPOSITORY)}")
    sys.exit(1 if any(result["lost"] or result["holes"] for result in results) else 0)


if __name__ == "__main__":
    main()
