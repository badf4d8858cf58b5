"""Question (W5): how long is the whole way, hop by hop, and how much of a core has each part of it?

`tickgate feeds` (venue sim, 5,000 ticks/s over 50 channels: trades and quotes of 25 pairs) -> its
script with seq and stream -> Redis -> `tickgate gateway` -> 200 subscribers of 5 channels each, so
100,000 deliveries/s. Open loop: sim's ticks are due by a schedule. Publish to client is of all
deliveries, by the load client in C; the hops are of one more subscriber of 5, in Python. The
gateway has core 0 to itself, all others share core 1 where there are two. Measured once it flows;
loss is seen by holes in seq. Not shown: a network, a venue's own parser. Needs a C compiler.
`python -m bench.fanout.whole_way`.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec
import uvloop
from redis.asyncio import Redis
from rich.table import Table
from websockets.asyncio.client import ClientConnection, connect

from bench.cpu import (
    OTHERS_CORE,
    SERVER_CORE,
    cpu_s,
    family,
    stay_off_the_server_core,
)
from bench.fanout.figures import Spread
from bench.live_path import HOPS, Record, measured
from bench.load.client import Heard, LoadClient, compiled, heard
from bench.load.listening import listening
from bench.processes import START_LIMIT_S, environment, ready, started
from bench.setting import described, redis_server
from bench.verdict import Asked, add_options, at_most, console, keep, table_of
from feeds.market import SystemClock
from feeds.market.bus_names import DIRECTORY_KEY
from feeds.sim import Market
from gateway.access.key_store import KeyStore
from gateway.protocol import Ack

_SEED: Final = 1
_EACH: Final = 5
_FLOWING_S: Final = 2.0
"""Between the first tick and the first subscriber: the feed has found its pace by then."""
_END_LIMIT_S: Final = 15.0
_PARTS: Final = ("feeds", "redis", "gateway")


class Shape(msgspec.Struct, frozen=True):
    """How much there is of everything."""

    ticks_per_s: float
    pairs: int
    connections: int
    seconds: float

    def names(self) -> list[str]:
        return [channel.name for channel in Market(self.pairs, _SEED).channels]


class Whole(msgspec.Struct, frozen=True):
    """One run. Milliseconds; shares of a core."""

    p50: float
    p99: float
    p999: float
    max: float
    messages: int
    deliveries_per_s: float
    holes: int
    disorder: int
    gaps: int
    """Announced ones."""
    closed: int
    """Connections that the gateway ended."""
    client_core: float
    cores: dict[str, float]
    hops: dict[str, dict[str, float]]
    """As one subscriber saw them."""
    notices: list[str]
    """What that one was told that is neither a tick nor harmless."""

    @property
    def faults(self) -> int:
        """Whatever should have come and didn't, or not so."""
        return self.holes + self.disorder + self.gaps + self.closed + len(self.notices)


async def run(program: str, shape: Shape) -> Whole:
    with redis_server(OTHERS_CORE) as path, tempfile.NamedTemporaryFile("w") as names:
        names.write("\n".join(shape.names()) + "\n")
        names.flush()
        environ = environment(
            f"unix://{path}", ticks_per_s=shape.ticks_per_s, symbols=shape.pairs, seed=_SEED
        )
        async with Redis.from_url(f"unix://{path}") as redis:
            _, key = await KeyStore(redis, SystemClock()).create("bench", "unlimited")
            async with (
                started("feeds", environ, OTHERS_CORE) as feeds,
                started("gateway", environ, SERVER_CORE) as gateway,
            ):
                url = await ready(gateway)
                await _flowing(redis, shape.names())
                client = LoadClient(
                    port=int(url.rsplit(":", 1)[1]),
                    key=key,
                    connections=shape.connections,
                    each=_EACH,
                    names=names.name,
                    limit_s=shape.seconds,
                )
                info = await redis.info("server")
                processes = {
                    "feeds": family(feeds.pid),
                    "redis": [int(info["process_id"])],
                    "gateway": family(gateway.pid),
                }
                return await _measured(client, program, url, processes, shape)


async def _flowing(redis: Redis, names: Sequence[str]) -> None:
    """Returns when the feed has named all its channels, and a little later."""
    async with asyncio.timeout(START_LIMIT_S):
        # It is another process: there is no event.
        while not all(await redis.smismember(DIRECTORY_KEY, list(names))):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
    await asyncio.sleep(_FLOWING_S)


async def _measured(
    client: LoadClient, program: str, url: str, processes: dict[str, list[int]], shape: Shape
) -> Whole:
    with listening(program, client) as clients:
        before_s = {name: cpu_s(*ids) for name, ids in processes.items()}
        started_s = time.monotonic()
        headers = {"X-API-Key": client.key}
        address = f"{url.replace('http', 'ws', 1)}/v1/stream"
        async with connect(
            address, additional_headers=headers, compression=None, proxy=None
        ) as socket:
            hops, notices = await _hops(socket, shape)
        wall_s = time.monotonic() - started_s
        cores = {name: (cpu_s(*ids) - before_s[name]) / wall_s for name, ids in processes.items()}
        told, _ = await asyncio.to_thread(clients.communicate, timeout=_END_LIMIT_S)
    return _figures(heard(told), cores, hops, notices)


