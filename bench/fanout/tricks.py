"""Question: what is each trick of the fan-out worth? One that buys under 3 % is to go.

The same loads on the gateway as it is, and with one trick taken out (bench.fanout.without), or with
a join window of 0: interleaved, CPU and p99 as ratios within each repeat. Needs a C compiler.
`python -m bench.fanout.tricks`.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

import msgspec
from rich.table import Table

from bench.cpu import stay_off_the_server_core
from bench.fanout.figures import ratios_of_pairs
from bench.fanout.loads import CHANNELS_MAX, W2, W3, Load, w1
from bench.fanout.rig import rig
from bench.fanout.run import Run, run
from bench.fanout.without import TRICKS
from bench.load.client import compiled
from bench.setting import described
from bench.verdict import add_options, console, keep

_AS_IT_IS: Final = "as it is"
_NO_WINDOW: Final = "join window"
_LOADS: Final = (W2, W3, w1(100 * 10))
_WARM_UP_S: Final = 1.0


class Trial(msgspec.Struct, frozen=True):
    """All loads once, on a gateway of their own."""

    without: str
    runs: list[Run]


def trial(program: str, without: str, loads: Sequence[Load], seconds: float) -> Trial:
    window_ms = 0.0 if without == _NO_WINDOW else None
    trick = without if without in TRICKS else None
    with rig(program, channels=CHANNELS_MAX, window_ms=window_ms, without=trick) as one:
        run(one, W3, _WARM_UP_S)
        return Trial(without, [run(one, load, seconds) for load in loads])


def shown(trials: Sequence[Trial]) -> Table:
    table = Table("without", box=None, pad_edge=False)
    for load in _LOADS:
        table.add_column(f"{load.name}: CPU", justify="right")
        table.add_column("p99", justify="right")
    whole = [one for one in trials if one.without == _AS_IT_IS]
    for name in dict.fromkeys(one.without for one in trials):
        pairs = list(zip((one for one in trials if one.without == name), whole, strict=True))
        cells: list[str] = []
        for at in range(len(_LOADS)):
            for part in ("us_per_delivery", "p99"):
                both = [(getattr(a.runs[at], part), getattr(b.runs[at], part)) for a, b in pairs]
                cells.append(f"x {ratios_of_pairs(both).told('.2f')}")
        table.add_row(name, *cells)
    return table


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.fanout.tricks", description=__doc__)
    add_options(parser, seconds=4.0)
    options = parser.parse_args()
    stay_off_the_server_core()
    trials: list[Trial] = []
    with compiled() as program:
        for number in range(options.repeats):
            for without in (_AS_IT_IS, _NO_WINDOW, *TRICKS):
                told = f"tricks, repeat {number + 1} of {options.repeats}: {without}"
                print(told, file=sys.stderr)
                trials.append(trial(program, without, _LOADS, options.seconds))
    screen = console()
    screen.print(*described(), sep="\n")
    screen.print(shown(trials))
    path = keep("tricks", __doc__ or "", vars(options), trials, [], options.output)
    screen.print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
