"""Question: asked by several processes at once, does one key get what it may, all of it, no more?

Four processes ask for the commands of one key as fast as they are let, for 30 s, on a real Redis.
At most limit x T + burst may be admitted (T: from before the first question to after the last
answer), and at least 99 % of that. Shown too: what a question costs. `python -m bench.limits`
"""

import argparse
import math
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import msgspec
from rich.table import Table

from bench.limiting_worker import Admitted
from bench.processes import REPOSITORY
from bench.setting import described, redis_server
from bench.verdict import Asked, add_options, at_least, at_most, console, keep, table_of

RATES: Final = ((5, 20), (20, 100), (1_000, 5_000))
"""Commands per second and burst: those of the plans free, pro and unlimited."""
_GRACE_S: Final = 30.0


class Run(msgspec.Struct, frozen=True):
    """One key, one limit, all processes."""

    rate_per_s: int
    burst: int
    seconds: float
    admitted: int
    by_process: list[int]
    share_of_allowed: float
    answer_p50_ms: float
    answer_p99_ms: float


def run(workers: int, rate_per_s: int, burst: int, seconds: float) -> Run:
    with redis_server() as path:
        arguments = (f"unix://{path}", "key", str(rate_per_s), str(burst), str(seconds))
        command = (sys.executable, "-m", "bench.limiting_worker", *arguments)
        processes = [
            subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE)
            for _ in range(workers)
        ]
        try:
            told = [process.communicate(timeout=seconds + _GRACE_S)[0] for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
    return summed([msgspec.json.decode(text, type=Admitted) for text in told], rate_per_s, burst)


def summed(each: Sequence[Admitted], rate_per_s: int, burst: int) -> Run:
    took_s = max(one.ended_s for one in each) - min(one.began_s for one in each)
    admitted = sum(one.count for one in each)
    answers = sorted(answer for one in each for answer in one.answers_us)
    return Run(
        rate_per_s,
        burst,
        took_s,
        admitted,
        [one.count for one in each],
        # Commands are whole: of the last one's part nobody has anything.
        admitted / math.floor(rate_per_s * took_s + burst),
        answers[len(answers) // 2] / 1_000,
        answers[len(answers) * 99 // 100] / 1_000,
    )


def judged(runs: Sequence[Run]) -> list[Asked]:
    rows = []
    for rate_per_s, burst in RATES:
        shares = [one.share_of_allowed for one in runs if one.rate_per_s == rate_per_s]
        what = f"{rate_per_s}/s, burst {burst}: of limit x T + burst"
        rows.append(at_most(f"{what}, most", 100 * max(shares), 100.0, " %"))
        rows.append(at_least(f"{what}, least", 100 * min(shares), 99.0, " %"))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser, seconds=30)
    parser.add_argument("--workers", type=int, default=4, help="[4]")
    given = parser.parse_args()
    runs = []
    for number in range(given.repeats):
        for rate_per_s, burst in RATES:
            print(f"run {number + 1}: {rate_per_s}/s, {given.seconds:g} s", file=sys.stderr)
            runs.append(run(given.workers, rate_per_s, burst, given.seconds))
    asked = judged(runs)
    question = (__doc__ or "").partition("\n")[0].removeprefix("Question: ")
    path = keep("limits", question, vars(given), runs, asked, given.output)
    show = console()
    for line in described():
        show.print(line)
    table = Table(
        "limit", "T, s", "admitted", "of allowed", "by process", "answer p50, p99", box=None
    )
    for one in runs:
        table.add_row(
            f"{one.rate_per_s}/s + {one.burst}",
            f"{one.seconds:.2f}",
            f"{one.admitted}",
            f"{one.share_of_allowed:.2%}",
            " ".join(map(str, one.by_process)),
            f"{one.answer_p50_ms:.2f}, {one.answer_p99_ms:.2f} ms",
        )
    show.print(table)
    show.print(table_of(asked))
    print(f"written to {path}")
    return int(not all(row.met for row in asked))


if __name__ == "__main__":
    sys.exit(main())
