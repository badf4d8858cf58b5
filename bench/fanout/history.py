"""Question: do those who ask for history disturb those who listen?

The same loads on one gateway with nobody asking and with 50 requests/s beside, for candles of 16
channels that keep 1,000 messages and 1,000 final candles each: interleaved, p99 and CPU as ratios
of neighbours.
The asker shares its core with client, publisher and Redis. Needs a C compiler.
`python -m bench.fanout.history`.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Final

import msgspec
from redis.asyncio import Redis
from rich.table import Table

from bench.cpu import OTHERS_CORE, stay_off_the_server_core
from bench.fanout.asking import CHANNELS, MESSAGES, Asking, candle_channel
from bench.fanout.figures import ratios_of_pairs
from bench.fanout.loads import CHANNELS_MAX, W2, W3, Load, w1
from bench.fanout.rig import PATIENCE_S, Rig, rig, run_pinned
from bench.fanout.run import Run, run
from bench.load.client import compiled
from bench.setting import described
from bench.verdict import Asked, add_options, at_most, console, keep, table_of
from feeds.bus_line import BUS_SCRIPT
from feeds.market import Candle, SystemClock
from feeds.market.bus_names import DIRECTORY_KEY, head_key, log_key
from gateway.access.key_store import KeyStore

_LOADS: Final = (W2, W3, w1(300))
_RATE_PER_S: Final = 50.0
_RATIO_MAX: Final = 1.2
_WARM_UP_S: Final = 1.0
_MESSAGES_EACH: Final = 60
"""Of one candle, as the feeds send them."""
_MINUTE_US: Final = 60_000_000


class Pair(msgspec.Struct, frozen=True):
    """One load, alone and beside the asker."""

    alone: Run
    beside: Run
    asking: Asking


async def prepared(path: str) -> str:
    """Fills the channels of candles; a key that may ask for them."""
    async with Redis.from_url(f"unix://{path}") as redis:
        names = [candle_channel(number) for number in range(CHANNELS)]
        await redis.sadd(DIRECTORY_KEY, *names)
        for name in names:
            # Whole minutes, of which bus.lua keeps each, and then what a stream keeps.
            finals = [_payload(number * _MESSAGES_EACH - 1) for number in range(1, MESSAGES + 1)]
            first = MESSAGES * _MESSAGES_EACH
            told = finals + [_payload(first + number) for number in range(MESSAGES)]
            arguments: list[str | int | bytes] = ["", 0, MESSAGES, "-", len(told), *told]
            await redis.eval(BUS_SCRIPT, 2, head_key(name), log_key(name), *arguments)
        return (await KeyStore(redis, SystemClock()).create("history", "unlimited"))[1]


def _payload(number: int) -> bytes:
    minute, part = divmod(number, _MESSAGES_EACH)
    candle = Candle(
        *(minute * _MINUTE_US, "68900.50", "68950.10", "68890.00", f"68{part:03d}.40"),
        *("12.48100000", "860012.481000000", "68905.732914", "6.20400000", part + 1),
        part == _MESSAGES_EACH - 1,
        venue_us=number,
        received_us=number,
    )
    return msgspec.json.encode(candle)


def pair(one: Rig, key: str, load: Load, rate_per_s: float, seconds: float) -> Pair:
    alone = run(one, load, seconds)
    words = (sys.executable, "-m", "bench.fanout.asking", one.redis_path, one.port, key)
    asker = run_pinned(OTHERS_CORE, *words, rate_per_s, seconds)
    try:
        beside = run(one, load, seconds)
        told, _ = asker.communicate(timeout=seconds + PATIENCE_S)
    finally:
        asker.kill()
    return Pair(alone, beside, msgspec.json.decode(told, type=Asking))


def asked(pairs: Sequence[Pair]) -> list[Asked]:
    rows = []
    for load in _LOADS:
        ones = [one for one in pairs if one.alone.load == load.name]
        ratio = ratios_of_pairs((one.beside.p99, one.alone.p99) for one in ones)
        what = f"{load.name}: p99 beside {_RATE_PER_S:g} candle requests/s, to alone"
        rows.append(at_most(what, ratio.median, _RATIO_MAX, ""))
    faults = sum(one.beside.faults for one in pairs)
    rows.append(at_most("lost or out of order beside them", faults, 0, ""))
    refused = sum(one.asking.requests - one.asking.statuses.get("200", 0) for one in pairs)
    rows.append(at_most("requests not answered", refused, 0, ""))
    return rows


def shown(pairs: Sequence[Pair]) -> Table:
    table = Table("load", box=None, pad_edge=False)
    for title in ("p99 alone", "p99 beside", "ratio", "core alone", "beside", "request p50", "p99"):
        table.add_column(title, justify="right")
    for one in pairs:
        table.add_row(
            one.alone.load,
            *(f"{one.alone.p99:.2f} ms", f"{one.beside.p99:.2f} ms"),
            f"x {one.beside.p99 / one.alone.p99:.2f}",
            *(f"{one.alone.core:.0%}", f"{one.beside.core:.0%}"),
            *(f"{one.asking.p50_ms:.1f} ms", f"{one.asking.p99_ms:.1f} ms"),
        )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.fanout.history", description=__doc__)
    add_options(parser, seconds=10.0)
    parser.add_argument("--requests-per-s", type=float, default=_RATE_PER_S, metavar="N")
    options = parser.parse_args()
    stay_off_the_server_core()
    pairs: list[Pair] = []
    with compiled() as program:
        for number in range(options.repeats):
            with rig(program, channels=CHANNELS_MAX) as one:
                key = asyncio.run(prepared(one.redis_path))
                run(one, W3, _WARM_UP_S)
                for load in _LOADS:
                    told = f"history, repeat {number + 1} of {options.repeats}: {load.name}"
                    print(told, file=sys.stderr)
                    pairs.append(pair(one, key, load, options.requests_per_s, options.seconds))
    rows = asked(pairs)
    screen = console()
    screen.print(*described(), sep="\n")
    screen.print(shown(pairs))
    screen.print(table_of(rows))
    path = keep("history", __doc__ or "", vars(options), pairs, rows, options.output)
    screen.print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
