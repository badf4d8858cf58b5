"""A candle as subscribers are told it. Open, high, low and close carry the venue's own digits;
volumes are exact sums. Pure.

`n` is the number of trades: candles are never conflated, so it can mean nothing else.
"""

import msgspec


class Candle(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One interval of one market. Of several messages with the same `start` the newest counts."""

    start_us: int = msgspec.field(name="start")
    """Where the interval begins, microseconds UTC; its end is no longer in it."""
    open: str
    high: str
    low: str
    close: str
    volume: str
    quote_volume: str
    vwap: str
    """`quote_volume / volume`, rounded half to even; the close where nobody traded."""
    buy_volume: str
    """The part whose taker bought."""
    trades: int = msgspec.field(name="n")
    final: bool
    """Whether the interval is over: said once, and taken back by a correction only."""
    version: int = 1
    """Counts the corrections of a final candle: the first one is version 2."""
    correction: bool = False
    """A trade came later than the allowed lateness: this replaces the final candle before."""
    partial: bool = False
    """Trades may be missing: not the whole interval was listened to."""
    venue_us: int | None = msgspec.field(name="t", default=None)
    """When its last trade happened; None where nobody traded."""
    received_us: int | None = msgspec.field(name="rx", default=None)
    """When the newest of its trades was received."""
