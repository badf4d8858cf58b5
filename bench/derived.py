"""Question: what does each derivation cost a tick, and do 500 pairs x 5 venues fit into one core?

Pure code only, no socket: ticks of a market made up before the clock starts, at times made up too.
CPU time of this process, encoding of what comes out included. `python -m bench.derived`.
"""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, Final

import msgspec
from rich.table import Table

from bench.resident import resident_kib
from bench.verdict import Asked, add_options, at_most, console, keep, table_of
from feeds.derived import DERIVATIONS
from feeds.derived.chain import Chain
from feeds.derived.derivation import Derived
from feeds.derived.kernels import Atr, Bollinger, Ema, Macd, Rma, Rsi, Vwap, ZScore
from feeds.derived.settings import DerivedSettings
from feeds.market import Channel, Quote, Side, Tick, Trade

_START_US: Final = 1_763_632_800_000_000
_BATCH_US: Final = 5_000
"""What comes within so long is handed over together, as by a read of a venue's socket."""

KERNELS: Final[dict[str, Callable[[], Callable[[float], object]]]] = {
    "EMA": lambda: Ema(50).update,
    "RMA": lambda: Rma(14).update,
    "RSI": lambda: Rsi(14).update,
    "MACD": lambda: Macd().update,
    "Bollinger": lambda: Bollinger(20).update,
    "z-score": lambda: ZScore(60).update,
    "ATR": lambda: _on_candle(Atr(14)),
    "VWAP": lambda: _on_volume(Vwap(60)),
}


def _on_candle(kernel: Atr) -> Callable[[float], object]:
    return lambda close: kernel.update(close + 3.0, close - 2.0, close)


def _on_volume(kernel: Vwap) -> Callable[[float], object]:
    return lambda close: kernel.update(close, 2.0)


class Load(msgspec.Struct, frozen=True):
    """How much market there is."""

    pairs: int
    venues: int
    ticks_per_s: float
    seconds: float
    seed: int


_OF_VENUES: Final = frozenset(("trade", "quote"))


def market(load: Load, start_us: int = _START_US) -> Iterator[Tick]:
    """Half trades, half quotes, of all pairs and venues in random order."""
    random = Random(load.seed)
    names = [
        (f"v{venue}", f"P{pair}-USD") for venue in range(load.venues) for pair in range(load.pairs)
    ]
    channels = [(Channel("trade", *name), Channel("quote", *name)) for name in names]
    for number in range(round(load.ticks_per_s * load.seconds)):
        at_us = start_us + int(number * 1e6 / load.ticks_per_s)
        trades, quotes = random.choice(channels)
        cents = 6_890_000 + random.randrange(-2_000, 2_000)
        bid = f"{cents // 100}.{cents % 100:02}"
        if random.random() < 0.5:
            size = f"0.{random.randrange(1, 10**8):08}"
            side: Side = "buy" if number & 1 else "sell"
            yield Tick(trades, Trade(bid, size, side, str(number), at_us - 20_000, at_us))
        else:
            ask = f"{(cents + 1) // 100}.{(cents + 1) % 100:02}"
            yield Tick(quotes, Quote(bid, ask, "1.5", "0.7", at_us - 20_000, at_us))


def batches(ticks: Sequence[Tick], start_us: int = _START_US) -> Iterator[tuple[int, list[Tick]]]:
    """With the time at which each is handed over."""
    batch: list[Tick] = []
    end_us = start_us + _BATCH_US
    for tick in ticks:
        at_us = tick.payload.received_us or 0
        while at_us >= end_us:
            yield end_us, batch
            batch, end_us = [], end_us + _BATCH_US
        batch.append(tick)
    yield end_us, batch


def derive(rows: Sequence[Derived], load: Load) -> dict[str, Any]:
    """One run of some derivations over a whole market."""
    ticks = list(market(load))
    read = {kind for row in rows for kind in row.reads}
    heard = sum(tick.channel.kind in read for tick in ticks)
    handed_over = list(batches(ticks))
    encode = msgspec.json.Encoder().encode
    gc.collect()
    before_kib = resident_kib()
    chain, told, told_bytes, worst_ns = Chain(rows, DerivedSettings()), 0, 0, 0
    began_ns = time.process_time_ns()
    for at_us, batch in handed_over:
        started_ns = time.process_time_ns()
        out = chain.take(batch, at_us)
        out += chain.wake(at_us)
        for tick in out:
            told_bytes += len(encode(tick.payload))
        told += len(out)
        worst_ns = max(worst_ns, time.process_time_ns() - started_ns)
    spent_s = (time.process_time_ns() - began_ns) / 1e9
    return {
        "what": " and ".join(row.name for row in rows),
        "us_per_tick": spent_s / heard * 1e6,
        "core": spent_s / load.seconds,
        "told_per_s": told / load.seconds,
        "told_bytes": told_bytes / max(1, told),
        "longest_batch_ms": worst_ns / 1e6,
        "resident_mib": (resident_kib() - before_kib) / 1_024,
    }


def kernels(seconds: float) -> dict[str, float]:
    """Microseconds an update."""
    values = [46_000 + 10 * (number % 97) + 0.5 for number in range(10_000)]
    told: dict[str, float] = {}
    for name, make in KERNELS.items():
        update, updates = make(), 0
        began_ns = time.process_time_ns()
        while time.process_time_ns() - began_ns < seconds * 1e9:
            for value in values:
                update(value)
            updates += len(values)
        told[name] = (time.process_time_ns() - began_ns) / updates / 1e3
    return told


def asked(runs: Sequence[dict[str, Any]], load: Load) -> list[Asked]:
    """One core for all of them; the worst run counts."""
    core = max(one["core"] for run in runs for one in run["derivations"] if " and " in one["what"])
    what = f"{load.pairs} pairs x {load.venues} venues at {load.ticks_per_s:,.0f} ticks/s"
    return [at_most(f"{what}: share of a core", core, 1.0, "")]


def show(run: dict[str, Any]) -> None:
    screen = console()
    table = Table("derivation", "µs a tick", "of a core", "messages/s", "bytes", "MiB", box=None)
    for one in run["derivations"]:
        table.add_row(
            one["what"],
            f"{one['us_per_tick']:.1f}",
            f"{one['core']:.0%}",
            f"{one['told_per_s']:,.0f}",
            f"{one['told_bytes']:.0f}",
            f"{one['resident_mib']:.0f}",
        )
    screen.print(table)
    screen.print(", ".join(f"{name} {us:.2f}" for name, us in run["kernels_us"].items()), "µs")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.derived", description=__doc__)
    add_options(parser, seconds=30)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--venues", type=int, default=5)
    parser.add_argument("--ticks-per-s", type=float, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    load = Load(given.pairs, given.venues, given.ticks_per_s, given.seconds, given.seed)
    runs: list[dict[str, Any]] = []
    for _ in range(given.repeats):
        # Those that hear of others' messages only are part of the whole.
        sets = [*((row,) for row in DERIVATIONS if row.reads & _OF_VENUES), DERIVATIONS]
        derivations = [derive(rows, load) for rows in sets]
        runs.append({"derivations": derivations, "kernels_us": kernels(given.seconds / 30)})
        show(runs[-1])
    rows = asked(runs, load)
    console().print(table_of(rows))
    path = keep("derived", __doc__.partition("\n")[0], vars(given), runs, rows, given.output)
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
