"""Question (W6): what do slow clients cost the fast ones, and what does the gateway do with them?

1,000 clients, each with 8 of 20 channels of 25 ticks/s: 600 at rate `all`, 200 `latest`, 200
`100ms`, so up to 200,000 deliveries/s. Run in turn, each on a new gateway: everyone reads; and 50
of those at `all` are slow (25 read nothing, 25 read 2 KiB/s, all with tiny receive buffers).
Compared are the p99 of the same 950 others, rate by rate, as a ratio of neighbouring runs. Also:
how much more memory gateway and kernel had at the peak, and how many slow ones were cut. Not shown:
many that become slow in the same moment. Needs a C compiler. `python -m bench.fanout.slow_ones`.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec
from rich.table import Table

from bench.cpu import stay_off_the_server_core
from bench.fanout.figures import Spread, merged, quantiles_ms, ratios_of_pairs
from bench.fanout.loads import channel
from bench.fanout.memory import Memory, Peak, memory_of
from bench.fanout.rig import PATIENCE_S, Hearing, Rig, rig
from bench.fanout.slow_readers import Fates, SlowReaders
from bench.load.client import LoadClient, compiled
from bench.setting import described
from bench.verdict import Asked, add_options, at_most, console, keep, table_of
from gateway.errors import CLOSES
from gateway.settings import GatewaySettings

_CHANNELS: Final = 20
_EACH: Final = 8
_CLOSED_AS_SLOW: Final = f'tickgate_closes_total{{code="{CLOSES["slow"].code}"}}'
"""The gateway's own count of them."""
_RATIO_MAX: Final = 1.5
_PRODUCT: Final = GatewaySettings()


class Crowd(NamedTuple):
    """Clients that are alike. Those that turn slow are counted among nobody's figures."""

    rate: str
    first: int
    connections: int


FAST: Final = (Crowd("all", 0, 550), Crowd("latest", 550, 200), Crowd("100ms", 750, 200))
TURNING: Final = Crowd("all", 950, 50)
"""They read in one run and don't in the next."""


class Fared(msgspec.Struct, frozen=True):
    """One run: how the fast ones fared."""

    slow: Fates | None
    """None: everyone read."""
    delays_ms: dict[str, dict[str, float]]
    """By rate."""
    deliveries_per_s: float
    """To the fast ones."""
    faults: int
    """Of the fast ones: lost at `all`, holes, disorder, ended connections."""
    gateway_core: float
    rss_growth_mib: float
    """The gateway's peak over what it was before anyone connected."""
    sockets_growth_mib: float
    """The same of the kernel's buffers of both ends."""


def run(rig: Rig, ticks_per_s: float, seconds: float, *, with_slow: bool) -> Fared:
    ticks = round(ticks_per_s * seconds / _CHANNELS) * _CHANNELS
    crowds = [crowd for crowd in FAST if rig.accepts(crowd.rate)]
    rig.await_quiet()
    before, peak = memory_of(rig.gateway_id), Peak(rig.gateway_id)
    fast = [_client(rig, crowd, ticks, seconds) for crowd in crowds]
    with _turning(rig, with_slow=with_slow) as slow:
        others = [] if slow else [_client(rig, TURNING, ticks, seconds)]
        with peak.watching():
            hearing = rig.hear([*fast, *others], _CHANNELS, ticks_per_s, ticks)
        closed = round(rig.metric(_CLOSED_AS_SLOW))
        fates = slow.fates(closed) if slow else None
    growth = Memory(*(late - early for early, late in zip(before, peak.seen, strict=True)))
    return _figures(fast, hearing, fates, growth)


def _client(rig: Rig, crowd: Crowd, ticks: int, seconds: float) -> LoadClient:
    every = ticks * crowd.connections * _EACH // _CHANNELS
    return rig.client(
        connections=crowd.connections,
        channels=_CHANNELS,
        each=_EACH,
        first=crowd.first,
        rate=crowd.rate,
        expected=every if crowd.rate == "all" else 0,
        limit_s=seconds + PATIENCE_S,
    )


@contextmanager
def _turning(rig: Rig, *, with_slow: bool) -> Iterator[SlowReaders | None]:
    if not with_slow:
        yield None
        return
    firsts = [
        number * _EACH for number in range(TURNING.first, TURNING.first + TURNING.connections)
    ]
    names = [[channel((at + i) % _CHANNELS) for i in range(_EACH)] for at in firsts]
    slow = SlowReaders(rig.port, rig.key, names)
    with slow.reading():
        yield slow


