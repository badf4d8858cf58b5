"""`python -m tests.fuzz [KIND…] --inputs 1000000`: each kind, shared out to some processes.

Exit status 1 where an input was found that does what none may do; its number says how to have it
again.
"""

import argparse
import multiprocessing
import os
import sys
import time
from typing import Final

from tests.fuzz.kinds import FUZZES, run_share

_SHARE: Final = 20_000
"""Of one task: a failure is told soon, and servers are new now and then."""


def fuzz(kind: str, seed: int, first: int, count: int, processes: int) -> list[str]:
    began_s = time.monotonic()
    shares = [
        (kind, seed, at, min(_SHARE, first + count - at))
        for at in range(first, first + count, _SHARE)
    ]
    found: list[str] = []
    # Not forked: an event loop and open sockets are no inheritance.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for done, one in enumerate(pool.imap_unordered(run_share, shares), start=1):
            if one is not None:
                print(one, file=sys.stderr, flush=True)
                found.append(one)
            if sys.stderr.isatty():
                print(f"{kind}: {done} of {len(shares)} shares", file=sys.stderr, end="\r")
    took_s = time.monotonic() - began_s
    print(f"{kind}: {count:,} inputs, {len(found)} found, {took_s:.0f} s", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(FUZZES))
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of each kind")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if unknown := set(options.kinds) - FUZZES.keys():
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    found: list[str] = []
    for kind in options.kinds or FUZZES:
        found += fuzz(kind, options.seed, options.first, options.inputs, options.processes)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
