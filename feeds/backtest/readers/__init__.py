"""READERS: one file and one row in this table each. What a file is, its content says."""

from collections.abc import Callable
from typing import Final

from feeds.backtest.files import File
from feeds.backtest.readers.candle_csv import recognise_candle_csv
from feeds.backtest.readers.lean import recognise_lean
from feeds.backtest.readers.messages import recognise_messages
from feeds.backtest.readers.recording import recognise_recording
from feeds.backtest.readers.trade_csv import recognise_trade_csv
from feeds.backtest.source import FileError, Source

Reader = Callable[[File, str | None], Source | None]
"""The second argument is the symbol of what names none. None: it is another format.
Raises FileError where it is this format, and can't be used."""

READERS: Final[dict[str, Reader]] = {
    "minute, second, hour and day bars of trades or quotes (LEAN's zip files)": recognise_lean,
    "messages as `tickgate watch` and `tickgate decode` write them": recognise_messages,
    "trades as CSV (columns t_ms, exchange, symbol, side, price, amount)": recognise_trade_csv,
    "candles as CSV (columns start, open, high, low, close, volume)": recognise_candle_csv,
    "recordings of `tickgate record`, and other raw messages of its venues": recognise_recording,
}
"""In the order in which they look at a file."""

__all__ = ["READERS", "recognised"]


def recognised(file: File, symbol: str | None) -> Source:
    """Raises FileError."""
    for read in READERS.values():
        source = read(file, symbol)
        if source is not None:
            return source
    raise FileError(f"{file.name} is none of what can be read: {'; '.join(READERS)}")