def _figures(
    clients: Sequence[LoadClient], hearing: Hearing, slow: Fates | None, growth: Memory
) -> Fared:
    heard = hearing.heard[: len(clients)]
    pairs = list(zip(clients, heard, strict=True))
    lost = sum(client.expected - one.messages for client, one in pairs if client.expected)
    return Fared(
        slow=slow,
        delays_ms={client.rate: quantiles_ms(merged([one.buckets])) for client, one in pairs},
        deliveries_per_s=sum(one.messages / max(one.span_s, 1e-3) for one in heard),
        faults=lost + sum(one.holes + one.disorder + one.closed for one in heard),
        gateway_core=hearing.gateway_cpu_s / hearing.wall_s,
        rss_growth_mib=growth.rss / 2**20,
        sockets_growth_mib=growth.sockets / 2**20,
    )


class Pair(msgspec.Struct, frozen=True):
    """Two neighbouring runs."""

    without: Fared
    beside: Fared
    """With slow ones."""

    def p99s(self, rate: str) -> tuple[float, float]:
        return self.beside.delays_ms[rate]["p99"], self.without.delays_ms[rate]["p99"]


def asked(pairs: Sequence[Pair]) -> list[Asked]:
    rows = []
    for crowd in FAST:
        what = f"W6 fast p99 at `{crowd.rate}`, slow beside / without"
        if all(crowd.rate in pair.without.delays_ms for pair in pairs):
            ratios = ratios_of_pairs(pair.p99s(crowd.rate) for pair in pairs)
            rows.append(at_most(what, ratios.median, _RATIO_MAX, "x"))
        else:
            rows.append(Asked(what, f"≤ {_RATIO_MAX:g}x", "SKIPPED: no such rate"))
    faults = sum(one.faults for pair in pairs for one in (pair.without, pair.beside))
    return [*rows, at_most("W6 lost or out of order for fast ones", faults, 0, "")]


def shown(pairs: Sequence[Pair]) -> Table:
    table = Table("fast clients", box=None, pad_edge=False)
    for title in (
        "p50 ms",
        "p99",
        "p99.9",
        "deliveries/s",
        "core",
        "RSS grew",
        "kernel",
        "faults",
        "cut",
    ):
        table.add_column(title, justify="right")
    kinds = {
        "everyone reads": [pair.without for pair in pairs],
        "slow beside": [pair.beside for pair in pairs],
    }
    for name, runs in kinds.items():
        for rate in runs[0].delays_ms:
            delays = [one.delays_ms[rate] for one in runs]
            table.add_row(
                f"{name}, {rate}",
                *(Spread.of(one[part] for one in delays).told() for part in _PARTS),
                *(_sums(runs) if rate == "all" else ()),
            )
    return table


_PARTS: Final = ("p50", "p99", "p99.9")


def _sums(runs: Sequence[Fared]) -> list[str]:
    slow = [one.slow for one in runs if one.slow]
    return [
        f"{statistics.median(one.deliveries_per_s for one in runs):,.0f}",
        f"{statistics.median(one.gateway_core for one in runs):.0%}",
        f"{Spread.of(one.rss_growth_mib for one in runs).told()} MiB",
        f"{Spread.of(one.sockets_growth_mib for one in runs).told()} MiB",
        str(sum(one.faults for one in runs)),
        f"{Spread.of(one.cut for one in slow).told('.0f')} of {slow[0].connections}"
        if slow
        else "-",
        Spread.of(one.closed for one in slow).told(".0f") if slow else "-",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench.fanout.slow_ones", description=__doc__.splitlines()[0]
    )
    # Long enough for the gateway's patience with slow ones to end.
    add_options(parser, seconds=30.0)
    parser.add_argument("--ticks-per-s", type=float, default=500)
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
            for with_slow in (False, True):
                told = "with slow ones" if with_slow else "everyone reads"
                print(
                    f"slow_ones, repeat {number + 1} of {options.repeats}: {told}", file=sys.stderr
                )
                with rig(program, channels=_CHANNELS, **settings) as one:
                    both.append(run(one, options.ticks_per_s, options.seconds, with_slow=with_slow))
            pairs.append(Pair(*both))
    rows = asked(pairs)
    screen = console()
    screen.print(*described(), sep="\n")
    screen.print(shown(pairs), table_of(rows), sep="\n")
    path = keep("slow_ones", __doc__, vars(options), pairs, rows, options.output)
    screen.print(f"written: {path}")
    sys.exit(1 if any(one.faults for pair in pairs for one in (pair.without, pair.beside)) else 0)


if __name__ == "__main__":
    main()
