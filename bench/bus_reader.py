"""Question: does a worker keep up with the bus, and what does a message of it cost?

First the reading alone, by our Listener and by redis-py, one after the other in this process. Then
a whole worker with its channels open and no subscriber, on a core of its own, open loop: how far
behind is it? `python -m bench.bus_reader`.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from array import array
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Coroutine, Mapping, Sequence
from random import Random
from typing import Any, Final

import msgspec
import uvloop
from redis.asyncio import Redis
from rich.table import Table

from bench.cpu import OTHERS_CORE, SERVER_CORE, cpu_s, pinned, stay_off_the_server_core
from bench.fanout.loads import channel
from bench.fanout.publish import Published
from bench.setting import described, redis_server
from bench.verdict import Asked, add_options, at_least, at_most, console, keep, table_of
from feeds.market import Channel, SystemClock
from feeds.market.bus_names import topic
from gateway.bus.listener import Batch, Listener
from gateway.settings import GatewaySettings
from gateway.worker import Worker

_CHANNEL: Final = "trade:sim:BTC-USD"
_MESSAGE: Final = (
    b'6b003 1851 - {"px":"68900.50","sz":"0.0015","side":"buy","id":"995","t":1763632800}'
)
_MESSAGES: Final = 100_000
_PATIENCE_S: Final = 20.0
_KEPT_UP_MS: Final = 100.0
"""A worker keeps up while p99 of how far it is behind stays below."""


async def _publish(url: str) -> None:
    async with Redis.from_url(url) as redis:
        script = redis.register_script(
            "for i = 1, tonumber(ARGV[1]) do redis.call('PUBLISH', KEYS[1], ARGV[2]) end"
        )
        for _ in range(_MESSAGES // 1_000):
            await script(keys=[topic(_CHANNEL)], args=[1_000, _MESSAGE])


async def _by_listener(path: str) -> None:
    heard = 0
    done = asyncio.Event()

    def on_batch(batch: Batch) -> None:
        nonlocal heard
        heard += len(batch)
        if heard >= _MESSAGES:
            done.set()

    loop = asyncio.get_running_loop()
    transport, listener = await loop.create_unix_connection(lambda: Listener(on_batch), path)
    await listener.subscribe([_CHANNEL])
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(_publish_elsewhere(path))
        await done.wait()
    transport.close()


async def _by_redis_py(path: str) -> None:
    async with Redis.from_url(f"unix://{path}") as redis, redis.pubsub() as pubsub:
        await pubsub.subscribe(topic(_CHANNEL))
        heard = 0
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(_publish_elsewhere(path))
            async for message in pubsub.listen():
                heard += message["type"] == "message"
                if heard >= _MESSAGES:
                    break


async def _publish_elsewhere(path: str) -> None:
    """In a process of its own, so that only the reading is measured."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.bus_reader", "publish", f"unix://{path}"
    )
    assert await process.wait() == 0


_WAYS: Final[dict[str, Callable[[str], Coroutine[Any, Any, None]]]] = {
    "Listener": _by_listener,
    "redis-py": _by_redis_py,
}


class _TimedWorker(Worker):
    """Notes how late the oldest message of each read is when all of them are in the hub."""

    lags_us: "array[int]"
    messages: "array[int]"

    def _on_batch(self, batch: Batch) -> None:
        super()._on_batch(batch)
        oldest = batch[0][1]
        due_us = int(oldest[oldest.rfind(b'"tx":') + 5 : -1])
        self.lags_us.append(time.time_ns() // 1_000 - due_us)
        self.messages.append(len(batch))


async def _work(path: str, channels: int) -> None:
    """The worker under test, until stdin says something; then tells what it has heard."""
    settings = GatewaySettings(channel_linger_s=3_600.0)
    url = f"unix://{path}"
    async with Redis.from_url(url) as redis:
        worker = _TimedWorker(settings, redis, url, SystemClock())
        worker.lags_us, worker.messages = array("q"), array("q")
        running = asyncio.ensure_future(worker.run())
        async with asyncio.timeout(_PATIENCE_S):
            # Its bus has no event for it: gateways ask, too.
            while not worker.is_ready:  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.02)
            names = [channel(number) for number in range(channels)]
            await worker.open([Channel.parse(name) for name in names])
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        running.cancel()
        counts = worker.counts
        told = {
            "heard": counts.messages_in,
            "faults": counts.duplicates + counts.unsound + sum(counts.missing_by.values()),
            **_behind(worker.lags_us, worker.messages),
        }
        print(json.dumps(told), flush=True)


def _behind(lags_us: Sequence[int], messages: Sequence[int]) -> dict[str, float]:
    """Quantiles over messages: each counts as late as the oldest of its read."""
    in_order = sorted(zip(lags_us, messages, strict=True))
    total = sum(messages)
    told = {"messages_a_read": total / max(1, len(messages))}
    for part, share in {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}.items():
        seen = 0
        for lag_us, count in in_order:
            seen += count
            if seen >= share * total:
                told[f"{part}_ms"] = lag_us / 1_000
                break
    return told


