"""`tickgate backtest`: recorded ticks or candles through the derivations, and what came of it."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from feeds.backtest.files import Advance, File
from feeds.backtest.plot import Picture, draw
from feeds.backtest.run import Backtest, backtest
from feeds.backtest.source import Faults, FileError
from feeds.chosen import check_derived
from feeds.derived.intervals import INTERVALS
from feeds.derived.models import MODELS, lacks, missing
from feeds.derived.settings import DerivedChoices
from feeds.market import Instrument, InstrumentError, SystemClock, TrackRecord
from gateway.commands.backtest_text import records_of, setting_of, write_backtest
from gateway.commands.failure import STATUS_MISTAKE, STATUS_WORLD, CommandFailure
from gateway.commands.options import config_option, end_with, environment
from gateway.commands.settings import settings_from
from gateway.watch.board import printable

DEFAULT_PLOT: Final = "backtest.png"
_NO_PLOT: Final = "no plot: it needs matplotlib: pip install 'tickgate[backtest]'"


class ReportedFile(msgspec.Struct, frozen=True):
    name: str
    format: str
    venues: list[str]


class ReportedEquity(msgspec.Struct, frozen=True):
    """Fractions: -0.02 is a loss of two percent."""

    model: str
    pair: str
    followed: float
    held: float
    drawdown: float


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `--json` gives."""

    files: list[ReportedFile]
    interval: str
    cost_bps: float
    ticks: int
    signals: int
    bad_lines: int
    records: list[TrackRecord]
    equities: list[ReportedEquity]
    from_us: int | None = None
    until_us: int | None = None
    plot: str | None = None


@click.command("backtest")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@config_option
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Choice(tuple(MODELS)),
    help="Several: again. [all]",
)
@click.option(
    "--pair", metavar="BASE-QUOTE", help="Only it; also what a file holds that names none."
)
@click.option(
    "--interval",
    type=click.Choice([each.name for each in INTERVALS]),
    help="Of the candles that models read. [1m]",
)
@click.option(
    "--costs-bps", type=click.FloatRange(min=0), help="Of getting in and out together. [20]"
)
@click.option("--out", metavar="PNG", help="The plot. [backtest.png; none with --json]")
@click.option("--json", "as_json", is_flag=True, help="One object.")
def backtest_command(
    files: tuple[str, ...],
    *,
    config: str | None,
    models: tuple[str, ...],
    pair: str | None,
    interval: str | None,
    costs_bps: float | None,
    out: str | None,
    as_json: bool,
) -> None:
    """What the models would have said on recorded ticks or candles, and what came of it.

    The derivations of the live feeds run on the recording's own time. FILE: what `record`, `watch`
    and `decode` write, trades or candles as CSV, LEAN's zips; those of one pair go together.
    Prints the report of `tickgate ledger report` and draws a plot. Status 1 when a line was bad.
    """
    status = run_backtest(
        settings_from(environment(), config, {}).derived,
        files,
        models=models,
        pair=pair,
        interval=interval,
        cost_bps=costs_bps,
        out=out,
        as_json=as_json,
    )
    end_with(status)


def run_backtest(
    choices: DerivedChoices,
    names: Sequence[str],
    *,
    models: Sequence[str],
    pair: str | None,
    interval: str | None,
    cost_bps: float | None,
    out: str | None,
    as_json: bool,
) -> int:
    """The exit status: 1 where some lines could not be understood.

    Raises CommandFailure and SettingError.
    """
    clock = SystemClock()
    plot = out or (None if as_json else DEFAULT_PLOT)
    _check(pair, plot)
    chosen = _chosen(choices, models, interval, cost_bps)
    check_derived(chosen)
    began_s = clock.monotonic_s()
    try:
        files = [File(Path(name)) for name in names]
        with _progress(sum(file.size_bytes for file in files)) as advance:
            done = backtest(files, chosen, pair=pair, advance=advance)
    except FileError as error:
        raise CommandFailure(printable(str(error), 1_000), STATUS_MISTAKE) from None
    took_s = max(clock.monotonic_s() - began_s, 1e-9)
    _tell_faults(done.faults)
    if done.span_us is None:
        reasons = "; ".join(f"{symbol}: {why}" for symbol, why in done.heard.why_no_price.items())
        raise CommandFailure(f"these files give no {done.interval} candle {reasons}")
    pairs = list(done.heard.marks)
    records = records_of(done, pairs[0] if len(pairs) == 1 else None)
    drawn = plot if plot is not None and _drawn(done, Path(plot)) else None
    if as_json:
        report = _report(done, records, drawn)
        click.echo(msgspec.json.format(msgspec.json.encode(report)))
    else:
        write_backtest(done, records, Console(highlight=False, markup=False, emoji=False))
    _tell(f"{done.ticks:,} ticks in {took_s:.1f} s, {done.ticks / took_s:,.0f} a second")
    if drawn is not None:
        _tell(f"plot: {drawn}")
    return STATUS_WORLD if done.faults.lines else 0


