"""Question: what does a candle cost each model, a tick the signals, and a restart all of them?

Pure code only, no socket: candles of a market made up before the clock starts. CPU time of this
process. `python -m bench.models`.
"""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count, cycle, islice
from math import exp
from random import Random
from typing import Any, Final

from rich.table import Table

from bench.resident import resident_kib
from bench.verdict import Asked, add_options, at_most, console, keep, table_of
from feeds.derived.grade import Grades
from feeds.derived.models import MODELS, Step, chosen, load
from feeds.derived.settings import DerivedSettings
from feeds.derived.signals import Signals
from feeds.market import Candle, Channel, Payload, Price, Quote, Tick

_MINUTE_US: Final = 60_000_000
_START_US: Final = 1_763_632_800_000_000
_WARM_UP: Final = 500
"""Candles after which every model speaks."""
_HISTORY: Final = 1_000
"""Candles that a stream keeps."""


def candles(seed: int, number: int) -> list[Candle]:
    """A random walk of minutes."""
    random, close, made = Random(seed), 68_900.0, []
    for at in range(number):
        open_, close = close, close * exp(random.gauss(0.0, 0.0005))
        high, low = max(open_, close) * 1.0003, min(open_, close) * 0.9997
        volume = exp(random.gauss(2.0, 0.7))
        numbers = (open_, high, low, close, volume, volume * close, volume * random.random())
        o, h, l, c, v, quote, bought = (f"{number:.2f}" for number in numbers)  # noqa: E741
        start_us = _START_US + at * _MINUTE_US
        made.append(Candle(start_us, o, h, l, c, v, quote, c, bought, 40, final=True))
    return made


def steps(rows: Sequence[Candle]) -> list[Step]:
    return [
        Step(
            row.start_us + _MINUTE_US,
            float(row.high),
            float(row.low),
            float(row.close),
            float(row.volume),
            float(row.buy_volume),
            row.trades,
            row.partial,
            0.1,
        )
        for row in rows
    ]


def timed(seconds: float, one: Callable[[], object]) -> float:
    """Microseconds a call."""
    calls, began_ns = 0, time.process_time_ns()
    while time.process_time_ns() - began_ns < seconds * 1e9:
        for _ in range(50):
            one()
        calls += 50
    return (time.process_time_ns() - began_ns) / calls / 1e3


def models_us(seconds: float, seed: int) -> dict[str, float]:
    """A candle, once the warm-up is over."""
    settings, rows = DerivedSettings().signal, steps(candles(seed, 5_000))
    told: dict[str, float] = {}
    for row in chosen(settings):
        model, again = row.make(settings, _MINUTE_US), _on_and_on(rows)
        for step in islice(again, _WARM_UP):
            model.update(step)
        told[row.name] = timed(
            seconds,
            lambda model=model, again=again: model.update(next(again)),  # type: ignore[misc]
        )
    return told


def _on_and_on(rows: Sequence[Step]) -> Iterator[Step]:
    for number, row in zip(count(), cycle(rows), strict=False):
        yield row._replace(end_us=_START_US + (number + 1) * _MINUTE_US)


def ticks_us(seconds: float, pairs: int, seed: int) -> dict[str, float]:
    """What the signals of many pairs make of a tick that gives none."""
    signals, random = Signals(DerivedSettings()), Random(seed)
    names = [f"P{number}-USD" for number in range(pairs)]
    price = Price("live", "median-v1", 1, 2, 2, 50, 10_000, (), _START_US, "100.5", "0.1")
    quote, candle = Quote("100", "101", "1.5", "0.7"), candles(seed, 1)[0]
    batches: dict[str, list[Tick]] = {"price": [], "quote": [], "other candle": []}
    for name in random.choices(names, k=1_000):
        batches["price"].append(Tick(Channel("price", "agg", name), price))
        batches["quote"].append(Tick(Channel("quote", "kraken", name), quote))
        batches["other candle"].append(Tick(Channel("candle.1s", "kraken", name), candle))
    return {
        name: timed(seconds, lambda batch=batch: signals.take(batch, _START_US)) / len(batch)  # type: ignore[misc]
        for name, batch in batches.items()
    }


def restart(pairs: int, seed: int) -> dict[str, Any]:
    """All pairs' candles of before, heard at the start."""
    rows: Sequence[Payload] = candles(seed, _HISTORY)
    told = {f"candle.1m:agg:P{number}-USD": rows for number in range(pairs)}
    gc.collect()
    before_kib = resident_kib()
    signals, grades = Signals(DerivedSettings()), Grades(DerivedSettings())
    began_ns = time.process_time_ns()
    signals.restore(told, _START_US)
    grades.restore({}, _START_US)
    longest_ns = 0
    while signals.next_us() is not None:
        started_ns = time.process_time_ns()
        signals.wake(_START_US)
        longest_ns = max(longest_ns, time.process_time_ns() - started_ns)
    spent_s = (time.process_time_ns() - began_ns) / 1e9
    kib = resident_kib() - before_kib
    return {
        "pairs": pairs,
        "seconds": spent_s,
        "longest_wake_ms": longest_ns / 1e6,
        "mib": kib / 1_024,
    }


def asked(runs: Sequence[dict[str, Any]]) -> list[Asked]:
    """No issue gives these limits: they keep the models a small part of one core."""
    candle_us = max(sum(run["models_us"].values()) for run in runs)
    quote_us = max(run["ticks_us"]["quote"] for run in runs)
    return [
        at_most(
            "500 pairs' minutes, all models: share of a core", 500 * candle_us / 60e6, 0.01, ""
        ),
        at_most("a quote", quote_us, 3.0, " µs"),
    ]


def show(run: dict[str, Any]) -> None:
    table = Table("what", "µs", box=None)
    for name, us in run["models_us"].items():
        table.add_row(f"{MODELS[name].title}, a candle", f"{us:.1f}")
    for name, us in run["ticks_us"].items():
        table.add_row(f"signals, a {name}", f"{us:.2f}")
    console().print(table)
    again = run["restart"]
    console().print(
        f"a restart of {again['pairs']} pairs: {again['seconds']:.2f} s in pieces of at most "
        f"{again['longest_wake_ms']:.0f} ms, {again['mib']:.0f} MiB"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.models", description=__doc__)
    add_options(parser, seconds=20)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    runs: list[dict[str, Any]] = []
    load(DerivedSettings().signal)
    for _ in range(given.repeats):
        part_s = given.seconds / 8
        runs.append(
            {
                "models_us": models_us(part_s, given.seed),
                "ticks_us": ticks_us(part_s, given.pairs, given.seed),
                "restart": restart(given.pairs, given.seed),
            }
        )
        show(runs[-1])
    rows = asked(runs)
    console().print(table_of(rows))
    path = keep("models", __doc__.partition("\n")[0], vars(given), runs, rows, given.output)
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
