"""Question: how long from publication to a plain client, hop by hop, and does every tick come?

Real redis-server, `tickgate feeds` (sim), `tickgate gateway`, `websockets`; new ones each run. Open
loop: a tick is due by the schedule, whoever is late. `python -m bench.live_path` (or `make bench`).
"""

import argparse
import asyncio
import contextlib
import gc
import json
import math
import os
import statistics
import sys
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import ClientConnection, connect

from bench.processes import REPOSITORY, START_LIMIT_S, environment, ready, started
from bench.setting import described, redis_server
from feeds.market import SystemClock
from gateway.access.key_store import KeyStore
from gateway.protocol import Ack

_RESULTS: Final = REPOSITORY / "bench" / "results"
_WIDTH: Final = 120
_DRAIN_S: Final = 1.0

HOPS: Final = {
    "publish to client": ("tx", "now"),
    "feed (rx to tx)": ("rx", "tx"),
    "bus (tx to gw)": ("tx", "gw"),
    "client (gw to now)": ("gw", "now"),
    "due to client": ("t", "now"),
}
"""Each figure and the stamps between which it lies; `t` is when the schedule had the tick due."""
PARTS: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
_HARMLESS: Final = (b'{"type":"heartbeat"', b'{"type":"state"')
_STAMPS: Final = ("t", "rx", "tx", "gw", "now")


class Options(msgspec.Struct, frozen=True):
    """What is asked of a run."""

    ticks_per_s: float
    symbols: int
    seconds: float
    warm_up_s: float
    seed: int
    repeats: int


class _Tick(msgspec.Struct):
    ch: str
    seq: int
    t: int
    rx: int
    tx: int
    gw: int


class Record:
    """All that one client heard, the warm-up included."""

    def __init__(self, ack: Ack) -> None:
        self.stamps = {name: array("q") for name in _STAMPS}
        self.holes = 0
        self.repeats = 0
        self.notices: list[str] = []
        """Gaps, and whatever else is neither a tick nor harmless."""
        self._seqs = {told.ch: told.seq or 0 for told in ack.ok}
        self._decode = msgspec.json.Decoder(_Tick).decode

    def hear(self, frame: bytes, now_us: int) -> int:
        """When the tick was due; 0 for what is none."""
        if frame.startswith(b'{"type":'):
            if not frame.startswith(_HARMLESS):
                self.notices.append(frame.decode())
            return 0
        tick = self._decode(frame)
        before = self._seqs[tick.ch]
        if tick.seq <= before:
            # The newest quote, which comes with the subscription, is no tick of the run.
            self.repeats += tick.seq < before
            return 0
        self.holes += tick.seq - before - 1
        self._seqs[tick.ch] = tick.seq
        stamps = self.stamps
        for name, value in zip(_STAMPS, (tick.t, tick.rx, tick.tx, tick.gw, now_us), strict=True):
            stamps[name].append(value)
        return tick.t


def measured(record: Record, first_us: int, last_us: int, ticks_per_s: float) -> dict[str, Any]:
    """The figures of the ticks that were due in that time, milliseconds."""
    stamps = record.stamps
    chosen = [at for at, due in enumerate(stamps["t"]) if first_us <= due < last_us]
    expected = round((last_us - first_us) * ticks_per_s / 1e6)
    hops: dict[str, dict[str, float]] = {}
    for name, (start, end) in HOPS.items():
        delays = sorted(stamps[end][at] - stamps[start][at] for at in chosen)
        hops[name] = {part: _quantile(delays, share) / 1_000 for part, share in PARTS.items()}
    return {
        "ticks": len(chosen),
        # The window's edges fall between two ticks.
        "ticks_missing": max(0, expected - len(chosen) - 1),
        "holes": record.holes,
        "out_of_order": record.repeats,
        "notices": record.notices[:20],
        "delays_ms": hops,
    }


def _quantile(in_order: Sequence[int], share: float) -> float:
    return in_order[math.ceil(share * len(in_order)) - 1] if in_order else math.nan


async def run(options: Options) -> dict[str, Any]:
    """One run, on processes of its own."""
    with redis_server() as path:
        redis_url = f"unix://{path}"
        async with Redis.from_url(redis_url) as redis:
            _, key = await KeyStore(redis, SystemClock()).create("bench", "unlimited")
        environ = environment(
            redis_url, ticks_per_s=options.ticks_per_s, symbols=options.symbols, seed=options.seed
        )
        async with started("feeds", environ), started("gateway", environ) as gateway:
            url = f"{(await ready(gateway)).replace('http', 'ws', 1)}/v1/stream"
            headers = {"X-API-Key": key}
            async with connect(
                url, additional_headers=headers, compression=None, proxy=None
            ) as socket:
                load = os.getloadavg()[0]
                record, first_us, last_us = await _listen(socket, options)
    figures = measured(record, first_us, last_us, options.ticks_per_s)
    return {"load_average_before": load} | figures


