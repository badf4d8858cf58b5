"""Question: what does a ledger of years cost: to open, to hold, to write to, and to verify?

Signals of six pairs and three models and their outcomes: a thousand at once, the last ones one by
one, each synced to the disk. Then opened and verified, each by a process of its own.
`python -m bench.ledger`
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
from rich.table import Table

from bench.processes import REPOSITORY
from bench.resident import resident_kib
from bench.verdict import Asked, at_most, console, keep, table_of
from feeds.derived.outcomes import due_us, outcome_of
from feeds.ledger.book import Book
from feeds.ledger.segments import segment_files
from feeds.ledger.verification import verify_ledger
from feeds.market import Direction, Outcome, Reference, Signal, SystemClock

_START_US: Final = 1_763_632_800_000_000
_AT_ONCE: Final = 1_000
_ONE_BY_ONE: Final = 200
_HORIZON_S: Final = 15
_OPEN: Final = 270
"""Signals without an outcome yet, at any time."""
_OPENING_LIMIT_S: Final = 1.0
_GROWTH_LIMIT_MIB: Final = 8.0

_PAIRS: Final = ("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "ADA-USD", "AVAX-USD")
_REASONS: Final = {
    "trend": ("atr", "distance_atr", "ema_fast", "ema_slow", "macd", "macd_histogram"),
    "reversion": ("band", "band_lower", "band_middle", "band_upper", "rsi"),
    "flow": ("imbalance", "imbalance_z", "quote_pressure"),
}
_DIRECTIONS: Final[tuple[Direction, ...]] = ("bull", "bear", "neutral")


class Growth(msgspec.Struct, frozen=True):
    """While it was written."""

    append_us: float
    """CPU time for each entry, a thousand at once."""
    synced_p50_us: float
    """From asking for one entry to its being on the disk, by the clock on the wall."""
    synced_p99_us: float
    resident_mib: float
    """Of the process that writes, beside what it had with an empty ledger."""


class Asking(msgspec.Struct, frozen=True):
    """What a process of its own needed."""

    seconds: float
    cpu_s: float
    resident_mib: float
    """At the end, beside what it had before."""


class Run(msgspec.Struct, frozen=True):
    """One size."""

    entries: int
    files: int
    bytes_per_entry: float
    writing: Growth
    opening: Asking
    verifying: Asking
    verified_per_s: float


def told(seed: int, start: int = 0) -> Iterator[Signal | Outcome]:
    """Without an end, in the order of time."""
    random = Random(seed)
    waiting: deque[Signal] = deque()
    number = start
    while True:
        one = _signal(number, random)
        number += 1
        waiting.append(one)
        yield one
        if len(waiting) > _OPEN:
            yield _outcome(waiting.popleft(), random)


def _signal(number: int, random: Random) -> Signal:
    model = tuple(_REASONS)[number % len(_REASONS)]
    pair = _PAIRS[number // len(_REASONS) % len(_PAIRS)]
    end_us = _START_US + number // (len(_REASONS) * len(_PAIRS)) * 1_000_000
    at_us = end_us + random.randrange(1_000_000)
    price = f"{random.uniform(90, 110):.3f}"
    reasons = {name: float(f"{random.gauss(0, 1):.6g}") for name in _REASONS[model]}
    return Signal(
        f"{model}-1:{pair}:{end_us}", model, 1, random.choice(_DIRECTIONS),
        round(random.uniform(-1, 1), 4), at_us, _HORIZON_S, at_us + _HORIZON_S * 1_000_000,
        Reference(f"price:agg:{pair}", price, at_us - 5_000, "6b02035e48e5e", number), reasons,
        float(f"{random.gauss(0, 1e-3):.6g}"), None, True, at_us - 5_000,
    )  # fmt: skip


def _outcome(signal: Signal, random: Random) -> Outcome:
    price = f"{float(signal.reference.price) * random.gauss(1, 1e-3):.3f}"
    at_us = due_us(signal) + 50_000
    at = Reference(signal.reference.channel, price, at_us, "6b02035e48e5e", signal.horizon_s)
    return outcome_of(
        signal, at, 20.0, best=random.random() / 1e3, worst=-random.random() / 1e3,
        is_partial=False, wait_us=30_000_000, received_us=at_us,
    )  # fmt: skip


class Writer:
    """One process that writes, over all sizes."""

    def __init__(self, path: Path, seed: int) -> None:
        self._path = path
        self._payloads = told(seed)
        self._entries = 1
        Book.open(path, simulated=True, clock=SystemClock()).close()
        self._began_kib = resident_kib()

    def grow(self, size: int) -> Growth:
        """To so many signals and outcomes; the ledger is closed afterwards."""
        book = Book.open(self._path, simulated=True, clock=SystemClock())
        before, before_ns = self._entries, time.process_time_ns()
        while self._entries < size - _ONE_BY_ONE:
            self._append(book, min(_AT_ONCE, size - _ONE_BY_ONE - self._entries))
        spent_us = (time.process_time_ns() - before_ns) / 1e3
        append_us = spent_us / max(1, self._entries - before)
        took_us = []
        for _ in range(_ONE_BY_ONE):
            began_s = time.perf_counter()
            self._append(book, 1)
            took_us.append((time.perf_counter() - began_s) * 1e6)
        resident_mib = (resident_kib() - self._began_kib) / 1_024
        book.close()
        took_us.sort()
        p50_us, p99_us = took_us[_ONE_BY_ONE // 2], took_us[_ONE_BY_ONE * 99 // 100]
        return Growth(append_us, p50_us, p99_us, resident_mib)

    def _append(self, book: Book, count: int) -> None:
        some = list(islice(self._payloads, count))
        if book.append(some) != some:
            raise RuntimeError("the ledger left something out")
        self._entries += count


def open_it(path: Path) -> None:
    Book.open(path, simulated=True, clock=SystemClock()).close()


def verify_it(path: Path) -> None:
    if (wrong := verify_ledger(path, 0).wrong) is not None:
        raise RuntimeError(wrong)


_ASKED: Final = {"opening": open_it, "verifying": verify_it}


def ask(what: str, path: Path) -> Asking:
    """In a process of its own."""
    command = (sys.executable, "-m", "bench.ledger", "--ask", what, str(path))
    done = subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(done.stdout, type=Asking)


def answer(what: str, path: Path) -> Asking:
    before_kib, began_s, began_cpu_s = resident_kib(), time.perf_counter(), time.process_time()
    _ASKED[what](path)
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    return Asking(took_s, cpu_s, (resident_kib() - before_kib) / 1_024)


def run(sizes: list[int], seed: int, directory: Path | None) -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="tg-", dir=directory) as made:
        path = Path(made) / "ledger.sqlite"
        writer = Writer(path, seed)
        for size in sizes:
            writing = writer.grow(size)
            files = [file.path.stat().st_size for file in segment_files(path)]
            opening, verifying = ask("opening", path), ask("verifying", path)
            per_s = size / verifying.seconds
            yield Run(size, len(files), sum(files) / size, writing, opening, verifying, per_s)


def asked(runs: list[Run]) -> list[Asked]:
    last = runs[-1]
    growth_mib = last.writing.resident_mib - runs[0].writing.resident_mib
    of = f"{last.entries:,} entries"
    return [
        at_most(f"opening a ledger of {of}", last.opening.seconds, _OPENING_LIMIT_S, " s"),
        at_most(f"memory to open {of}", last.opening.resident_mib, _GROWTH_LIMIT_MIB, " MiB"),
        at_most(f"memory to verify {of}", last.verifying.resident_mib, _GROWTH_LIMIT_MIB, " MiB"),
        at_most(
            f"memory of who writes: {of} beside {runs[0].entries:,}",
            growth_mib,
            _GROWTH_LIMIT_MIB,
            " MiB",
        ),
    ]


def show(runs: list[Run]) -> None:
    table = Table("entries", box=None, pad_edge=False)
    titles = ("files", "B/entry", "append µs", "synced p50", "p99 µs", "writer MiB")
    for title in (*titles, "open s", "CPU s", "MiB", "verify s", "CPU s", "entries/s", "MiB"):
        table.add_column(title, justify="right")
    for one in runs:
        table.add_row(
            f"{one.entries:,}",
            str(one.files),
            f"{one.bytes_per_entry:.0f}",
            f"{one.writing.append_us:.0f}",
            f"{one.writing.synced_p50_us:,.0f}",
            f"{one.writing.synced_p99_us:,.0f}",
            f"{one.writing.resident_mib:+.1f}",
            f"{one.opening.seconds:.3f}",
            f"{one.opening.cpu_s:.3f}",
            f"{one.opening.resident_mib:+.1f}",
            f"{one.verifying.seconds:.1f}",
            f"{one.verifying.cpu_s:.1f}",
            f"{one.verified_per_s:,.0f}",
            f"{one.verifying.resident_mib:+.1f}",
        )
    console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.ledger", description=__doc__)
    parser.add_argument("--entries", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", type=Path, help="on the disk to be measured [the temporary]")
    parser.add_argument("--output", type=Path, help="[bench/results/ledger-<date>.json]")
    parser.add_argument("--ask", nargs=2, metavar=("WHAT", "PATH"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask is not None:
        what, path = given.ask
        print(msgspec.json.encode(answer(what, Path(path))).decode())
        return 0
    runs: list[Run] = []
    for one in run(sorted(given.entries), given.seed, given.directory):
        runs.append(one)
        show([one])
    rows = asked(runs)
    show(runs)
    console().print(table_of(rows))
    options: dict[str, Any] = {"entries": given.entries, "seed": given.seed}
    path = keep("ledger", (__doc__ or "").partition("\n")[0], options, runs, rows, given.output)
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
