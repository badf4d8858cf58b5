"""Question: what do metrics cost the fan-out?

The same loads on the gateway as it is, its metrics read every 15 s, and on one whose histograms
hear of nothing and whose metrics nobody reads: interleaved, CPU and p99 as ratios within each
repeat. Counting alone can't be taken out: it is part of both. Needs a C compiler.
`python -m bench.fanout.metered`.
"""

import argparse
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import msgspec
from rich.table import Table

from bench.beside import beside
from bench.cpu import stay_off_the_server_core
from bench.fanout.figures import ratios_of_pairs
from bench.fanout.loads import CHANNELS_MAX, W2, W3, Load, w1
from bench.fanout.rig import Rig, rig
from bench.fanout.run import Run, run
from bench.fanout.without import METRICS
from bench.load.client import compiled
from bench.setting import described
from bench.verdict import Asked, add_options, at_most, console, keep, table_of

_LOADS: Final = (W2, W3, w1(100 * 10))
_WARM_UP_S: Final = 1.0
_READ_EVERY_S: Final = 15.0
"""As a Prometheus does unless told otherwise."""
_FIRST_READ_S: Final = 1.0
_RATIO_MAX: Final = 1.03


class Pair(msgspec.Struct, frozen=True):
    """Two neighbouring gateways, each with all loads."""

    metered: list[Run]
    bare: list[Run]


def trial(program: str, seconds: float, *, is_metered: bool) -> list[Run]:
    without = None if is_metered else METRICS
    with rig(program, channels=CHANNELS_MAX, without=without) as one:
        run(one, W3, _WARM_UP_S)
        runs: list[Run] = []
        for load in _LOADS:
            with _reading(one) if is_metered else nullcontext():
                runs.append(run(one, load, seconds))
        return runs


def _reading(one: Rig) -> AbstractContextManager[None]:
    def keep_reading(over: threading.Event) -> None:
        wait_s = _FIRST_READ_S
        while not over.wait(wait_s):
            one.metric("tickgate_sessions")
            wait_s = _READ_EVERY_S

    return beside(keep_reading)


def asked(pairs: Sequence[Pair]) -> list[Asked]:
    return [
        at_most(
            f"metrics, {load.name}: CPU per delivery, with / without",
            _ratio(pairs, load, "us_per_delivery"),
            _RATIO_MAX,
            "x",
        )
        for load in _LOADS
    ]


def shown(pairs: Sequence[Pair]) -> Table:
    table = Table("with metrics / without", box=None, pad_edge=False)
    for title in ("CPU", "p99"):
        table.add_column(title, justify="right")
    for load in _LOADS:
        parts = (f"x {_ratio(pairs, load, part):.3f}" for part in ("us_per_delivery", "p99"))
        table.add_row(load.name, *parts)
    return table


def _ratio(pairs: Sequence[Pair], load: Load, part: str) -> float:
    at = _LOADS.index(load)
    both = [(getattr(pair.metered[at], part), getattr(pair.bare[at], part)) for pair in pairs]
    return ratios_of_pairs(both).median


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.fanout.metered", description=__doc__)
    add_options(parser, seconds=_READ_EVERY_S)
    options = parser.parse_args()
    stay_off_the_server_core()
    pairs: list[Pair] = []
    with compiled() as program:
        for number in range(options.repeats):
            print(f"metered, repeat {number + 1} of {options.repeats}", file=sys.stderr)
            # In turn, as the second of two on a warm machine may have it better.
            order = (True, False) if number % 2 == 0 else (False, True)
            runs = {one: trial(program, options.seconds, is_metered=one) for one in order}
            pairs.append(Pair(metered=runs[True], bare=runs[False]))
    rows = asked(pairs)
    screen = console()
    screen.print(*described(), sep="\n")
    screen.print(shown(pairs), table_of(rows), sep="\n")
    path = keep("metered", __doc__ or "", vars(options), pairs, rows, options.output)
    screen.print(f"written: {path}")


if __name__ == "__main__":
    main()
