"""Bars of trades or quotes as LEAN keeps them: a zip of one CSV without a header.

The zip's name, and where it lies, tell market, resolution and pair. A bar is known when it is over:
of a quote's, the bid and ask at its end. What came within it, in which order, nobody knows.
"""

import csv
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from feeds.backtest.files import File
from feeds.backtest.readers.columns import candle, length_us
from feeds.backtest.source import Event, Faults, FileError, Source
from feeds.market import Channel, Instrument, InstrumentError, Payload, Quote, Tick, digits
from feeds.market.digits import positive
from feeds.market.times import rfc3339_us

_BARS: Final = {"second": "1s", "minute": "1m", "hour": "1h", "daily": "1d"}
_CONTRACTS: Final = {"crypto": "", "cryptofuture": "PERP"}
_QUOTES: Final = ("USD", "USDT", "USDC", "BUSD", "FDUSD", "EUR", "GBP", "JPY", "BTC", "ETH")
_DAY: Final = re.compile(r"(?:19|20)[0-9]{6}\Z")

_Read: TypeAlias = Callable[[list[str], int, int], Payload | None]
"""A row, its bar's start and its end to a payload; None: half a quote. Raises ValueError."""


class _Bars(NamedTuple):
    """What a file holds; a day as 20221213, where the rows have the time of day only."""

    channel: Channel
    day: str | None
    length_us: int
    read: _Read


def recognise_lean(file: File, symbol: str | None) -> Source | None:
    """See `READERS`. `symbol` is not needed: the name says it."""
    if not file.is_zip or not file.member.endswith(".csv"):
        return None
    # Flat (crypto_coinbase_minute_btcusd_20180404_trade) or as LEAN's own folders.
    path = "_".join((*file.path.absolute().parts[-5:-1], file.path.stem)).lower()
    words = path.split("_")
    security = next((place for place, word in enumerate(words) if word in _CONTRACTS), None)
    if security is None or len(words) < security + 4:
        raise FileError(f"{file.name} does not say of which market it is, like crypto_coinbase_…")
    contract = _CONTRACTS[words[security]]
    venue, resolution, joined = words[security + 1 : security + 4]
    kind = words[-1]
    if resolution not in _BARS or kind not in {"trade", "quote"}:
        raise FileError(f"{file.name} holds {resolution} {kind}s: what is read is in the README")
    try:
        pair = Instrument.split(joined, _QUOTES)
    except InstrumentError as error:
        raise FileError(f"{file.name}: {error}") from None
    name = Instrument(pair.base, pair.quote, contract).symbol
    bar = _BARS[resolution]
    is_trade = kind == "trade"
    channel = Channel(f"candle.{bar}" if is_trade else "quote", venue, name)
    day = next((word for word in words[::-1] if _DAY.match(word)), None)
    return Source(
        name=file.name,
        format=f"{bar} bars of {kind}s, {venue} {name}",
        content="bars",
        venues=frozenset((venue,)),
        events=partial(
            _events, file, _Bars(channel, day, length_us(bar), _candle if is_trade else _quote)
        ),
        bar=bar,
        has_candles=is_trade,
        quotes=frozenset() if is_trade else frozenset((channel,)),
    )


def _events(file: File, bars: _Bars, faults: Faults) -> Iterator[Event]:
    channel, length, read = bars.channel, bars.length_us, bars.read
    day_us = None if bars.day is None else _moment_us(f"{bars.day} 00:00")
    for number, row in enumerate(csv.reader(file.lines()), start=1):
        try:
            start_us = _start_us(row[0], day_us) if row else 0
            payload = read(row, start_us, start_us + length)
        except ValueError as error:
            faults.add(f"{file.name}:{number}", str(error))
            continue
        if payload is not None:
            yield Event(start_us + length, [Tick(channel, payload)])


def _start_us(text: str, day_us: int | None) -> int:
    """Milliseconds of the day that the name says, or `20131001 00:00`."""
    if day_us is not None and text.isdigit():
        return day_us + int(text) * 1_000
    return _moment_us(text)


def _moment_us(text: str) -> int:
    day, _, time = text.partition(" ")
    return rfc3339_us(f"{day[:4]}-{day[4:6]}-{day[6:]}T{time}:00Z")


def _candle(row: list[str], start_us: int, _: int) -> Payload:
    if len(row) != 6:
        raise ValueError(f"{len(row)} columns, not 6")
    return candle(start_us, row[1:5], row[5])


def _quote(row: list[str], _: int, end_us: int) -> Payload | None:
    if len(row) != 11:
        raise ValueError(f"{len(row)} columns, not 11")
    bid, bid_size, ask, ask_size = row[4], row[5], row[9], row[10]
    if not (bid and ask):
        return None
    return Quote(positive(bid), positive(ask), digits(bid_size), digits(ask_size), end_us)
