"""What was asked of a benchmark and what it measured, and where its result is kept.

A result is one JSON file; none is written over. Its member `asked` has these rows, for the suite.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from bench.setting import described

RESULTS: Final = Path(__file__).with_name("results")
WIDTH: Final = 120


class Asked(msgspec.Struct, frozen=True):
    """One figure that issue 3 asks for."""

    what: str
    asked: str
    measured: str
    met: bool | None = None
    """None: it could not be judged, and `measured` says why."""


def at_most(what: str, value: float, limit: float, unit: str) -> Asked:
    return Asked(what, f"≤ {_short(limit)}{unit}", f"{_short(value)}{unit}", value <= limit)


def at_least(what: str, value: float, limit: float, unit: str) -> Asked:
    return Asked(what, f"≥ {_short(limit)}{unit}", f"{_short(value)}{unit}", value >= limit)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def add_options(parser: argparse.ArgumentParser, *, seconds: float, repeats: int = 3) -> None:
    """The options that every benchmark has."""
    parser.add_argument("--seconds", type=float, default=seconds, help=f"of a run [{seconds:g}]")
    parser.add_argument("--repeats", type=int, default=repeats, help=f"[{repeats}]")
    parser.add_argument("--output", type=Path, help="[bench/results/<name>-<date>.json]")


def keep(
    name: str,
    question: str,
    options: Mapping[str, Any],
    runs: Sequence[Any],
    asked: Sequence[Asked],
    output: Path | None = None,
) -> Path:
    """Writes the result, the setting beside it; where."""
    now = datetime.now(UTC)
    told = {
        "benchmark": name,
        "at": now.isoformat(timespec="seconds"),
        "question": question,
        "setting": described(),
        "options": {key: value for key, value in options.items() if key != "output"},
        "asked": asked,
        "runs": runs,
    }
    path = output or free_path(RESULTS, f"{name}-{now:%Y-%m-%d}", ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    # msgspec writes null for NaN, which JSON doesn't have.
    path.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")
    return path


def free_path(directory: Path, stem: str, suffix: str) -> Path:
    """`stem`, or `stem-2`, `stem-3`…: what is kept of an earlier run stays as it is."""
    path, number = directory / f"{stem}{suffix}", 1
    while path.exists():
        number += 1
        path = directory / f"{stem}-{number}{suffix}"
    return path


def table_of(rows: Iterable[Asked]) -> Table:
    table = Table("figure", box=None, pad_edge=False)
    for title in ("asked", "measured", ""):
        table.add_column(title, justify="right")
    for row in rows:
        judged = "-" if row.met is None else "met" if row.met else "MISSED"
        table.add_row(row.what, row.asked, row.measured, judged)
    return table


def console() -> Console:
    return Console(width=WIDTH, highlight=False)
