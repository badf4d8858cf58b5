"""Question: what do 100 consumers that stop reading cost, and when is the gateway rid of them?

5,000 ticks/s on 20 channels, all of them to each of 100 healthy clients (500,000 deliveries/s), for
60 s. Run in turn, each on a new gateway: they alone; and beside 100 that subscribe to the same and
never read. Compared are the healthy ones' p99. Memory is the gateway's RSS and all of the kernel's
TCP buffers, both ends, at the peak over what they were before anybody connected. Not shown: ones
that read a little (bench.fanout.slow_ones). Needs a C compiler. `python -m bench.fanout.stalled`.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from rich.table import Table

from bench.cpu import stay_off_the_server_core
from bench.fanout.figures import Spread, merged, quantiles_ms, ratios_of_pairs
from bench.fanout.loads import channel
from bench.fanout.memory import Memory, Peak, memory_of
from bench.fanout.rig import PATIENCE_S, Rig, rig
from bench.fanout.stalled_consumers import Gone, StalledConsumers
from bench.load.client import compiled
from bench.setting import described
from bench.verdict import Asked, add_options, at_most, console, keep, table_of
from gateway.errors import CLOSES
from gateway.settings import GatewaySettings

_CHANNELS: Final = 20
_CONSUMERS: Final = 100
_CLOSED_AS_SLOW: Final = f'tickgate_closes_total{{code="{CLOSES["slow"].code}"}}'
_RATIO_MAX: Final = 1.5
_MEMORY_MAX_MIB: Final = 64.0
_GONE_LIMIT_S: Final = 15.0
_PRODUCT: Final = GatewaySettings()


class Fared(msgspec.Struct, frozen=True):
    """One run: how the healthy ones fared."""

    stalled: Gone | None
    """None: nobody stalled."""
    delays_ms: dict[str, float]
    deliveries_per_s: float
    faults: int
    """Of the healthy ones: lost, holes, disorder, gaps, ended connections."""
    ended: int
    """Of the healthy ones, connections: they too were found too slow."""
    gateway_core: float
    publisher_late_s: float
    rss_growth_mib: float
    sockets_growth_mib: float


def run(
    rig: Rig, consumers: int, ticks_per_s: float, seconds: float, *, with_stalled: bool
) -> Fared:
    ticks = round(ticks_per_s * seconds / _CHANNELS) * _CHANNELS
    rig.await_quiet()
    before, peak = memory_of(rig.gateway_id), Peak(rig.gateway_id)
    healthy = rig.client(
        connections=consumers,
        channels=_CHANNELS,
        each=_CHANNELS,
        expected=ticks * consumers,
        limit_s=seconds + PATIENCE_S,
    )
    with _stalling(rig, consumers, with_stalled=with_stalled) as stalled, peak.watching():
        hearing = rig.hear([healthy], _CHANNELS, ticks_per_s, ticks)
        closed = round(rig.metric(_CLOSED_AS_SLOW))
    growth = Memory(*(late - early for early, late in zip(before, peak.seen, strict=True)))
    [heard] = hearing.heard
    lost = ticks * consumers - heard.messages
    return Fared(
        stalled=stalled.fates(closed) if stalled else None,
        delays_ms=quantiles_ms(merged([heard.buckets])),
        deliveries_per_s=heard.messages / max(heard.span_s, 1e-3),
        ended=heard.closed,
        faults=lost + heard.holes + heard.disorder + heard.closed + heard.gaps,
        gateway_core=hearing.gateway_cpu_s / hearing.wall_s,
        publisher_late_s=hearing.published.late_s,
        rss_growth_mib=growth.rss / 2**20,
        sockets_growth_mib=growth.sockets / 2**20,
    )


@contextmanager
def _stalling(rig: Rig, consumers: int, *, with_stalled: bool) -> Iterator[StalledConsumers | None]:
    if not with_stalled:
        yield None
        return
    names = [channel(number) for number in range(_CHANNELS)]
    stalled = StalledConsumers(rig.port, rig.key, consumers, names)
    with stalled.stalling():
        yield stalled


class Pair(msgspec.Struct, frozen=True):
    """Two neighbouring runs."""

    without: Fared
    beside: Fared


def asked(pairs: Sequence[Pair]) -> list[Asked]:
    p99s = ((pair.beside.delays_ms["p99"], pair.without.delays_ms["p99"]) for pair in pairs)
    fates = [pair.beside.stalled for pair in pairs if pair.beside.stalled]
    memory = max(pair.beside.rss_growth_mib + pair.beside.sockets_growth_mib for pair in pairs)
    faults = sum(one.faults for pair in pairs for one in (pair.without, pair.beside))
    ratio = ratios_of_pairs(p99s).median
    return [
        at_most("stalled: RSS and sockets, at the peak", memory, _MEMORY_MAX_MIB, " MiB"),
        at_most("stalled: healthy p99, beside / without", ratio, _RATIO_MAX, "x"),
        at_most(
            "stalled: the last let go", max(one.let_go_s for one in fates), _GONE_LIMIT_S, " s"
        ),
        _gone(fates),
        at_most("stalled: lost or out of order for healthy ones", faults, 0, ""),
    ]


def _gone(fates: Sequence[Gone]) -> Asked:
    what, limit = "stalled: the last gone from the kernel too", f"≤ {_GONE_LIMIT_S:g} s"
    left = sum(one.consumers - one.gone for one in fates)
    if left:
        return Asked(what, limit, f"{left} were not", met=False)
    return at_most(what, max(one.last_s for one in fates), _GONE_LIMIT_S, " s")


def shown(pairs: Sequence[Pair]) -> Table:
    table = Table("healthy clients", box=None, pad_edge=False)
    titles = ("p50 ms", "p99", "p99.9", "deliveries/s", "core", "RSS grew", "kernel", "faults")
    for title in (*titles, "gone", "from-to s"):
        table.add_column(title, justify="right")
    for name, runs in (
        ("alone", [pair.without for pair in pairs]),
        ("beside stalled", [pair.beside for pair in pairs]),
    ):
        gone = [one.stalled for one in runs if one.stalled]
        table.add_row(
            name,
            *(Spread.of(one.delays_ms[at] for one in runs).told() for at in _PARTS),
            f"{statistics.median(one.deliveries_per_s for one in runs):,.0f}",
            f"{statistics.median(one.gateway_core for one in runs):.0%}",
            f"{Spread.of(one.rss_growth_mib for one in runs).told()} MiB",
            f"{Spread.of(one.sockets_growth_mib for one in runs).told()} MiB",
            str(sum(one.faults for one in runs)),
            f"{min(one.gone for one in gone)} of {gone[0].consumers}" if gone else "-",
            f"{min(one.first_s for one in gone):.1f}-{max(one.last_s for one in gone):.1f}"
            if gone
            else "-",
        )
    return table


_PARTS: Final = ("p50", "p99", "p99.9")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench.fanout.stalled", description=__doc__.splitlines()[0]
    )
    add_options(parser, seconds=60.0)
    parser.add_argument("--ticks-per-s", type=float, default=5_000)
    parser.add_argument("--consumers", type=int, default=_CONSUMERS, help="of each sort")
    parser.add_argument("--outbox-age-max-s", type=float, default=_PRODUCT.outbox_age_max_s)
    parser.add_argument("--slow-limit-s", type=float, default=_PRODUCT.slow_limit_s)
    options = parser.parse_args()
    stay_off_the_server_core()
    settings: dict[str, Any] = {
        "outbox_age_max_s": options.outbox_age_max_s,
        "slow_limit_s": options.slow_limit_s,
    }
    pairs: list[Pair] = []
    with compiled() as program:
        for number in range(options.repeats):
            both = []
            for with_stalled in (False, True):
                told = "beside stalled ones" if with_stalled else "healthy ones alone"
                print(f"stalled, repeat {number + 1} of {options.repeats}: {told}", file=sys.stderr)
                with rig(program, channels=_CHANNELS, **settings) as one:
                    load = options.consumers, options.ticks_per_s, options.seconds
                    both.append(run(one, *load, with_stalled=with_stalled))
            pairs.append(Pair(*both))
    rows = asked(pairs)
    screen = console()
    screen.print(*described(), sep="\n")
    screen.print(shown(pairs), table_of(rows), sep="\n")
    path = keep("stalled", __doc__, vars(options), pairs, rows, options.output)
    screen.print(f"written: {path}")
    sys.exit(1 if any(one.faults for pair in pairs for one in (pair.without, pair.beside)) else 0)


if __name__ == "__main__":
    main()
