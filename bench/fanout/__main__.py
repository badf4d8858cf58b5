"""Question: what does a delivery cost the gateway, how late is it, and does every one come?

W1: 1,000 subscribers of one channel, the rate raised until a step no longer holds (p99 over 100 ms,
or anything lost, twice) or the load client is the bottleneck; and 1,000,000 deliveries/s, also with
a 20 ms window. W2: the same at 100 ticks/s. W3: 500 connections with 20 of 100 channels each at
2,000 ticks/s. Open loop: latency counts from when a tick was due. The gateway has core 0 to itself.
Not shown: networks (it is loopback), TLS, clients that come and go. Needs a C compiler.
`python -m bench.fanout`; a PNG of latency against load comes beside the result, with matplotlib.
"""

import argparse
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
from rich.table import Table

from bench.chart import Line, draw
from bench.cpu import stay_off_the_server_core
from bench.fanout.figures import Spread
from bench.fanout.loads import CHANNELS_MAX, FIXED, RAMP, W1_FIXED, W1_WIDE, W2, W3, Load, w1
from bench.fanout.rig import Rig, rig
from bench.fanout.run import CLIENT_CORE_MAX, Run, run
from bench.load.client import compiled
from bench.setting import described
from bench.verdict import Asked, add_options, at_least, at_most, console, keep, table_of

_P99_MAX_MS: Final = 100.0
_WARM_UP: Final = w1(1_000)
_WARM_UP_S: Final = 1.0
_END: Final = "end of the ramp"
_RAMP_SHARE: Final = 0.5
"""Of --seconds: a step of the ramp."""


class Repeat(msgspec.Struct, frozen=True):
    """All loads once, on a Redis and gateways of their own."""

    fixed: list[Run]
    ramp: list[Run]
    """Upwards; a step that did not hold has a second try behind it."""

    @property
    def best(self) -> Run | None:
        """The highest step that held."""
        held = [step for step in self.ramp if step.holds(_P99_MAX_MS)]
        return max(held, key=lambda step: step.deliveries_per_s, default=None)

    @property
    def limited_by(self) -> str | None:
        """Who, if not the gateway, ended the ramp; None: the gateway."""
        last = self.ramp[-1]
        over = not last.holds(_P99_MAX_MS) or last.client_core > CLIENT_CORE_MAX
        return last.limited_by if over else _END


def repeat(program: str, loads: Sequence[Load], ramp: Sequence[Load], seconds: float) -> Repeat:
    fixed: list[Run] = []
    steps: list[Run] = []
    for window_ms in dict.fromkeys(load.window_ms for load in loads):
        with rig(program, channels=CHANNELS_MAX, window_ms=window_ms) as one:
            run(one, _WARM_UP, _WARM_UP_S)
            chosen = [load for load in loads if load.window_ms == window_ms]
            fixed += [_told(run(one, load, seconds)) for load in chosen]
            if window_ms is None:
                steps += climb(one, ramp, seconds * _RAMP_SHARE)
    return Repeat(fixed, steps)


def climb(rig: Rig, ramp: Iterable[Load], seconds: float) -> Iterator[Run]:
    """Each step until one fails twice, or the client is what limits."""
    for load in ramp:
        step = _told(run(rig, load, seconds))
        yield step
        if not step.holds(_P99_MAX_MS):
            # One hiccup of the machine is no limit of the gateway.
            step = _told(run(rig, load, seconds))
            yield step
        if not step.holds(_P99_MAX_MS) or step.client_core > CLIENT_CORE_MAX:
            return


def _told(one: Run) -> Run:
    limited = f", limited by the {one.limited_by}" if one.limited_by else ""
    print(
        f"  {one.load}: p99 {one.p99:.1f} ms, {one.us_per_delivery:.2f} µs each, "
        f"faults {one.faults}{limited}",
        file=sys.stderr,
    )
    return one


def asked(repeats: Sequence[Repeat]) -> list[Asked]:
    rows: list[Asked] = []
    runs = [one for repeat in repeats for one in repeat.fixed]
    by_load = {name: [one for one in runs if one.load == name] for name in _names(runs)}
    best = [repeat.best.deliveries_per_s if repeat.best else 0.0 for repeat in repeats]
    if any(repeat.ramp for repeat in repeats):
        row = at_least("W1 most deliveries/s on a core", statistics.median(best), 5e6, "")
        cut_short = all(repeat.limited_by == _END for repeat in repeats)
        rows.append(msgspec.structs.replace(row, met=row.met or (None if cut_short else False)))
    if ones := by_load.get(W1_FIXED.name):
        rows.append(at_most("W1 p99 at 1M/s", _median(ones, "p99"), 25, " ms"))
    if ones := by_load.get(W1_WIDE.name):
        cost_us = _median(ones, "us_per_delivery")
        rows.append(at_most("W1 a delivery at 1M/s, 20 ms window", cost_us, 0.60, " µs"))
    if ones := by_load.get(W2.name):
        rows.append(at_most("W2 p99", _median(ones, "p99"), 10, " ms"))
    if ones := by_load.get(W3.name):
        rows.append(at_most("W3 lost or out of order", sum(one.faults for one in ones), 0, ""))
        rows.append(at_most("W3 p99", _median(ones, "p99"), 8, " ms"))
        rows.append(at_most("W3 of the core", 100 * _median(ones, "core"), 65, " %"))
    return rows


