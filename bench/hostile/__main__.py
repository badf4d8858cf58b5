"""Question: what do clients that mean harm cost those that don't, and how long do they live?

200 clients receive 2,000 messages/s in all. Run in turn, each on a new gateway: alone; and beside
the whole table of attacks at once, one attacker each, in a process of their own. Compared is the
clients' p99; and of each attack, how long its longest connection lived beyond its deadline. Where
there are two cores only, attackers and clients share one. Needs a C compiler.
`python -m bench.hostile`; `--each 50 --only "command flood"` is a crowd of one kind.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

import msgspec
from redis.asyncio import Redis
from rich.table import Table

from bench.cpu import OTHERS_CORE, stay_off_the_server_core
from bench.fanout.figures import Spread, merged, quantiles_ms
from bench.fanout.loads import channel
from bench.fanout.memory import Peak, memory_of
from bench.fanout.rig import PATIENCE_S, Rig, rig, run_pinned
from bench.hostile.attacks import ATTACKS
from bench.hostile.peer import Outcome
from bench.load.client import compiled
from bench.setting import described
from bench.verdict import Asked, add_options, at_most, console, keep, table_of
from feeds.market import SystemClock
from gateway.access.key_store import KeyStore

_CLIENTS: Final = 200
_CHANNELS: Final = 20
_TICKS_PER_S: Final = 200.0
"""Each client has one channel: 10 messages a second."""
_P99_MAX_MS: Final = 50.0
_OUTLIVED_MAX_S: Final = 5.0
_SETTLE_S: Final = 3.0
"""The attackers begin before the publisher, and go on until after it."""


class Fared(msgspec.Struct, frozen=True):
    """One run."""

    attacks: list[Outcome]
    """Empty: nobody attacked."""
    delays_ms: dict[str, float]
    """Of the honest ones."""
    received: int
    faults: int
    """Of the honest ones: lost, holes, disorder, ended connections."""
    gateway_core: float
    rss_growth_mib: float


class Pair(msgspec.Struct, frozen=True):
    """Two neighbouring runs."""

    alone: Fared
    attacked: Fared


class Attackers(NamedTuple):
    """Of one run."""

    each: int
    """Of each attack."""
    only: Sequence[str]
    """Attacks; none: all."""
    plan: str
    """Of their key."""


def run(rig: Rig, seconds: float, attackers: Attackers | None) -> Fared:
    ticks = round(_TICKS_PER_S * seconds / _CHANNELS) * _CHANNELS
    expected = ticks * _CLIENTS // _CHANNELS
    client = rig.client(
        connections=_CLIENTS, channels=_CHANNELS, expected=expected, limit_s=seconds + PATIENCE_S
    )
    rig.await_quiet()
    before, peak = memory_of(rig.gateway_id), Peak(rig.gateway_id)
    outcomes: list[Outcome] = []
    with peak.watching(), _attacking(rig, seconds, outcomes, attackers):
        hearing = rig.hear([client], _CHANNELS, _TICKS_PER_S, ticks)
    [heard] = hearing.heard
    return Fared(
        attacks=outcomes,
        delays_ms=quantiles_ms(merged([heard.buckets])),
        received=heard.messages,
        faults=expected - heard.messages + heard.holes + heard.disorder + heard.closed,
        gateway_core=hearing.gateway_cpu_s / hearing.wall_s,
        rss_growth_mib=(peak.seen.rss - before.rss) / 2**20,
    )


@contextmanager
def _attacking(
    rig: Rig, seconds: float, outcomes: list[Outcome], attackers: Attackers | None
) -> Iterator[None]:
    """Fills `outcomes` at the end of the block. None: nobody attacks."""
    if attackers is None:
        yield
        return
    key = asyncio.run(_hostile_key(rig.redis_path, attackers.plan))
    names = [channel(number) for number in range(_CHANNELS)]
    limit_s = seconds + 2 * _SETTLE_S
    who = (attackers.each, ",".join(attackers.only))
    words = (sys.executable, "-m", "bench.hostile.attackers", rig.port, key, limit_s, *who, *names)
    process = run_pinned(OTHERS_CORE, *words)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", "the attackers did not begin"
        yield
        told, _ = process.communicate(timeout=limit_s + PATIENCE_S)
        outcomes += msgspec.json.decode(told, type=list[Outcome])
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    finally:
        process.terminate()
        process.wait()


async def _hostile_key(path: str, plan: str) -> str:
    """One that is good: of the attackers, too, most have one."""
    async with Redis.from_url(f"unix://{path}") as redis:
        return (await KeyStore(redis, SystemClock()).create("hostile", plan))[1]


def asked(pairs: Sequence[Pair]) -> list[Asked]:
    p99_ms = statistics.median(pair.attacked.delays_ms["p99"] for pair in pairs)
    faults = sum(pair.attacked.faults for pair in pairs)
    longest = max(
        (outcome for pair in pairs for outcome in pair.attacked.attacks),
        key=Outcome.outlived_s,
    )
    what = f"longest beyond its deadline: {longest.attack}"
    return [
        at_most("honest p99 under all attacks", p99_ms, _P99_MAX_MS, " ms"),
        at_most(what, longest.outlived_s(), _OUTLIVED_MAX_S, " s"),
        at_most("lost or out of order for honest ones", faults, 0, ""),
    ]


def shown(pairs: Sequence[Pair]) -> Table:
    table = Table("200 honest clients", box=None, pad_edge=False)
    for title in ("p50 ms", "p99", "p99.9", "max", "core", "RSS grew", "faults"):
        table.add_column(title, justify="right")
    kinds = {
        "alone": [pair.alone for pair in pairs],
        "all attacks": [pair.attacked for pair in pairs],
    }
    for name, runs in kinds.items():
        table.add_row(
            name,
            *(
                Spread.of(one.delays_ms[part] for one in runs).told()
                for part in ("p50", "p99", "p99.9", "max")
            ),
            f"{statistics.median(one.gateway_core for one in runs):.0%}",
            f"{Spread.of(one.rss_growth_mib for one in runs).told()} MiB",
            str(sum(one.faults for one in runs)),
        )
    return table


def attacks_shown(pairs: Sequence[Pair]) -> Table:
    table = Table("attack", box=None, pad_edge=False)
    for title in ("connections", "ended", "longest s", "deadline s", "MiB sent", "answers"):
        table.add_column(title, justify="right")
    for row in ATTACKS:
        ones = [one for pair in pairs for one in pair.attacked.attacks if one.attack == row.name]
        if not ones:
            continue
        answers = {answer for one in ones for answer in one.answers}
        table.add_row(
            row.name,
            f"{sum(one.connections for one in ones):,}",
            f"{sum(one.ended for one in ones):,}",
            f"{max(one.longest_s for one in ones):.1f}",
            "-" if row.deadline_s is None else f"{row.deadline_s:g}",
            f"{sum(one.mib_sent for one in ones):.1f}",
            " ".join(sorted(answers)),
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.hostile", description=__doc__.splitlines()[0])
    # Long enough for the gateway's patience with a stalled reader to end.
    add_options(parser, seconds=30.0)
    parser.add_argument("--each", type=int, default=1, help="attackers of each attack [1]")
    names = ", ".join(attack.name for attack in ATTACKS)
    parser.add_argument("--only", nargs="*", default=[], metavar="ATTACK", help=f"of {names} [all]")
    parser.add_argument("--plan", default="unlimited", help="of their key [unlimited]")
    options = parser.parse_args()
    if unknown := set(options.only) - {attack.name for attack in ATTACKS}:
        parser.error(f"no such attack: {', '.join(sorted(unknown))}")
    attackers = Attackers(options.each, options.only, options.plan)
    stay_off_the_server_core()
    pairs: list[Pair] = []
    with compiled() as program:
        for number in range(options.repeats):
            both = []
            for who in (None, attackers):
                told = "alone" if who is None else ", ".join(who.only) or "all attacks"
                print(f"hostile, repeat {number + 1} of {options.repeats}: {told}", file=sys.stderr)
                with rig(program, channels=_CHANNELS) as one:
                    both.append(run(one, options.seconds, who))
            pairs.append(Pair(*both))
    rows = asked(pairs)
    screen = console()
    screen.print(*described(), sep="\n")
    screen.print(shown(pairs), attacks_shown(pairs), table_of(rows), sep="\n")
    path = keep("hostile", __doc__, vars(options), pairs, rows, options.output)
    screen.print(f"written: {path}")
    sys.exit(0 if all(row.met for row in rows) else 1)


if __name__ == "__main__":
    main()
