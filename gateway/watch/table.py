"""The board as lines for a terminal of a given size: pure, text out.

As many columns as fit, the least needed one going first; where the rows don't fit, they are set in
blocks side by side with the most needed columns only.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len
from rich.text import Text

from feeds.market import Moment
from gateway.watch.board import HOPS, Board, Delays, Figure, Row, printable

NOT_MARKETS: Final = {"sim": "simulated", "replay": "recorded"}
"""Venues whose prices are nobody's: they are never shown under a venue's name."""

Segment = tuple[str, str]
"""Text and its style."""
Cell = tuple[Segment, ...]

_UP, _DOWN, _NOT_MARKET, _DIM, _ALARM = "green", "red", "magenta", "dim", "bold red"
_STATE_STYLES: Final = {"live": "green", "waiting": _DIM, "stale": _ALARM, "resync": "yellow"}
_BLOCK_GAP: Final = 3
_FRAME_LINES: Final = 5
"""Title, heading, delays, the note below, and the line that the cursor stands in."""


class _Column(NamedTuple):
    heading: str
    is_left: bool
    least_width: int
    cell: Callable[[Row, Moment], Cell]
    dispensable: int
    """The greater, the sooner it goes."""


class Layout:
    """Remembers how wide each column has been, so that the table does not twitch."""

    def __init__(self) -> None:
        self._widths: dict[str, int] = {}

    def lines(self, board: Board, at: Moment, place: str, width: int, height: int) -> list[Text]:
        """At most `height` - 1 lines of at most `width` cells."""
        rows = board.in_order()
        room = max(1, height - _FRAME_LINES)
        columns, blocks = self._fitting(_COLUMNS, rows, at, width), 1
        if len(rows) > room:
            needed = _needed(rows)
            fitting = (width + _BLOCK_GAP) // (self._width(needed, rows, at) + _BLOCK_GAP)
            if fitting > 1:
                columns, blocks = needed, min(fitting, -(-len(rows) // room))
        shown = rows[: blocks * room]
        table = self._table(columns, shown, at, blocks)
        if board.reconnecting is not None:
            for line in table:
                line.stylize(_DIM)
        lines = [_title(board, at, place), *table, _delays(board, at), _note(rows, len(shown))]
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        return lines[: height - 1]

    def _table(
        self, columns: Sequence[_Column], rows: Sequence[Row], at: Moment, blocks: int
    ) -> list[Text]:
        """A heading and the rows, in order down the first block, then the second."""
        per_block = max(1, -(-len(rows) // blocks))
        parts = [rows[start : start + per_block] for start in range(0, len(rows), per_block)]
        heading = Text.assemble(*self._heading(columns))
        table = [_side_by_side([heading] * max(1, len(parts)))]
        for index in range(per_block if rows else 0):
            across = [part[index] for part in parts if index < len(part)]
            table.append(_side_by_side([self._line(columns, row, at) for row in across]))
        return table

    def _fitting(
        self, columns: Sequence[_Column], rows: Sequence[Row], at: Moment, width: int
    ) -> list[_Column]:
        chosen = list(columns)
        while self._width(chosen, rows, at) > width and len(chosen) > 2:
            chosen.remove(max(chosen, key=lambda column: column.dispensable))
        return chosen

    def _width(self, columns: Sequence[_Column], rows: Sequence[Row], at: Moment) -> int:
        for column in columns:
            known = self._widths.get(column.heading, max(column.least_width, len(column.heading)))
            cells = (sum(cell_len(text) for text, _ in column.cell(row, at)) for row in rows)
            self._widths[column.heading] = max(known, max(cells, default=0))
        return sum(self._widths[column.heading] + 1 for column in columns) - 1

    def _heading(self, columns: Sequence[_Column]) -> list[Segment]:
        made: list[Segment] = []
        for column in columns:
            width = self._widths[column.heading]
            text = column.heading
            made.append((text.ljust(width) if column.is_left else text.rjust(width), "bold"))
            made.append((" ", ""))
        return made[:-1]

    def _line(self, columns: Sequence[_Column], row: Row, at: Moment) -> Text:
        made: list[Segment] = []
        for column in columns:
            cell = column.cell(row, at)
            pad = " " * (self._widths[column.heading] - sum(cell_len(text) for text, _ in cell))
            made += [*cell, (pad, "")] if column.is_left else [(pad, ""), *cell]
            made.append((" ", ""))
        return Text.assemble(*made[:-1])


def _side_by_side(blocks: Sequence[Text]) -> Text:
    return Text(" " * _BLOCK_GAP).join(blocks)


def _title(board: Board, at: Moment, place: str) -> Text:
    if board.reconnecting is not None:
        left_s = max(0.0, board.returns_s - at.monotonic_s)
        told = f"RECONNECTING in {left_s:.1f} s: {printable(board.reconnecting.reason, 200)}"
        return Text(told, "bold yellow")
    total = board.totals(at.monotonic_s)
    line = Text.assemble(
        ("tickgate", "bold"),
        f" {place}  {total.channels} channels  {_number(total.per_s)} messages/s",
    )
    if total.waiting:
        line.append(f"  {total.waiting} waiting", _DIM)
    if total.troubled:
        line.append(f"  {total.troubled} not live", _ALARM)
    if total.missed:
        line.append(f"  {total.missed} missed", _ALARM)
    return line


def _delays(board: Board, at: Moment) -> Text:
    parts = [
        f"{name} {_quantiles(delays, at) or '-'}"
        for name, delays in zip(HOPS, board.hops, strict=True)
    ]
    return Text(f"delay p50/p99 ms: {'  '.join(parts)}", _DIM)


def _note(rows: Sequence[Row], shown: int) -> Text:
    line = Text()
    labels = sorted({NOT_MARKETS[row.venue] for row in rows if row.venue in NOT_MARKETS})
    if labels:
        line.append(f"{' and '.join(labels)}: no real prices  ", _NOT_MARKET)
    if hidden := rows[shown:]:
        troubled = sum(row.state != "live" for row in hidden)
        more = f", {troubled} of them not live" if troubled else ""
        line.append(f"{len(hidden)} more in a larger terminal{more}", "yellow")
    return line


def _needed(rows: Sequence[Row]) -> list[_Column]:
    """The columns of a block; the venue is one where it isn't the same everywhere."""
    most = _IN_BLOCKS if len({row.venue for row in rows}) == 1 else _IN_BLOCKS + 1
    return [column for column in _COLUMNS if column.dispensable <= most]


