"""Track records as a person reads them: each beside its baselines, with its verdict in words."""

from collections.abc import Sequence

from rich.console import Console
from rich.segment import Segments
from rich.table import Table
from rich.text import Text

from feeds.market import Baseline, Share, TrackRecord
from gateway.commands.times import minute_of
from gateway.watch.board import printable

_DIM, _GOOD, _BOLD = "dim", "bold green", "bold"
_WIDTH_MAX = 200
_HALF = "0.250: who always says one half"


def write_records(records: Sequence[TrackRecord], console: Console) -> None:
    """One block each. Where there are none, that is said."""
    if not records:
        console.print(Text("no signals yet", _DIM))
    for number, record in enumerate(records):
        if number:
            console.print()
        console.print(_heading(record))
        # A figure is never cut: where the terminal is too narrow, a line goes on in the next one.
        table = console.render(_table(record), console.options.update_width(_WIDTH_MAX))
        console.print(Segments(table), end="", crop=False)
        for line in _lines(record):
            write_line(line, console)


def write_line(line: Text, console: Console) -> None:
    """Broken between words on a terminal; one line for a program."""
    console.print(line, soft_wrap=not console.is_terminal)


def _heading(record: TrackRecord) -> Text:
    line = Text(f"{printable(record.model, 32)} {record.version}", _BOLD)
    line.append(f"  {printable(record.pair, 32) if record.pair else 'all pairs'}", "")
    if record.simulated:
        line.append("  simulated market", "yellow")
    if record.from_us is not None:
        until_us = record.until_us or record.from_us
        line.append(f"  {minute_of(record.from_us)} to {minute_of(until_us)} UTC", _DIM)
    return line


def _table(record: TrackRecord) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("\noutcomes", justify="right", no_wrap=True)
    table.add_column("\nhits", justify="right", no_wrap=True)
    table.add_column("\n95 of 100", style=_DIM, no_wrap=True)
    table.add_column("mean\nreturn", justify="right", no_wrap=True)
    table.add_column("\nedge", justify="right", no_wrap=True)
    table.add_column("points,\n95 of 100", style=_DIM, no_wrap=True)
    hits = _hits(record.hit_rate)
    table.add_row(Text("the model", _BOLD), *hits, _percent(record.mean_return), "", "")
    for each in record.baselines:
        table.add_row(each.name, *_hits(each.hit_rate), _percent(each.mean_return), *_edge(each))
    return table


def _lines(record: TrackRecord) -> list[Text]:
    counted = (
        f"{record.signals:,} signals, {record.open:,} open, {record.unpriced:,} without a price"
    )
    if record.median_return is not None:
        counted += f"; median return {_percent(record.median_return)}"
    lines = [Text(counted, _DIM)]
    if record.brier is not None:
        of = sum(count for _, _, count in record.calibration)
        lines.append(Text(f"Brier score {record.brier:.3f} of {of:,} ({_HALF})", _DIM))
        told = ", ".join(
            f"said {said:.0%} was {was:.0%} ({count:,})" for said, was, count in record.calibration
        )
        lines.append(Text(f"calibration: {told}", _DIM))
    lines.append(Text(record.verdict, _GOOD if record.has_edge else _BOLD))
    return lines


def _hits(share: Share) -> tuple[str, str, str]:
    if share.share is None or share.low is None or share.high is None:
        return f"{share.of:,}", "-", ""
    return f"{share.of:,}", f"{share.share:.1%}", f"{100 * share.low:.1f}-{100 * share.high:.1f}"


def _edge(baseline: Baseline) -> tuple[str, str]:
    if baseline.edge is None or baseline.edge_low is None or baseline.edge_high is None:
        return "-", ""
    return (
        f"{100 * baseline.edge:+.1f}",
        f"{100 * baseline.edge_low:+.1f} to {100 * baseline.edge_high:+.1f}",
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:+.3%}"
