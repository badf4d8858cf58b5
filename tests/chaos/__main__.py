"""`python -m tests.chaos --faults 100 --seed 7`: exit status 1 where a promise was broken.

The seed is printed first: with it the same faults come in the same order for as long; what the
processes were doing at that moment is theirs. Logs of all processes stay in build/chaos.
"""

import argparse
import asyncio
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos.run import Options, Outcome, by_name, new_seed, run
from tests.running_tickgate import REPOSITORY

_LOGS = REPOSITORY / "build" / "chaos"


def table_of(outcome: Outcome) -> Table:
    """Seconds from the end of the harm until live messages came on every channel of a client."""
    table = Table("fault", box=None, pad_edge=False)
    for title in ("times", "first client p50", "last client p50", "max"):
        table.add_column(title, justify="right")
    for name, came in by_name(outcome.came).items():
        first = statistics.median(one.first_s for one in came)
        last = statistics.median(one.last_s for one in came)
        most = max(one.last_s for one in came)
        table.add_row(name, str(len(came)), f"{first:.2f}", f"{last:.2f}", f"{most:.2f}")
    return table


def report(outcome: Outcome) -> None:
    screen = Console(width=110, highlight=False)
    screen.print(table_of(outcome))
    screen.print(f"messages to clients: {outcome.messages:,}; seed {outcome.seed}")
    screen.print(f"announced: {outcome.counts}; repeated {outcome.repeated}")
    screen.print(f"starts of the feed: {outcome.runs}; dropped by its last one: {outcome.dropped}")
    for found in outcome.findings:
        screen.print(f"FOUND {found.kind}: client {found.client} {found.channel} {found.told}")
    screen.print(f"{len(outcome.findings)} broken promises")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--haste", type=float, default=1.0, help="pauses are multiplied by it")
    given = parser.parse_args()
    seed = new_seed() if given.seed is None else given.seed
    print(f"chaos: {given.faults} faults, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="tg-") as directory:
        options = Options(given.faults, seed, haste=given.haste)
        try:
            outcome = asyncio.run(
                run(options, Path(directory), lambda line: print(line, flush=True))
            )
        finally:
            _LOGS.mkdir(parents=True, exist_ok=True)
            for log in Path(directory).glob("*.log"):
                shutil.copy(log, _LOGS)
    report(outcome)
    return 1 if outcome.findings else 0


if __name__ == "__main__":
    sys.exit(main())