def _symbol(row: Row, _: Moment) -> Cell:
    return ((row.symbol, "bold"),)


def _kind(row: Row, _: Moment) -> Cell:
    return ((row.kind, _DIM),)


def _venue(row: Row, _: Moment) -> Cell:
    label = NOT_MARKETS.get(row.venue)
    return ((row.venue, ""),) if label is None else ((label, _NOT_MARKET),)


def _price(row: Row, _: Moment) -> Cell:
    segments: list[Segment] = []
    for figure in row.figures:
        segments += [(" ", ""), (figure.text, _colour(figure))]
    return tuple(segments[1:])


def _move(row: Row, _: Moment) -> Cell:
    """The same as the colours, for those who don't see them."""
    moves = sum(figure.direction for figure in row.figures)
    return (("▲", _UP),) if moves > 0 else (("▼", _DOWN),) if moves < 0 else ((" ", ""),)


def _colour(figure: Figure) -> str:
    return {1: _UP, -1: _DOWN, 0: ""}[figure.direction]


def _size(row: Row, _: Moment) -> Cell:
    return ((row.size, ""),)


def _rate(row: Row, at: Moment) -> Cell:
    return ((_number(row.rate.per_s(at.monotonic_s)), ""),)


def _age(row: Row, at: Moment) -> Cell:
    age_s = row.age_s(at.monotonic_s)
    return (("-" if age_s is None else _duration(age_s), _DIM),)


def _hop(number: int) -> Callable[[Row, Moment], Cell]:
    def cell(row: Row, at: Moment) -> Cell:
        return ((_quantiles(row.hops[number], at), _DIM),)

    return cell


def _state(row: Row, _: Moment) -> Cell:
    """And whose fault it is; and what did not come since the start."""
    by = f" {row.by}" if row.by and row.state != "live" else ""
    segments: list[Segment] = [(f"{row.state}{by}", _STATE_STYLES.get(row.state, _ALARM))]
    if row.gaps:
        segments.append((f" {row.gaps} {'gap' if row.gaps == 1 else 'gaps'}: {row.missed}", _ALARM))
    if row.resets:
        segments.append((" reset", _ALARM))
    return tuple(segments)


def _quantiles(delays: Delays, at: Moment) -> str:
    found = delays.quantiles(at.monotonic_s)
    return "/".join(map(_milliseconds, found)) if found else ""


def _milliseconds(us: float) -> str:
    ms = us / 1_000
    if ms < 0.995:
        return f"{ms:.2f}"
    return f"{ms:.1f}" if ms < 9.95 else f"{ms:.0f}" if ms < 99_999 else "long"


def _number(value: float) -> str:
    return f"{value:.1f}" if 0 < value < 9.95 else f"{value:.0f}"


def _duration(seconds: float) -> str:
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f}s"
    if seconds < 100:
        return f"{seconds:.0f}s"
    return f"{seconds / 60:.0f}m" if seconds < 6_000 else f"{seconds / 3_600:.0f}h"


_IN_BLOCKS: Final = 4
_COLUMNS: Final = (
    _Column("venue", True, 9, _venue, 5),
    _Column("symbol", True, 8, _symbol, 0),
    _Column("kind", True, 5, _kind, 11),
    _Column("", True, 1, _move, 4),
    _Column("price", False, 8, _price, 0),
    _Column("size", False, 6, _size, 7),
    _Column("msg/s", False, 5, _rate, 6),
    _Column("age", False, 4, _age, 3),
    *(_Column(f"{name} ms", False, 9, _hop(number), 10) for number, name in enumerate(HOPS)),
    _Column("state", True, 7, _state, 1),
)
