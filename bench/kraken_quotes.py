"""Question: what does a quote of Kraken's cost from its ticker, and what from its checked book?

The parser alone, no socket: a captured book, and a ticker that tells the same quotes, in turns. CPU
time of this process. `python -m bench.kraken_quotes`.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Final

import msgspec
from rich.table import Table

from bench.processes import REPOSITORY
from bench.verdict import add_options, console, keep
from feeds.market import Quote, Tick
from feeds.venue import Event
from feeds.venues.kraken import KrakenParser

_CAPTURES: Final = REPOSITORY / "tests" / "captures" / "kraken"
_RECEIVED_NS: Final = 1_784_483_682_752_434_000
_TURNS_A_RUN: Final = 20


class Run(msgspec.Struct, frozen=True):
    """Of one capture: its messages, its quotes, and the CPU time of each."""

    book_messages: int
    quotes: int
    ticker_us: float
    """A message, which is a quote."""
    book_us: float
    """A message; the snapshot is one of them."""
    book_quote_us: float
    """A quote: all messages of the book, shared out."""


def captured_book() -> list[str]:
    """One pair's snapshot and updates, of one connection."""
    lines = (_CAPTURES / "book.jsonl").read_text().splitlines()
    return [line for line in lines if '"BTC/USD"' in line]


def tickers_of(quotes: Sequence[Quote]) -> list[str]:
    """The captured ticker, telling these quotes."""
    lines = (_CAPTURES / "frames.jsonl").read_text().splitlines()
    captured = msgspec.json.decode(
        next(line for line in lines if line.startswith('{"channel":"ticker"'))
    )
    told = []
    for quote in quotes:
        numbers = {
            "bid": quote.bid, "ask": quote.ask, "bid_qty": quote.bid_size, "ask_qty": quote.ask_size
        }  # fmt: skip
        raw = {name: msgspec.Raw(str(number).encode()) for name, number in numbers.items()}
        told.append(msgspec.json.encode(captured | {"data": [captured["data"][0] | raw]}).decode())
    return told


def quotes_of(frames: Sequence[str]) -> list[Quote]:
    feed = KrakenParser().feed
    events: list[Event] = [event for frame in frames for event in feed(frame, _RECEIVED_NS)]
    return [
        event.payload
        for event in events
        if isinstance(event, Tick) and isinstance(event.payload, Quote)
    ]


def spent_ns(frames: Sequence[str], seconds: float) -> float:
    """For a frame, of all of them played as often as there is time."""
    feed, played = KrakenParser().feed, 0
    began_ns = time.process_time_ns()
    while (now_ns := time.process_time_ns()) - began_ns < seconds * 1e9:
        for frame in frames:
            feed(frame, _RECEIVED_NS)
        played += len(frames)
    return (now_ns - began_ns) / played


def run(seconds: float) -> Run:
    book = captured_book()
    quotes = quotes_of(book)
    tickers = tickers_of(quotes)
    assert [(one.bid, one.ask) for one in quotes_of(tickers)] == [
        (one.bid, one.ask) for one in quotes
    ], "both tell the same"
    turn_s = seconds / 2 / _TURNS_A_RUN
    turns = [(spent_ns(tickers, turn_s), spent_ns(book, turn_s)) for _ in range(_TURNS_A_RUN)]
    ticker_us, book_us = (statistics.median(column) / 1e3 for column in zip(*turns, strict=True))
    return Run(len(book), len(quotes), ticker_us, book_us, book_us * len(book) / len(quotes))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.kraken_quotes", description=__doc__)
    add_options(parser, seconds=4.0)
    options = parser.parse_args(arguments)
    runs = [run(options.seconds) for _ in range(options.repeats)]
    table = Table("µs of CPU", "a ticker", "a message of the book", "a quote by the book", box=None)
    for one in runs:
        figures = (one.ticker_us, one.book_us, one.book_quote_us)
        table.add_row("", *(f"{figure:.1f}" for figure in figures))
    first = runs[0]
    said = console()
    said.print(f"{first.book_messages} messages of the book, {first.quotes} quotes\n", table)
    question = (__doc__ or "").splitlines()[0]
    kept = keep("kraken_quotes", question, vars(options), runs, [], options.output)
    said.print(f"\nkept in {kept}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
