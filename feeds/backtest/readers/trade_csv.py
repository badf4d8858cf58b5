"""Trades as CSV, a row each, with a header: time, exchange, symbol, side, price, amount. They go
through the screen, as live ones do.
"""

import csv
from collections.abc import Iterator
from typing import Final

from feeds.backtest.files import File
from feeds.backtest.readers.columns import time_us, venue_of
from feeds.backtest.readers.screening import Screening
from feeds.backtest.source import Event, Faults, FileError, Source
from feeds.market import Channel, Instrument, Side, Tick, Trade
from feeds.market.digits import positive
from feeds.venues import VENUES
from feeds.watching.trade_ids import Promise

_TIMES: Final = ("t_ms", "t", "time", "timestamp")
_SIZES: Final = ("amount", "size", "qty", "quantity")
_SIDES: Final[dict[str, Side]] = {"buy": "buy", "sell": "sell"}


class _Columns:
    """Where each is; None of venue and symbol: the file doesn't say."""

    def __init__(self, names: list[str], venue: str) -> None:
        self._venue = venue
        places = {name.strip().lower(): place for place, name in enumerate(names)}
        self.count = len(names)
        time = next((name for name in _TIMES if name in places), None)
        size = next((name for name in _SIZES if name in places), None)
        self.is_known = None not in (time, size) and {"price", "side"} <= places.keys()
        self.time, self.size = places.get(time or "", 0), places.get(size or "", 0)
        self.price, self.side = places.get("price", 0), places.get("side", 0)
        self.venue, self.symbol = places.get("exchange"), places.get("symbol")
        self.id = places.get("id")

    def venue_of(self, row: list[str]) -> str:
        return self._venue if self.venue is None else row[self.venue].lower()

    def promise_of(self, venue: str) -> Promise:
        """What a venue promises of the ids that the file gives."""
        known = VENUES.get(venue)
        return "none" if self.id is None or known is None else known.trade_ids

    def symbol_of(self, row: list[str]) -> str | None:
        """Raises ValueError."""
        if self.symbol is None:
            return None
        base, _, quote = row[self.symbol].replace("/", "-").partition("-")
        return Instrument.of(base, quote).symbol


def recognise_trade_csv(file: File, symbol: str | None) -> Source | None:
    """See `READERS`."""
    rows = list(csv.reader(file.head_lines()))
    columns = _Columns(rows[0], venue_of(file.name)) if rows else None
    if columns is None or not columns.is_known:
        return None
    if columns.symbol is None and symbol is None:
        raise FileError(f"{file.name} does not say of which pair it is: give --pair")
    whole = [row for row in rows[1:] if len(row) == columns.count]
    return Source(
        name=file.name,
        format="trades (CSV)",
        content="ticks",
        venues=frozenset(columns.venue_of(row) for row in whole),
        events=lambda faults: _events(file, columns, symbol, faults),
    )


def _events(file: File, columns: _Columns, symbol: str | None, faults: Faults) -> Iterator[Event]:
    channels: dict[tuple[str, str], Channel] = {}
    screening = Screening(faults)
    for number, row in enumerate(csv.reader(file.lines()), start=1):
        if number == 1 or not row:
            continue
        try:
            if len(row) != columns.count:
                raise ValueError(f"{len(row)} columns, not {columns.count}")  # noqa: TRY301 - told below
            at_us = time_us(row[columns.time])
            of = columns.venue_of(row), columns.symbol_of(row) or symbol or ""
            channel = channels.get(of) or channels.setdefault(
                of, Channel.parse(f"trade:{of[0]}:{of[1]}")
            )
            trade = Trade(
                positive(row[columns.price]),
                positive(row[columns.size]),
                _side(row[columns.side]),
                str(number) if columns.id is None else row[columns.id],
                at_us,
            )
        except ValueError as error:
            faults.add(f"{file.name}:{number}", str(error))
            continue
        place = f"{file.name}:{number}"
        ticks = screening.passed([Tick(channel, trade)], columns.promise_of(channel.venue), place)
        if ticks:
            yield Event(at_us, ticks)


def _side(text: str) -> Side:
    side = _SIDES.get(text.lower())
    if side is None:
        raise ValueError(f"no side: {text[:40]!r}")
    return side