async def _listen(socket: ClientConnection, options: Options) -> tuple[Record, int, int]:
    """Hears all that comes until the run is over; and when the measured part of it was."""
    record = Record(await _subscribed(socket, options))
    first_us = time.time_ns() // 1_000 + round(options.warm_up_s * 1e6)
    last_us = first_us + round(options.seconds * 1e6)
    # The client must not be what is measured: nothing here makes cycles.
    gc.collect()
    gc.disable()
    try:
        limit_s = options.warm_up_s + options.seconds + START_LIMIT_S
        async with asyncio.timeout(limit_s):
            due_us = 0
            while due_us < last_us:
                frame = await socket.recv(decode=False)
                due_us = record.hear(frame, time.time_ns() // 1_000)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while True:
                    frame = await socket.recv(decode=False)
                    record.hear(frame, time.time_ns() // 1_000)
    finally:
        gc.enable()
    return record, first_us, last_us


async def _subscribed(socket: ClientConnection, options: Options) -> Ack:
    """Once the feed has named all its channels."""
    command = msgspec.json.encode(
        {"op": "subscribe", "id": 1, "channels": ["trade:sim:*", "quote:sim:*"]}
    )
    async with asyncio.timeout(START_LIMIT_S):
        while True:
            await socket.send(command, text=True)
            while True:
                frame = await socket.recv(decode=False)
                if frame.startswith(b'{"type":"ack"'):
                    break
            ack = msgspec.json.decode(frame, type=Ack)
            if len(ack.ok) == 2 * options.symbols:
                return ack
            assert not ack.ok, "the feed names its channels in one go"
            await asyncio.sleep(0.1)


def spread(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Of each figure the median run, and the least and the greatest."""
    told: dict[str, dict[str, dict[str, float]]] = {}
    for hop in HOPS:
        told[hop] = {}
        for part in PARTS:
            values = [one["delays_ms"][hop][part] for one in runs]
            told[hop][part] = {
                "median": round(statistics.median(values), 3),
                "min": min(values),
                "max": max(values),
            }
    return told


def _show(runs: Sequence[Mapping[str, Any]], setting: Iterable[str]) -> None:
    console = Console(highlight=False, width=_WIDTH)
    for line in setting:
        console.print(line)
    table = Table("delay, ms", box=None, pad_edge=False)
    for part in PARTS:
        table.add_column(part, justify="right")
    for hop, parts in spread(runs).items():
        row = (f"{v['median']:.2f} ({v['min']:.2f}-{v['max']:.2f})" for v in parts.values())
        table.add_row(hop, *row)
    console.print(table)
    console.print("(the median run, and the spread of all)")
    for number, one in enumerate(runs, 1):
        counts = ("ticks", "ticks_missing", "holes", "out_of_order")
        told = ", ".join(f"{name.replace('_', ' ')} {one[name]}" for name in counts)
        console.print(f"run {number}: {told}, load average before {one['load_average_before']:.1f}")


def main() -> int:
    options, output = _options()
    setting = described()
    runs = []
    for number in range(1, options.repeats + 1):
        print(f"run {number} of {options.repeats}: {options.seconds:g} s", file=sys.stderr)
        runs.append(uvloop.run(run(options)))
    now = datetime.now(UTC)
    result = {
        "benchmark": "live_path",
        "at": now.isoformat(timespec="seconds"),
        "setting": setting,
        "options": msgspec.to_builtins(options),
        "delays_ms": spread(runs),
        "runs": runs,
    }
    output = output or _RESULTS / f"live_path-{now:%Y-%m-%d}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n")
    _show(runs, setting)
    print(f"written to {output}")
    faults = ("ticks_missing", "holes", "out_of_order", "notices")
    return int(any(one[name] for one in runs for name in faults))


def _options() -> tuple[Options, Path | None]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks-per-s", type=float, default=1_000)
    parser.add_argument("--symbols", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--warm-up", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, help="[bench/results/live_path-<date>.json]")
    given = parser.parse_args()
    options = Options(
        given.ticks_per_s, given.symbols, given.seconds, given.warm_up, given.seed, given.repeats
    )
    return options, given.output


if __name__ == "__main__":
    sys.exit(main())
