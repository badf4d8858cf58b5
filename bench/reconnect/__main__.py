"""Question: 5,000 clients lose their gateway at once: when are all back, and what is lost?

They have 2 of 10 channels each, and positions. The gateway's worker is SIGKILLed, its supervisor
starts another one; the clients come back by the reference client's rules (0-3 s, then back-off with
full jitter) with `since`. Counted from the SIGKILL until the last one's ack; every seq of every
client is checked until some seconds later. Real processes: `tickgate feeds` (sim) and `tickgate
gateway`. Not shown: several workers, of which only one dies. `python -m bench.reconnect`
"""

import argparse
import asyncio
import os
import resource
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

import msgspec
import uvloop
from redis.asyncio import Redis
from rich.table import Table

from bench.cpu import OTHERS_CORE, SERVER_CORE, cpu_s, family, stay_off_the_server_core
from bench.fanout.figures import Spread
from bench.processes import environment, ready, started
from bench.reconnect.crowd import Counted, Crowd
from bench.reconnect.readings import Readings, StreamReadings
from bench.setting import described, redis_server
from bench.verdict import Asked, add_options, at_most, console, keep, table_of
from feeds.market import SystemClock
from feeds.market.bus_names import DIRECTORY_KEY
from gateway.access.key_store import KeyStore

_CHANNELS: Final = 10
_EACH: Final = 2
_TICKS_PER_S: Final = 40.0
"""Of all pairs, trades and quotes: 2 a second on each channel."""
_BACK_LIMIT_S: Final = 15.0
_PATIENCE_S: Final = 180.0
_AT_ONCE: Final = 100
"""Of those who come for the first time."""
_SPARE_FILES: Final = 500
_PLAN: Final = """
[plan.bench]
connections_max = 100000
subscriptions_max = 100
commands_per_s = 10000
commands_burst = 100000
messages_per_s = 10000
fastest_rate = "all"
channels = ["*:*:*"]
"""


class Came(msgspec.Struct, frozen=True):
    """One return."""

    back_p50_s: float
    """From the SIGKILL, as all times."""
    back_p99_s: float
    back_last_s: float
    serving_s: float
    """When the first one was back."""
    gateway_cpu_s: float
    """Of the new worker, from its start until the last one was back."""
    lacking: int
    """Clients that were not back within the patience."""
    counted: Counted
    readings: Readings


async def run(path: str, connections: int, after_s: float, seed: int) -> Came:
    redis_url = f"unix://{path}"
    with TemporaryDirectory(prefix="tg-") as directory:
        config = Path(directory) / "tickgate.toml"
        config.write_text(_PLAN)
        environ = environment(redis_url, ticks_per_s=_TICKS_PER_S, symbols=_CHANNELS, seed=seed)
        environ |= {"TICKGATE_CONFIG": str(config), "TICKGATE_ADMIN_ENABLED": "false"}
        async with (
            Redis.from_url(redis_url) as redis,
            started("feeds", environ, OTHERS_CORE),
            started("gateway", environ, SERVER_CORE) as gateway,
        ):
            port = urlsplit(await ready(gateway)).port or 0
            _, key = await KeyStore(redis, SystemClock()).create("bench", "bench")
            names = await _channels(redis)
            wants = [
                [names[(n * _EACH + i) % _CHANNELS] for i in range(_EACH)]
                for n in range(connections)
            ]
            async with _connected(Crowd(port, key, wants, seed)) as crowd:
                return await _killed(crowd, path, gateway.pid, after_s)


async def _channels(redis: Redis) -> list[str]:
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            told = await redis.smembers(DIRECTORY_KEY)
            names = [name.decode() for name in told if isinstance(name, bytes)]
            trades = sorted(name for name in names if name.startswith("trade:"))
            if len(trades) == _CHANNELS:
                return trades
            await asyncio.sleep(0.05)


@asynccontextmanager
async def _connected(crowd: Crowd) -> AsyncIterator[Crowd]:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(crowd.run(_AT_ONCE))
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await crowd.all_back()
            # Positions that are more than those of the acks.
            await asyncio.sleep(2.0)
            yield crowd
        finally:
            running.cancel()
            for one in crowd.subscribers:
                one.abort()