async def _open_loop(ticks_per_s: float, channels: int, seconds: float) -> dict[str, Any]:
    """A worker, and a publisher that waits for nobody."""
    ticks = round(ticks_per_s * seconds / channels) * channels
    with redis_server(OTHERS_CORE) as path:
        this = (sys.executable, "-m", "bench.bus_reader", "work", path, channels)
        worker = await _piped(SERVER_CORE, *this)
        assert await _line(worker) == "ready"
        before_s = cpu_s(worker.pid)
        publish = (sys.executable, "-m", "bench.fanout.publish", path, channels, ticks_per_s, ticks)
        began_s = time.monotonic()
        publisher = await _piped(OTHERS_CORE, *publish)
        published = msgspec.json.decode(await _line(publisher, seconds * 5), type=Published)
        await _at_rest(worker)
        spent_s, span_s = cpu_s(worker.pid) - before_s, time.monotonic() - began_s
        assert worker.stdin is not None
        worker.stdin.write(b"enough\n")
        told = json.loads(await _line(worker))
        await asyncio.gather(worker.wait(), publisher.wait())
    return {
        "ticks_per_s": ticks_per_s,
        "lost": ticks - told["heard"],
        "core": spent_s / min(span_s, seconds),
        "us_per_message": spent_s / ticks * 1e6,
        "publisher_late_s": published.late_s,
        **told,
    }


async def _piped(core: int, *words: object) -> Process:
    command = pinned(core, *words)
    return await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)


async def _line(process: Process, more_s: float = 0.0) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(_PATIENCE_S + more_s):
        line = (await process.stdout.readline()).decode().strip()
    assert line, "a process of the benchmark ended early"
    return line


async def _at_rest(worker: Process) -> None:
    """Returns once it uses less than 5 % of a core: it has heard all there is."""
    async with asyncio.timeout(_PATIENCE_S):
        spent_s = 1.0
        while spent_s > 0.05 * 0.2:
            before_s = cpu_s(worker.pid)
            await asyncio.sleep(0.2)
            spent_s = cpu_s(worker.pid) - before_s


def _compared(repeats: int) -> dict[str, list[float]]:
    """Microseconds of CPU a message, by each way, in turn and in any order."""
    micros: dict[str, list[float]] = {name: [] for name in _WAYS}
    with redis_server() as path:
        for repeat in range(repeats):
            names = list(_WAYS)
            Random(repeat).shuffle(names)
            for name in names:
                started_s = time.process_time()
                uvloop.run(_WAYS[name](path))
                micros[name].append((time.process_time() - started_s) / _MESSAGES * 1e6)
    return micros


def _shown(runs: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("worker, ticks/s", box=None, pad_edge=False)
    figures = ("core", "us_per_message", "messages_a_read", "p50_ms", "p99_ms", "p999_ms", "max_ms")
    for title in (*figures, "lost, faults"):
        table.add_column(title.replace("_", " "), justify="right")
    for rate in dict.fromkeys(one["ticks_per_s"] for one in runs):
        same = [one for one in runs if one["ticks_per_s"] == rate]
        cells = []
        for figure in figures:
            values = [one[figure] for one in same]
            cells.append(f"{statistics.median(values):.2f} (≤ {max(values):.2f})")
        faults = sum(one["lost"] + one["faults"] for one in same)
        table.add_row(f"{rate:,.0f}", *cells, str(faults))
    return table


def _asked(runs: Sequence[Mapping[str, Any]], micros: Mapping[str, list[float]]) -> list[Asked]:
    late = {one["ticks_per_s"] for one in runs if one["p99_ms"] > _KEPT_UP_MS or one["lost"]}
    most = max({one["ticks_per_s"] for one in runs} - late, default=0.0)
    middle = {name: statistics.median(values) for name, values in micros.items()}
    share = middle["Listener"] / middle["redis-py"]
    return [
        at_least("bus reader: kept up with, no subscriber", most, 50_000, " ticks/s"),
        at_most("bus reader: Listener's cost to redis-py's, else it is not kept", share, 0.67, ""),
    ]


def main() -> None:
    match sys.argv[1:]:
        case ["publish", url]:
            asyncio.run(_publish(url))
            return
        case ["work", path, channels]:
            uvloop.run(_work(path, int(channels)))
            return
    parser = argparse.ArgumentParser(prog="bench.bus_reader", description=__doc__)
    parser.add_argument("--channels", type=int, default=50)
    rates = (10_000.0, 50_000.0, 75_000.0, 100_000.0)
    parser.add_argument("--ticks-per-s", nargs="+", type=float, default=rates)
    add_options(parser, seconds=10.0)
    options = parser.parse_args()
    micros = _compared(options.repeats)
    stay_off_the_server_core()
    runs = []
    for repeat in range(1, options.repeats + 1):
        for rate in options.ticks_per_s:
            print(f"{rate:,.0f} ticks/s, run {repeat}", file=sys.stderr)
            runs.append(uvloop.run(_open_loop(rate, options.channels, options.seconds)))
    screen = console()
    screen.print(*described(), sep="\n")
    for name, values in micros.items():
        middle, low, high = statistics.median(values), min(values), max(values)
        screen.print(f"{name}: {middle:.2f} µs of CPU a message ({low:.2f} to {high:.2f})")
    screen.print(_shown(runs))
    rows = _asked(runs, micros)
    screen.print(table_of(rows))
    kept = [{"us_per_message": micros}, *runs]
    written = keep("bus_reader", __doc__ or "", vars(options), kept, rows, options.output)
    screen.print(f"written: {written}")


if __name__ == "__main__":
    main()