def _tell_faults(faults: Faults) -> None:
    if faults.lines:
        first = printable(faults.first, 300)
        _tell(f"{faults.lines:,} lines could not be understood; the first: {first}")


def _check(pair: str | None, plot: str | None) -> None:
    """What would be found out too late. Raises CommandFailure."""
    try:
        if pair is not None:
            Instrument.parse(pair)
    except InstrumentError as error:
        raise CommandFailure(f"--pair: {error}", STATUS_MISTAKE) from None
    if plot is not None and (Path(plot).is_dir() or not Path(plot).absolute().parent.is_dir()):
        raise CommandFailure(f"--out {plot}: can't be written there", STATUS_MISTAKE)


def _chosen(
    choices: DerivedChoices, models: Sequence[str], interval: str | None, cost_bps: float | None
) -> DerivedChoices:
    """What is set, but for what was asked for. Raises CommandFailure."""
    signal, outcome = choices.signal, choices.outcome
    if models:
        signal = msgspec.structs.replace(signal, models=tuple(dict.fromkeys(models)))
    if interval is not None:
        signal = msgspec.structs.replace(signal, interval=interval)
    if cost_bps is not None:
        outcome = msgspec.structs.replace(outcome, cost_bps=cost_bps)
    for row in missing(signal):
        needed = ", ".join(lacks(row))
        sentence = f"the model {row.name} needs {needed}: pip install 'tickgate[{row.name}]'"
        if row.name in models:
            raise CommandFailure(sentence, STATUS_MISTAKE)
        _tell(sentence)
    return msgspec.structs.replace(choices, signal=signal, outcome=outcome)


def _drawn(done: Backtest, path: Path) -> bool:
    """The pair that most was said of. Raises CommandFailure."""
    marks, signals = done.heard.marks, done.heard.signals
    counts = {pair: sum(f":{pair}:" in one.id for one in signals) for pair in marks}
    pair = max(counts, key=lambda each: counts[each])
    equities = done.equities.get(pair, [])
    named = ", ".join(each.model for each in equities) or "no signal"
    verdicts = [f"{record.model}: {record.verdict}" for record in records_of(done, pair)]
    picture = Picture(
        f"{pair}   {named}",
        setting_of(done),
        verdicts,
        marks[pair],
        [each for each in signals if f":{pair}:" in each.id],
        equities,
    )
    try:
        is_drawn = draw(picture, path)
    except OSError as error:
        raise CommandFailure(f"{path} can't be written: {error.strerror or error}") from None
    if not is_drawn:
        _tell(_NO_PLOT)
    elif len(marks) > 1:
        _tell(f"the plot is of {pair}; of {len(marks)} pairs --pair chooses")
    return is_drawn


def _report(done: Backtest, records: list[TrackRecord], plot: str | None) -> Report:
    first_us, last_us = done.span_us or (None, None)
    return Report(
        [ReportedFile(each.name, each.format, sorted(each.venues)) for each in done.sources],
        done.interval,
        done.cost_bps,
        done.ticks,
        len(done.heard.signals),
        done.faults.lines,
        records,
        [
            ReportedEquity(
                one.model, pair, one.followed[-1] - 1, one.held[-1] - 1, min(one.drawdowns)
            )
            for pair, some in done.equities.items()
            for one in some
        ],
        first_us,
        last_us,
        plot,
    )


@contextlib.contextmanager
def _progress(size_bytes: int) -> Iterator[Advance]:
    """A bar on a terminal; nothing elsewhere."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=size_bytes)
        yield lambda count: bar.advance(task, count)


def _tell(line: str) -> None:
    click.echo(line, err=True)