async def _hops(
    socket: ClientConnection, shape: Shape
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """What one subscriber of the first channels sees, a little less long than the others."""
    names = shape.names()[:_EACH]
    command = {"op": "subscribe", "id": 1, "channels": names}
    await socket.send(msgspec.json.encode(command), text=True)
    async with asyncio.timeout(START_LIMIT_S):
        while not (frame := await socket.recv(decode=False)).startswith(b'{"type":"ack"'):
            pass
    record = Record(msgspec.json.decode(frame, type=Ack))
    first_us = time.time_ns() // 1_000
    with suppress(TimeoutError):
        async with asyncio.timeout(shape.seconds - 0.5):
            while True:
                frame = await socket.recv(decode=False)
                record.hear(frame, time.time_ns() // 1_000)
    figures = measured(record, first_us, time.time_ns() // 1_000, 0.0)
    lost = [f"{record.holes} holes"] if record.holes else []
    return figures["delays_ms"], lost + figures["notices"]


def _figures(
    heard: Heard, cores: dict[str, float], hops: dict[str, dict[str, float]], notices: list[str]
) -> Whole:
    span_s = max(heard.span_s, 1e-3)
    return Whole(
        p50=heard.p50_us / 1_000,
        p99=heard.p99_us / 1_000,
        p999=heard.p999_us / 1_000,
        max=heard.max_us / 1_000,
        messages=heard.messages,
        deliveries_per_s=heard.messages / span_s,
        holes=heard.holes,
        disorder=heard.disorder,
        gaps=heard.gaps,
        closed=heard.closed,
        client_core=heard.cpu_s / span_s,
        cores=cores,
        hops=hops,
        notices=notices,
    )


def shown(runs: Sequence[Whole]) -> tuple[Table, Table]:
    delays = Table("delay, ms", box=None, pad_edge=False)
    for title in ("p50", "p99", "p99.9", "max"):
        delays.add_column(title, justify="right")
    all_of = (Spread.of(getattr(one, name) for one in runs) for name in ("p50", "p99", "p999"))
    most = Spread.of(one.max for one in runs)
    delays.add_row("publish to client, all", *(one.told(".2f") for one in (*all_of, most)))
    for hop in HOPS:
        parts = (Spread.of(run.hops[hop][part] for run in runs) for part in ("p50", "p99", "p99.9"))
        most = Spread.of(run.hops[hop]["max"] for run in runs)
        delays.add_row(f"{hop}, one", *(one.told(".2f") for one in (*parts, most)))
    cores = Table("of a core", box=None, pad_edge=False)
    for name in (*_PARTS, "client", "deliveries/s", "faults"):
        cores.add_column(name, justify="right")
    cores.add_row(
        "",
        *(Spread.of(one.cores[name] for one in runs).told(".0%") for name in _PARTS),
        Spread.of(one.client_core for one in runs).told(".0%"),
        f"{statistics.median(one.deliveries_per_s for one in runs):,.0f}",
        str(sum(one.faults for one in runs)),
    )
    return delays, cores


def asked(runs: Sequence[Whole]) -> list[Asked]:
    redis = statistics.median(one.cores["redis"] for one in runs)
    return [
        at_most("W5 p50 publish to client", statistics.median(r.p50 for r in runs), 3, " ms"),
        at_most("W5 p99 publish to client", statistics.median(r.p99 for r in runs), 15, " ms"),
        at_most("W5 Redis, of a core", 100 * redis, 60, " %"),
        at_most("W5 lost or out of order", sum(r.faults for r in runs), 0, ""),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench.fanout.whole_way", description=__doc__.splitlines()[0]
    )
    add_options(parser, seconds=30.0)
    parser.add_argument("--ticks-per-s", type=float, default=5_000)
    parser.add_argument("--pairs", type=int, default=25)
    parser.add_argument("--connections", type=int, default=200)
    options = parser.parse_args()
    stay_off_the_server_core()
    shape = Shape(options.ticks_per_s, options.pairs, options.connections, options.seconds)
    runs: list[Whole] = []
    with compiled() as program:
        for number in range(options.repeats):
            print(f"whole_way, run {number + 1} of {options.repeats}", file=sys.stderr)
            runs.append(uvloop.run(run(program, shape)))
    rows = asked(runs)
    screen = console()
    screen.print(*described(), sep="\n")
    screen.print(*shown(runs), table_of(rows), sep="\n")
    path = keep("whole_way", __doc__, vars(options), runs, rows, options.output)
    screen.print(f"written: {path}")
    sys.exit(1 if any(one.faults for one in runs) else 0)


if __name__ == "__main__":
    main()