def _median(runs: Iterable[Run], figure: str) -> float:
    return float(statistics.median(getattr(one, figure) for one in runs))


def _names(runs: Iterable[Run]) -> list[str]:
    return list(dict.fromkeys(one.load for one in runs))


def shown(runs: Sequence[Run]) -> Table:
    """Median and spread of each load."""
    table = Table("load", box=None, pad_edge=False)
    titles = ("deliveries/s", "µs each", "core", "client", "p50 ms", "p99", "p99.9", "faults")
    for title in (*titles, "limited by"):
        table.add_column(title, justify="right")
    for name in _names(runs):
        ones = [one for one in runs if one.load == name]
        table.add_row(
            *(name, f"{_median(ones, 'deliveries_per_s'):,.0f}"),
            Spread.of(one.us_per_delivery for one in ones).told(".2f"),
            *(f"{_median(ones, 'core'):.0%}", f"{_median(ones, 'client_core'):.0%}"),
            f"{_median(ones, 'p50'):.1f}",
            Spread.of(one.p99 for one in ones).told(),
            *(f"{_median(ones, 'p999'):.1f}", str(sum(one.faults for one in ones))),
            ", ".join(sorted({one.limited_by for one in ones if one.limited_by})) or "-",
        )
    return table


def lines(runs: Sequence[Run]) -> list[Line]:
    """Of W1, for the chart: each quantile against the load, with its spread."""
    found = [Line("p50"), Line("p99"), Line("p99.9")]
    for line, figure in zip(found, ("p50", "p99", "p999"), strict=True):
        for name in _names(runs):
            ones = [one for one in runs if one.load == name]
            spread = Spread.of(getattr(one, figure) for one in ones)
            line.points.append((ones[0].offered_per_s, spread))
    return sorted(found, key=lambda line: line.name)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.fanout", description=__doc__.splitlines()[0])
    add_options(parser, seconds=10.0)
    parser.add_argument("--ramp-to", type=float, default=RAMP[-1].offered_per_s, metavar="PER_S")
    parser.add_argument("--only", nargs="+", default=["W1", "W2", "W3"], metavar="W")
    options = parser.parse_args()
    stay_off_the_server_core()
    loads = [load for load in FIXED if load.name[:2] in options.only]
    ramp = [load for load in RAMP if load.offered_per_s <= options.ramp_to and "W1" in options.only]
    repeats: list[Repeat] = []
    with compiled() as program:
        for number in range(options.repeats):
            print(f"fanout, repeat {number + 1} of {options.repeats}", file=sys.stderr)
            repeats.append(repeat(program, loads, ramp, options.seconds))
    runs = [one for repeat in repeats for one in (*repeat.fixed, *repeat.ramp)]
    rows = asked(repeats)
    screen = console()
    screen.print(*described(), sep="\n")
    screen.print(shown([one for repeat in repeats for one in repeat.fixed]))
    screen.print(shown([one for repeat in repeats for one in repeat.ramp]))
    for number, one in enumerate(repeats, 1):
        if one.ramp:
            most = f"{one.best.deliveries_per_s:,.0f}" if one.best else "none"
            by = one.limited_by or "gateway"
            screen.print(f"W1, repeat {number}: most deliveries/s {most}; limited by the {by}")
    screen.print(table_of(rows))
    path = keep("fanout", __doc__, vars(options), repeats, rows, options.output)
    screen.print(f"written: {path}")
    if ramp and draw(
        path.with_suffix(".png"),
        lines([one for one in runs if one.load in {load.name for load in ramp}]),
        title="W1: 1,000 subscribers of one channel, publication due to client",
        load="deliveries/s, as offered",
        setting=described(),
    ):
        screen.print(f"written: {path.with_suffix('.png')}")
    sys.exit(1 if any(one.faults for repeat in repeats for one in repeat.fixed) else 0)


if __name__ == "__main__":
    main()
