"""Question: how much CPU does a rate of `100ms` save the gateway, over every message?

1,000 subscribers of 200 channels with 5,000 ticks/s in all, at `all` and at `100ms`, one after the
other on the same gateway: in one shape each has 10 of the channels, in the other all 200. Compared
is the gateway's CPU for the same ticks, until all is delivered. Where the gateway can't keep up
with `all`, that costs it less a message, as more are joined, or not even all come: the ratio is
then too small, not too large. Needs a C compiler. `python -m bench.fanout.conflation`.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from typing import Final

import msgspec
from rich.table import Table

from bench.cpu import stay_off_the_server_core
from bench.fanout.figures import Spread, ratios_of_pairs
from bench.fanout.rig import PATIENCE_S, Rig, rig
from bench.load.client import compiled
from bench.setting import described
from bench.verdict import Asked, add_options, at_least, console, keep, table_of

_CHANNELS: Final = 200
_EACH: Final = (10, 200)
_RATIO_MIN: Final = 5.0
_RATE: Final = "100ms"


class Cost(msgspec.Struct, frozen=True):
    """One run."""

    each: int
    rate: str
    ticks: int
    messages: int
    """As the subscribers got them."""
    stood_for_more: int
    faults: int
    gateway_cpu_s: float
    gateway_core: float
    p99: float


def run(rig: Rig, each: int, rate: str, connections: int, ticks_per_s: float, s: float) -> Cost:
    ticks = round(ticks_per_s * s / _CHANNELS) * _CHANNELS
    expected = ticks * connections * each // _CHANNELS if rate == "all" else 0
    client = rig.client(
        connections=connections,
        channels=_CHANNELS,
        each=each,
        rate=rate,
        expected=expected,
        limit_s=s + PATIENCE_S,
    )
    hearing = rig.hear([client], _CHANNELS, ticks_per_s, ticks)
    heard = hearing.heard[0]
    lost = max(0, expected - heard.messages)
    return Cost(
        each=each,
        rate=rate,
        ticks=ticks,
        messages=heard.messages,
        stood_for_more=heard.conflated,
        faults=lost + heard.holes + heard.disorder + heard.closed,
        gateway_cpu_s=hearing.gateway_cpu_s,
        gateway_core=hearing.gateway_cpu_s / max(heard.span_s, 1e-3),
        p99=heard.p99_us / 1_000,
    )


def ratios(runs: Sequence[Cost], each: int) -> Spread | None:
    """CPU at `all` over CPU at the rate, of neighbouring runs; None where there were none."""
    cpu_s = {
        rate: [one.gateway_cpu_s for one in runs if (one.each, one.rate) == (each, rate)]
        for rate in ("all", _RATE)
    }
    pairs = list(zip(cpu_s["all"], cpu_s[_RATE], strict=False))
    return ratios_of_pairs(pairs) if pairs else None


def asked(runs: Sequence[Cost]) -> list[Asked]:
    rows = []
    for each in _EACH:
        what = f"CPU at `all` / at `{_RATE}`, {each} of {_CHANNELS} channels each"
        found = ratios(runs, each)
        if found is None:
            rows.append(Asked(what, f"≥ {_RATIO_MIN:g}x", "SKIPPED: no such rate"))
        else:
            rows.append(at_least(what, found.median, _RATIO_MIN, "x"))
    return rows


def shown(runs: Sequence[Cost]) -> Table:
    table = Table("channels each", "rate", box=None, pad_edge=False)
    for title in ("CPU s", "of a core", "messages", "p99 ms", "faults"):
        table.add_column(title, justify="right")
    for each, rate in dict.fromkeys((one.each, one.rate) for one in runs):
        ones = [one for one in runs if (one.each, one.rate) == (each, rate)]
        table.add_row(
            *(str(each), rate, Spread.of(one.gateway_cpu_s for one in ones).told(".2f")),
            Spread.of(one.gateway_core for one in ones).told(".0%"),
            f"{statistics.median(one.messages for one in ones):,.0f}",
            Spread.of(one.p99 for one in ones).told(),
            str(sum(one.faults for one in ones)),
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench.fanout.conflation", description=__doc__.splitlines()[0]
    )
    add_options(parser, seconds=10.0)
    parser.add_argument("--ticks-per-s", type=float, default=5_000)
    parser.add_argument("--connections", type=int, default=1_000)
    options = parser.parse_args()
    stay_off_the_server_core()
    runs: list[Cost] = []
    with compiled() as program:
        for number in range(options.repeats):
            with rig(program, channels=_CHANNELS) as one:
                rates = ["all", *([_RATE] if one.accepts(_RATE) else [])]
                for each in _EACH:
                    for rate in rates:
                        told = f"{each} of {_CHANNELS} channels each at {rate}"
                        print(
                            f"conflation, repeat {number + 1} of {options.repeats}: {told}",
                            file=sys.stderr,
                        )
                        shape = (options.connections, options.ticks_per_s, options.seconds)
                        runs.append(run(one, each, rate, *shape))
    rows = asked(runs)
    screen = console()
    screen.print(*described(), sep="\n")
    screen.print(shown(runs), table_of(rows), sep="\n")
    path = keep("conflation", __doc__, vars(options), runs, rows, options.output)
    screen.print(f"written: {path}")
    sys.exit(1 if any(one.faults for one in runs) else 0)


if __name__ == "__main__":
    main()
