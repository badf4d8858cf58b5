"""Question: how many ticks a second go from a venue's socket to Redis on one core, and how late?

A local venue plays captured frames to the real `tickgate feeds`, which has core 0 to itself; Redis,
the venue and this share core 1. No TLS. Open loop; every tick is counted in Redis, and those of
some channels are heard as gateways hear them. `python -m bench.feed_path`.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import statistics
import sys
import time
from array import array
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import uvloop
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from bench.cpu import OTHERS_CORE, SERVER_CORE, cpu_s, pinned, stay_off_the_server_core
from bench.processes import REPOSITORY
from bench.setting import described, redis_server
from bench.verdict import Asked, add_options, at_least, at_most, keep, table_of
from feeds.market import Publication
from feeds.market.bus_names import head_key
from gateway.bus.listener import Batch, Listener

_PATIENCE_S: Final = 20.0
"""For what is to come within moments, and for what is late."""
_WARM_UP_S: Final = 1.0
"""Its ticks are counted, but not in the delays."""
_SUSTAINED_MS: Final = 250.0
"""A rate counts as sustained while p99 from due to heard is below."""
_HEARD_CHANNELS: Final = 2
_QUOTES: Final = {"binance": "USDT", "kraken": "USD"}
HOPS: Final = {
    "due to received": ("t", "rx"),
    "received to published": ("rx", "tx"),
    "received to heard": ("rx", "now"),
    "due to heard": ("t", "now"),
}
"""Each figure and the stamps between which it lies; `tx` is when its batch was made up."""
_STAMPS: Final = ("t", "rx", "tx", "now")
PARTS: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


class Options(msgspec.Struct, frozen=True):
    """What is asked of a run."""

    venue: str
    ticks_per_s: float
    symbols: int
    seconds: float


class _Trade(msgspec.Struct):
    id: str
    t: int
    rx: int
    tx: int


class Heard:
    """The trades of some channels, as the bus brings them."""

    def __init__(self) -> None:
        self.stamps = {name: array("q") for name in _STAMPS}
        self.out_of_order = 0
        self._places: dict[str, tuple[int, int]] = {}
        self._decode = msgspec.json.Decoder(_Trade).decode

    def hear(self, batch: Batch) -> None:
        now_us = time.time_ns() // 1_000
        for name, message in batch:
            publication = Publication.decode(message)
            trade = self._decode(publication.payload)
            place = publication.seq, int(trade.id)
            before = self._places.get(name, (0, place[1] - 1))
            if place != (before[0] + 1, before[1] + 1) or publication.missing:
                self.out_of_order += 1
            self._places[name] = place
            for stamp, value in zip(_STAMPS, (trade.t, trade.rx, trade.tx, now_us), strict=True):
                self.stamps[stamp].append(value)

    def delays_ms(self, first_us: float) -> dict[str, dict[str, float]]:
        stamps = self.stamps
        chosen = [at for at, due_us in enumerate(stamps["t"]) if due_us >= first_us]
        told = {}
        for hop, (start, end) in HOPS.items():
            delays = sorted(stamps[end][at] - stamps[start][at] for at in chosen)
            told[hop] = {part: _quantile(delays, share) / 1_000 for part, share in PARTS.items()}
        return told


def _quantile(in_order: Sequence[int], share: float) -> float:
    return in_order[math.ceil(share * len(in_order)) - 1] if in_order else math.nan


@contextlib.asynccontextmanager
async def _started(core: int, environ: Mapping[str, str], *words: str) -> AsyncIterator[Process]:
    """A process on a core of its own, where there is one; ended with the block."""
    command = pinned(core, sys.executable, *words)
    process = await asyncio.create_subprocess_exec(*command, env=environ, stdin=PIPE, stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await process.wait()
        except TimeoutError:
            process.kill()


async def _line(process: Process, limit_s: float = _PATIENCE_S) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(limit_s):
        line = (await process.stdout.readline()).decode().strip()
    assert line, "the venue ended early"
    return line


def _feed_environment(redis_url: str, venue: str, port: str, symbols: str) -> dict[str, str]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("TICKGATE_")}
    return clean | {
        "PYTHONPATH": str(REPOSITORY),
        "REDIS_URL": redis_url,
        "TICKGATE_CONFIG": os.devnull,
        "TICKGATE_ADMIN_PORT": "0",
        "TICKGATE_VENUES": venue,
        f"TICKGATE_VENUE_{venue.upper()}_URL": f"ws://127.0.0.1:{port}",
        f"TICKGATE_VENUE_{venue.upper()}_SYMBOLS": symbols,
    }


async def run(options: Options) -> dict[str, Any]:
    """One run, on processes of its own."""
    symbols = [f"C{number:03d}-{_QUOTES[options.venue]}" for number in range(options.symbols)]
    channels = [f"{kind}:{options.venue}:{one}" for one in symbols for kind in ("trade", "quote")]
    words = ("-m", "bench.feed_path.venue", options.venue, str(len(channels)))
    clean = dict(os.environ) | {"PYTHONPATH": str(REPOSITORY)}
    with redis_server(OTHERS_CORE) as path:
        async with (
            Redis.from_url(f"unix://{path}") as redis,
            _started(OTHERS_CORE, clean, *words) as venue,
        ):
            environ = _feed_environment(
                f"unix://{path}", options.venue, await _line(venue), ",".join(symbols)
            )
            async with _started(SERVER_CORE, environ, "-m", "gateway.cli", "feeds") as feed:
                assert await _line(venue) == "ready"
                heard = Heard()
                loop = asyncio.get_running_loop()
                _, listener = await loop.create_unix_connection(lambda: Listener(heard.hear), path)
                await listener.subscribe(channels[: 2 * _HEARD_CHANNELS : 2])
                told = await _played(options, redis, venue, feed, channels)
                listener.abort()
    first_us: float = told["start_us"] + _WARM_UP_S * 1e6
    return {**told, "out_of_order": heard.out_of_order, "delays_ms": heard.delays_ms(first_us)}


async def _played(
    options: Options, redis: Redis, venue: Process, feed: Process, channels: Sequence[str]
) -> dict[str, Any]:
    """Has the venue play; what came of it in Redis, and what it cost."""
    redis_id = (await redis.info("server"))["process_id"]
    load = os.getloadavg()[0]
    before_s = cpu_s(feed.pid), cpu_s(redis_id)
    ticks = int(options.ticks_per_s * options.seconds)
    assert venue.stdin is not None
    venue.stdin.write(f"{options.ticks_per_s} {ticks}\n".encode())
    played = json.loads(await _line(venue, options.seconds * 5 + _PATIENCE_S))
    counted, ended_s = await _counted(redis, channels, played["ticks"])
    feed_s, redis_s = cpu_s(feed.pid) - before_s[0], cpu_s(redis_id) - before_s[1]
    span_s = ended_s - played["start_us"] / 1e6
    entries = await _entries(redis, options.venue)
    return {
        **played,
        "ticks_per_s": counted / span_s,
        "lost": played["ticks"] - counted,
        "entries_lost": played["ticks"] - entries,
        "feed_core": feed_s / span_s,
        "feed_us_per_tick": feed_s / max(1, counted) * 1e6,
        "redis_core": redis_s / span_s,
        "load_average_before": load,
    }


async def _counted(redis: Redis, channels: Sequence[str], ticks: int) -> tuple[int, float]:
    """The sum of all channels' seqs, once it is what was sent or grows no more; and when."""
    counted, changed_s = 0, time.time()
    while counted < ticks and time.time() < changed_s + 2.0:
        pipeline = redis.pipeline(transaction=False)
        for channel in channels:
            pipeline.hget(head_key(channel), "seq")
        found = sum(int(seq or 0) for seq in await pipeline.execute())
        if found > counted:
            counted, changed_s = found, time.time()
        await asyncio.sleep(0.02)
    return counted, changed_s