async def _killed(crowd: Crowd, path: str, supervisor: int, after_s: float) -> Came:
    worker = family(supervisor)[1]
    readings = StreamReadings(path)
    with readings.watching():
        killed_s = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        async with asyncio.timeout(_PATIENCE_S):
            for one in crowd.subscribers:
                await one.lost.wait()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await crowd.all_back()
        except TimeoutError:
            print("reconnect: not all came back", file=sys.stderr)
        told = readings.told()
        used_s = cpu_s(family(supervisor)[1])
    await asyncio.sleep(after_s)
    back = sorted(one.back_s - killed_s for one in crowd.subscribers if one.back.is_set())
    return Came(
        back_p50_s=statistics.median(back),
        back_p99_s=back[len(back) * 99 // 100],
        back_last_s=back[-1],
        serving_s=back[0],
        gateway_cpu_s=used_s,
        lacking=len(crowd.subscribers) - len(back),
        counted=crowd.counted,
        readings=told,
    )


def asked(runs: Sequence[Came]) -> list[Asked]:
    counted = [one.counted for one in runs]
    lost = sum(one.holes + one.announced + one.not_recovered for one in counted)
    last_s = max(one.back_last_s for one in runs)
    readings = max(one.readings.per_channel_and_window for one in runs)
    return [
        at_most("reconnect: all back after the SIGKILL", last_s, _BACK_LIMIT_S, " s"),
        at_most("reconnect: not back at all", sum(one.lacking for one in runs), 0, ""),
        at_most("reconnect: lost, gaps, not recovered", lost, 0, ""),
        at_most("reconnect: repeated", sum(one.repeated for one in counted), 0, ""),
        at_most("reconnect: readings per channel and 100 ms", readings, 1.0, ""),
    ]


def shown(runs: Sequence[Came]) -> Table:
    table = Table("back after, s", box=None, pad_edge=False)
    titles = (
        "first",
        "p50",
        "p99",
        "last",
        "gateway CPU s",
        "tries in vain",
        "messages",
        "asked again",
    )
    for title in (*titles, "stream readings", "most in 100 ms"):
        table.add_column(title, justify="right")
    table.add_row(
        "",
        Spread.of(one.serving_s for one in runs).told(),
        Spread.of(one.back_p50_s for one in runs).told(),
        Spread.of(one.back_p99_s for one in runs).told(),
        Spread.of(one.back_last_s for one in runs).told(),
        Spread.of(one.gateway_cpu_s for one in runs).told(),
        Spread.of(one.counted.tries for one in runs).told(".0f"),
        Spread.of(one.counted.messages for one in runs).told(".0f"),
        Spread.of(one.counted.asked_again for one in runs).told(".0f"),
        Spread.of(one.readings.calls for one in runs).told(".0f"),
        Spread.of(one.readings.most_in_window for one in runs).told(".0f"),
    )
    return table


def allow_files(connections: int) -> str:
    """What there was, and what there is; gateway and clients need one each for a connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return f"open files: {soft} allowed, {wanted} needed"
    # Raises ValueError where the system doesn't allow it.
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    return f"open files: {soft} allowed, raised to {wanted}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.reconnect", description=__doc__.splitlines()[0])
    # What is listened to after the last one is back.
    add_options(parser, seconds=5.0)
    parser.add_argument("--connections", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    stay_off_the_server_core()
    files = allow_files(options.connections)
    runs: list[Came] = []
    for number in range(options.repeats):
        print(f"reconnect, repeat {number + 1} of {options.repeats}", file=sys.stderr)
        with (
            redis_server(OTHERS_CORE) as path,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runs.append(runner.run(run(path, options.connections, options.seconds, options.seed)))
    rows = asked(runs)
    screen = console()
    screen.print(*described(), files, sep="\n")
    screen.print(shown(runs), table_of(rows), sep="\n")
    path_kept = keep("reconnect", __doc__, vars(options), runs, rows, options.output)
    screen.print(f"written: {path_kept}")
    sys.exit(1 if any(one.lacking or one.counted.holes for one in runs) else 0)


if __name__ == "__main__":
    main()
