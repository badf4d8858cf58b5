"""`tickgate ledger`: whether the record of signals is whole, and what it comes to."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from feeds.chosen import ledger_path
from feeds.errors import LedgerError
from feeds.ledger.segments import segment_files
from feeds.ledger.verification import Remarks, Verification, verify_ledger
from feeds.market import SystemClock, TrackRecord
from gateway.commands.failure import STATUS_MISTAKE, STATUS_WORLD, CommandFailure
from gateway.commands.ledger_table import write_records
from gateway.commands.options import end_with, with_settings
from gateway.commands.settings import Settings
from gateway.commands.times import time_of

STATUS_WRONG: Final[Literal[1]] = STATUS_WORLD


@click.group("ledger")
def ledger_group() -> None:
    """The record of all signals and of what came of them."""


@ledger_group.command("verify")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--head", metavar="HASH", help="A head that was published: it must be there still.")
@click.option("--entries", type=click.IntRange(min=1), help="How many there were with that head.")
@with_settings()
def ledger_verify(
    settings: Settings, paths: tuple[str, ...], *, head: str | None, entries: int | None
) -> None:
    """Check every entry; say which is the first wrong one, and why.

    PATH: a ledger's file, or one later segment. [those of this Tickgate] Status 1 when one is
    wrong, 2 when it can't be read. Only a --head from elsewhere, out of a track record, shows that
    nothing was rewritten.
    """
    status = verify_ledgers(settings, paths, head, entries)
    end_with(status)


@ledger_group.command("report")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--model", metavar="NAME", help="Only this one. [all]")
@click.option("--pair", metavar="BASE-QUOTE", help="Only of this pair. [over all pairs]")
@click.option("--json", "as_json", is_flag=True, help="A list of track records.")
@with_settings()
def ledger_report(
    settings: Settings,
    paths: tuple[str, ...],
    *,
    model: str | None,
    pair: str | None,
    as_json: bool,
) -> None:
    """What each model's signals came to, beside what knowing nothing would have.

    The ledger is verified on the way. Intervals hold 95 of 100 times.
    """
    report_ledgers(settings, paths, model=model, pair=pair, as_json=as_json)


def verify_ledgers(
    settings: Settings, paths: Sequence[str], head: str | None, entries: int | None
) -> int:
    """Prints what each ledger comes to; the exit status: 1 where one is wrong.

    Raises CommandFailure with status 2: there is none, or it can't be read.
    """
    files = _files(settings, paths)
    if (head is not None or entries is not None) and len(files) > 1:
        raise CommandFailure(
            "--head and --entries are of one ledger: name its file", STATUS_MISTAKE
        )
    console = Console(highlight=False, markup=False, emoji=False)
    status = 0
    for file in files:
        verification = _verified(file, head, entries)
        _write(verification, console)
        if verification.wrong is not None:
            status = STATUS_WRONG
    return status


def report_ledgers(
    settings: Settings,
    paths: Sequence[str],
    *,
    model: str | None,
    pair: str | None,
    as_json: bool,
) -> None:
    """Prints the track records, each ledger verified on the way; without `pair`, over all pairs.

    Raises CommandFailure: with status 1 where a ledger is wrong, else as `verify_ledgers`.
    """
    told: list[TrackRecord] = []
    for file in _files(settings, paths):
        verification = _verified(file, None, None)
        if verification.wrong is not None:
            raise CommandFailure(f"the ledger {file} is wrong: {verification.wrong}", STATUS_WRONG)
        told += verification.records.all(verification.entries, verification.head)
    wanted = [each for each in told if each.pair == pair and model in (None, each.model)]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(wanted)))
    elif wanted or not (model or pair):
        write_records(wanted, Console(highlight=False, markup=False, emoji=False))
    else:
        known = sorted({f"{each.model}:{each.pair}" if pair else each.model for each in told})
        of = ", ".join(each for each in known if not each.endswith(":None")) or "nothing yet"
        raise CommandFailure(f"there is no record of that; there is of {of}", STATUS_MISTAKE)


def _files(settings: Settings, paths: Sequence[str]) -> list[Path]:
    if paths:
        return [Path(path) for path in paths]
    places = [ledger_path(settings.ledger, simulated=simulated) for simulated in (False, True)]
    there = [place for place in places if place is not None and segment_files(place)]
    if not there:
        raise CommandFailure(
            f"there is no ledger at {places[0]}: it begins with the first signal", STATUS_MISTAKE
        )
    return there


def _verified(file: Path, head: str | None, entries: int | None) -> Verification:
    now_us = SystemClock().now_ns() // 1_000
    try:
        with _progress(file.name) as advance:
            return verify_ledger(file, now_us, head, entries, advance)
    except LedgerError as error:
        raise CommandFailure(str(error), STATUS_MISTAKE) from None


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _entry, _of: None
        return
    columns = TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda entry, of: bar.update(task, completed=entry, total=of)


def _write(told: Verification, console: Console) -> None:
    line = Text(f"{told.path}: ", "bold")
    if told.wrong is None and told.unchecked.count:
        line.append("every entry is right", "bold green")
    elif told.wrong is None:
        line.append("whole", "bold green")
    else:
        line.append(f"WRONG: {told.wrong}", "bold red")
    lines = [line]
    if told.ledger is not None:
        of = "a simulated market" if told.simulated else "live markets"
        lines.append(Text(f"  ledger {told.ledger} of {of}, since {time_of(told.created_us or 0)}"))
    counts = f"{told.signals:,} signals, {told.outcomes:,} outcomes"
    until = "" if told.wrong is None else " up to there"
    lines.append(Text(f"  {told.entries - told.before:,} entries{until}{_where(told)}: {counts}"))
    if told.before:
        lines.append(
            Text(f"  the {told.before:,} before them are in segments that are not here", "yellow")
        )
    if told.wrong is None:
        lines.append(Text(f"  head {told.head}"))
        compared = " and ".join(told.compared_with) or "no head: a cut end would not be seen"
        lines.append(Text(f"  compared with {compared}", "dim"))
        lines.append(Text(f"  {len(told.open):,} signals open", "dim"))
    lines += _unchecked(told)
    lines += _remarks("are overdue: their horizon is over, and no outcome was told", told.overdue)
    lines += _remarks("were appended long after they say they were made", told.late)
    for each in lines:
        console.print(each, soft_wrap=True)


def _unchecked(told: Verification) -> list[Text]:
    """What keeps it from being called whole."""
    remarks = told.unchecked
    if told.wrong is not None or not remarks.count:
        return []
    lines = [Text(f"  NOT EACH BYTE: {each}", "yellow") for each in remarks.first]
    if remarks.count > len(remarks.first):
        lines.append(Text(f"    … of {remarks.count:,} files", "yellow"))
    return lines


def _where(told: Verification) -> str:
    return f" in {told.segments} files" if told.segments > 1 else ""


def _remarks(words: str, remarks: Remarks) -> list[Text]:
    if not remarks.count:
        return []
    lines = [Text(f"  LOOK: {remarks.count:,} signals {words}", "yellow")]
    lines += [Text(f"    {each}", "yellow") for each in remarks.first]
    if remarks.count > len(remarks.first):
        lines.append(Text("    …", "yellow"))
    return lines
