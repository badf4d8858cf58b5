"""All benchmarks of our own in turn, and in the end what was asked beside what was measured.

Each also runs alone: `python -m bench.<module>`. They are processes of their own, so that none
inherits another's heap, cores or sockets. `--quick` is a smoke run: it shows that they work, not
how fast the gateway is, and keeps nothing. `python -m bench.suite` (or `make bench`).
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from rich.table import Table

from bench.processes import REPOSITORY
from bench.setting import described
from bench.verdict import RESULTS, Asked, console, free_path, table_of


class Part(NamedTuple):
    """One benchmark. All of them take --output, which is where their result goes."""

    name: str
    module: str
    quick: str
    """Its options in a smoke run."""


PARTS: Final = (
    Part("live_path", "bench.live_path", "--seconds 2 --warm-up 1 --repeats 1"),
    Part("bus_reader", "bench.bus_reader", "--seconds 1 --repeats 1"),
    Part(
        "feed_path",
        "bench.feed_path",
        "--seconds 1 --repeats 1 --venue binance --ticks-per-s 10000",
    ),
    Part("fanout", "bench.fanout", "--seconds 0.5 --repeats 1 --ramp-to 3e5"),
    Part("idle", "bench.fanout.idle", "--seconds 0.5 --repeats 1 --connections 200"),
    Part("whole_way", "bench.fanout.whole_way", "--seconds 2 --repeats 1"),
    Part(
        "slow_ones",
        "bench.fanout.slow_ones",
        "--seconds 2 --repeats 1 --outbox-age-max-s 0.5 --slow-limit-s 0.5",
    ),
    Part(
        "conflation",
        "bench.fanout.conflation",
        "--seconds 1 --repeats 1 --connections 200",
    ),
    Part(
        "stalled",
        "bench.fanout.stalled",
        "--seconds 8 --repeats 1 --consumers 10 --ticks-per-s 1000"
        " --outbox-age-max-s 0.5 --slow-limit-s 1",
    ),
    Part("metered", "bench.fanout.metered", "--seconds 0.5 --repeats 1"),
    Part("history", "bench.fanout.history", "--seconds 1 --repeats 1"),
    Part("reconnect", "bench.reconnect", "--seconds 2 --repeats 1 --connections 200"),
    Part("derived", "bench.derived", "--seconds 1 --repeats 1"),
    Part("kraken_quotes", "bench.kraken_quotes", "--seconds 0.5 --repeats 1"),
    Part(
        "derived_live",
        "bench.derived_live",
        "--seconds 3 --repeats 1 --pairs 50 --ticks-per-s 1000",
    ),
    Part("ledger", "bench.ledger", "--entries 2000 6000"),
    Part("readiness", "bench.readiness", "--repeats 1"),
    Part("dashboard", "bench.dashboard", "--seconds 2 --repeats 1"),
)


class _Kept(msgspec.Struct, frozen=True):
    """The part of a result that all have, or could have."""

    asked: list[Asked] = []


class Outcome(msgspec.Struct, frozen=True):
    """How one benchmark went."""

    part: str
    status: int
    took_s: float
    asked: list[Asked]


def run(part: Part, output: Path, *, quick: bool) -> Outcome:
    words = [sys.executable, "-m", part.module, "--output", str(output)]
    words += part.quick.split() if quick else []
    started_s = time.monotonic()
    status = subprocess.run(words, cwd=REPOSITORY, check=False).returncode
    return Outcome(part.name, status, time.monotonic() - started_s, asked_in(output))


def asked_in(output: Path) -> list[Asked]:
    """The rows of a result; none where there is no result, or where nothing was asked of it."""
    if not output.exists():
        return []
    return msgspec.json.decode(output.read_bytes(), type=_Kept).asked


def shown(outcomes: Sequence[Outcome]) -> Table:
    table = Table("benchmark", "took", "ended", box=None, pad_edge=False)
    for one in outcomes:
        ended = "well" if one.status == 0 else f"with status {one.status}: see above"
        table.add_row(one.part, f"{one.took_s:.0f} s", ended)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.suite", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run, which keeps nothing")
    names = [part.name for part in PARTS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    options = parser.parse_args()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="tg-") as nowhere:
        directory = Path(nowhere) if options.quick else RESULTS
        for part in PARTS:
            if part.name in options.only:
                print(f"\n== {part.name}: python -m {part.module}", flush=True)
                stem = f"{part.name}-{datetime.now(UTC):%Y-%m-%d}"
                output = free_path(directory, stem, ".json")
                outcomes.append(run(part, output, quick=options.quick))
    screen = console()
    screen.print("", *described(), sep="\n")
    screen.print(shown(outcomes))
    screen.print(table_of(row for one in outcomes for row in one.asked))
    if options.quick:
        screen.print("A smoke run: too short for any of these figures to mean much.")
    sys.exit(1 if any(one.status for one in outcomes) else 0)


if __name__ == "__main__":
    main()
