"""Indicators one value at a time: the same numbers as TA-Lib computes of a whole series at once.

Pure. O(1) a value, bounded memory, floats: statistics, not money. Before its warm-up is over a
kernel says None, as a value that depends on where one began to listen would be no value.
"""

from feeds.derived.kernels.averages import Atr, Ema, Macd, MacdValue, Rma, Rsi
from feeds.derived.kernels.surprise import Surprise
from feeds.derived.kernels.windows import Bands, Bollinger, Vwap, ZScore

__all__ = [
    "Atr",
    "Bands",
    "Bollinger",
    "Ema",
    "Macd",
    "MacdValue",
    "Rma",
    "Rsi",
    "Surprise",
    "Vwap",
    "ZScore",
]