async def _entries(redis: Redis, venue: str) -> int:
    """Ticks ever added to streams: a seq alone could also stand for one that was dropped."""
    statuses = await redis.hget(head_key(f"status:{venue}:VENUE"), "seq")
    stats = await redis.info("commandstats")
    return int(stats["cmdstat_xadd"]["calls"]) - int(statuses or 0)


def _shown(runs: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("venue", "asked/s", "runs", "ticks/s", "core", "µs/tick", "redis", box=None)
    for name in (*HOPS, "lost"):
        table.add_column(name, justify="right")
    for key in dict.fromkeys((one["venue"], one["asked"]) for one in runs):
        same = [one for one in runs if (one["venue"], one["asked"]) == key]

        def middle(name: str, same: Sequence[Mapping[str, Any]] = same) -> float:
            return statistics.median(float(one[name]) for one in same)

        delays = []
        for hop in HOPS:
            p50 = statistics.median(one["delays_ms"][hop]["p50"] for one in same)
            p99 = statistics.median(one["delays_ms"][hop]["p99"] for one in same)
            worst = max(one["delays_ms"][hop]["p99"] for one in same)
            delays.append(f"{p50:.1f} / {p99:.1f}" + (f" ≤ {worst:.1f}" if len(same) > 1 else ""))
        lost = sum(one["lost"] + one["entries_lost"] + one["out_of_order"] for one in same)
        table.add_row(
            *(key[0], f"{key[1]:,.0f}", str(len(same)), f"{middle('ticks_per_s'):,.0f}"),
            *(f"{middle('feed_core'):.0%}", f"{middle('feed_us_per_tick'):.1f}"),
            *(f"{middle('redis_core'):.0%}", *delays, str(lost)),
        )
    return table


def main() -> int:
    given = _options()
    stay_off_the_server_core()
    runs: list[dict[str, Any]] = []
    for number in range(1, given.repeats + 1):
        for venue in given.venue:
            for rate in given.ticks_per_s:
                print(f"{venue}, {rate:,.0f} ticks/s, run {number}", file=sys.stderr)
                options = Options(venue, rate, given.symbols, given.seconds)
                runs.append({"venue": venue, "asked": rate} | uvloop.run(run(options)))
    rows = _asked(runs)
    screen = Console(highlight=False, width=160)
    screen.print(*described(), _shown(runs), sep="\n")
    screen.print("(delays: p50 / p99 in ms, medians of the runs, and the worst p99)")
    screen.print(table_of(rows))
    screen.print(f"written: {keep('feed_path', __doc__, vars(given), runs, rows, given.output)}")
    return int(any(one["lost"] or one["entries_lost"] or one["out_of_order"] for one in runs))


def _asked(runs: Sequence[Mapping[str, Any]]) -> list[Asked]:
    lost = sum(one["lost"] + one["entries_lost"] + one["out_of_order"] for one in runs)
    rows = [at_most("feed: lost or out of order", lost, 0, "")]
    for venue in dict.fromkeys(one["venue"] for one in runs):
        most = _sustained(runs, venue)
        rows.append(at_least(f"feed: {venue}, socket to Redis on a core", most, 30_000, " ticks/s"))
    return rows


def _sustained(runs: Sequence[Mapping[str, Any]], venue: str) -> float:
    """The greatest rate at which every run kept up; 0: none."""
    here = [one for one in runs if one["venue"] == venue]
    late = {one["asked"] for one in here if one["delays_ms"]["due to heard"]["p99"] > _SUSTAINED_MS}
    return max({one["asked"] for one in here} - late, default=0.0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.feed_path", description=__doc__)
    parser.add_argument("--venue", nargs="+", choices=list(_QUOTES), default=list(_QUOTES))
    rates = (5_000.0, 30_000.0, 40_000.0, 50_000.0, 60_000.0)
    parser.add_argument("--ticks-per-s", nargs="+", type=float, default=rates)
    parser.add_argument("--symbols", type=int, default=20)
    add_options(parser, seconds=10.0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
