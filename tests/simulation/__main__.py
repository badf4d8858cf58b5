"""`python -m tests.simulation --seeds 10000`: each seed, shared out to some processes.

Exit status 1 where a promise was broken; the command that plays that seed again is printed.
"""

import argparse
import multiprocessing
import os
import sys
import time
import traceback
from typing import Final

from tests.simulation.running import simulate
from tests.simulation.seeds import be_quiet, failures_of

_SHARE: Final = 50
_SHOWN_MAX: Final = 10


def _run(first: int, count: int, processes: int) -> int:
    began_s = time.monotonic()
    shares = [
        range(at, min(at + _SHARE, first + count)) for at in range(first, first + count, _SHARE)
    ]
    told: list[str] = []
    with multiprocessing.get_context("spawn").Pool(processes, be_quiet) as pool:
        for some in pool.imap_unordered(failures_of, shares):
            for one in some[: max(0, _SHOWN_MAX - len(told))]:
                print(one, flush=True)
            told += some
    took_s = time.monotonic() - began_s
    print(f"{count:,} seeds from {first} on: {len(told)} failed, {took_s:.0f} s")
    return 1 if told else 0


def _replay(seed: int) -> int:
    """One seed, with all that happened and the place where it failed."""
    outcome = simulate(seed)
    print(*outcome.events, f"trace {outcome.digest}", sep="\n")
    if outcome.failure is None:
        print(f"seed {seed}: all promises kept")
        return 0
    traceback.print_exception(outcome.failure)
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.simulation", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="this one alone, with all that happens")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    be_quiet()
    if options.seed is not None:
        return _replay(options.seed)
    return _run(options.first, options.seeds, options.processes)


if __name__ == "__main__":
    sys.exit(main())
