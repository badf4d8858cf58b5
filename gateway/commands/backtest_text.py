"""A backtest as a person reads it: what was read, the track records, what following came to."""

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from feeds.backtest.equity import Equity
from feeds.backtest.run import Backtest
from feeds.derived.models import MODELS
from feeds.market import TrackRecord
from gateway.commands.ledger_table import write_line, write_records
from gateway.commands.times import minute_of
from gateway.watch.board import printable

_NAME_CHARS: Final = 80


def write_backtest(done: Backtest, records: Sequence[TrackRecord], console: Console) -> None:
    for source in done.sources:
        name = printable(source.name, _NAME_CHARS)
        write_line(Text(f"{name}: {source.format}", "dim"), console)
    write_line(Text(setting_of(done)), console)
    console.print()
    write_records(records, console)
    silent = [name for name in done.models if name not in {each.model for each in records}]
    if silent and records:
        console.print()
        console.print(Text(f"no signal: {', '.join(silent)}", "dim"))
    equities = [(pair, each) for pair, some in done.equities.items() for each in some]
    if equities:
        console.print()
    for pair, each in equities:
        write_line(Text(_followed(pair, each)), console)


def setting_of(done: Backtest) -> str:
    assert done.span_us is not None
    first_us, last_us = done.span_us
    venues = sorted({venue for source in done.sources for venue in source.venues})
    return (
        f"{minute_of(first_us)} to {minute_of(last_us)} UTC · {done.interval} candles ·"
        f" {', '.join(venues)} · costs {done.cost_bps:g} bps in and out"
    )


def records_of(done: Backtest, pair: str | None) -> list[TrackRecord]:
    """Of each model one, in the order of their table; None: over all pairs."""
    places = {name: place for place, name in enumerate(MODELS)}
    records = [record for record in done.records if record.pair == pair]
    return sorted(records, key=lambda each: places.get(each.model, len(places)))


def _followed(pair: str, one: Equity) -> str:
    return (
        f"{one.model} followed on {pair}: {one.followed[-1] - 1:+.1%}, deepest drawdown"
        f" {min(one.drawdowns):.1%}; holding: {one.held[-1] - 1:+.1%}"
    )
