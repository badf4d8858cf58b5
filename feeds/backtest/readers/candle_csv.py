"""Candles as CSV: with a header that names its columns, or six or twelve columns without one.

Six are start, open, high, low, close, volume; twelve those of Binance's public archives. The file's
name stands for the venue. A candle is known when its interval is over, not before.
"""

import contextlib
import csv
from collections.abc import Iterator
from itertools import pairwise
from math import gcd
from typing import Final

from feeds.backtest.files import File
from feeds.backtest.readers.columns import candle, fitting, length_us, time_us, venue_of
from feeds.backtest.source import Event, Faults, FileError, Source
from feeds.market import Candle, Channel, Tick

_STARTS: Final = ("start", "timestamp", "time", "open_time", "date", "datetime", "t")
_PRICES: Final = ("open", "high", "low", "close")
_SIX: Final = ("start", *_PRICES, "volume")
_TWELVE: Final = (
    *_SIX, "close_time", "quote_volume", "trades", "buy_volume", "buy_quote_volume", "ignore",
)  # fmt: skip
_HEAD_ROWS: Final = 200


class _Columns:
    """Where each is."""

    def __init__(self, names: list[str]) -> None:
        places = {name.strip().lower(): place for place, name in enumerate(names)}
        self.count = len(names)
        start = next((name for name in _STARTS if name in places), None)
        self.is_known = start is not None and {*_PRICES, "volume"} <= places.keys()
        self.start = places.get(start or "", 0)
        self.prices = [places.get(name, 0) for name in _PRICES]
        self.volume = places.get("volume", 0)
        self.quote_volume = places.get("quote_volume")
        self.trades = places.get("trades")
        self.buy_volume = places.get("buy_volume")

    def candle(self, row: list[str]) -> Candle:
        """Raises ValueError."""
        if len(row) != self.count:
            raise ValueError(f"{len(row)} columns, not {self.count}")

        def optional(place: int | None) -> str | None:
            return None if place is None else row[place]

        trades = optional(self.trades)
        return candle(
            time_us(row[self.start]),
            [row[place] for place in self.prices],
            row[self.volume],
            quote_volume=optional(self.quote_volume),
            trades=None if trades is None else int(trades),
            buy_volume=optional(self.buy_volume),
        )


def recognise_candle_csv(file: File, symbol: str | None) -> Source | None:
    """See `READERS`."""
    rows = list(csv.reader(file.head_lines()[: _HEAD_ROWS + 1]))
    columns = _columns(rows[0]) if rows else None
    if columns is None:
        return None
    if symbol is None:
        raise FileError(f"{file.name} does not say of which pair it is: give --pair")
    bar = _interval(file, columns, rows)
    channel = Channel(f"candle.{bar}", venue_of(file.name), symbol)
    return Source(
        name=file.name,
        format=f"{bar} candles (CSV)",
        content="bars",
        venues=frozenset((channel.venue,)),
        events=lambda faults: _events(file, columns, channel, length_us(bar), faults),
        bar=bar,
        has_candles=True,
    )


def _columns(first: list[str]) -> _Columns | None:
    """None where the first row is neither a header that we know nor a row of such."""
    named = _Columns(first)
    if named.is_known:
        return named
    names = {len(_SIX): _SIX, len(_TWELVE): _TWELVE}.get(len(first))
    if names is None:
        return None
    columns = _Columns(list(names))
    try:
        columns.candle(first)
    except ValueError:
        return None
    return columns


def _interval(file: File, columns: _Columns, rows: list[list[str]]) -> str:
    """The longest that fits between any two rows. Raises FileError."""
    starts: list[int] = []
    for row in rows:
        with contextlib.suppress(ValueError):
            starts.append(time_us(row[columns.start]))
    between = gcd(*(later - start for start, later in pairwise(starts)))
    name = fitting(between)
    if name is None:
        raise FileError(f"{file.name} holds candles of no interval that there is")
    return name


def _events(
    file: File, columns: _Columns, channel: Channel, length: int, faults: Faults
) -> Iterator[Event]:
    lines = csv.reader(file.lines())
    for number, row in enumerate(lines, start=1):
        if not row or (number == 1 and _Columns(row).is_known):
            continue
        try:
            one = columns.candle(row)
        except ValueError as error:
            faults.add(f"{file.name}:{number}", str(error))
            continue
        yield Event(one.start_us + length, [Tick(channel, one)])
