"""What some trades of one market come to, exactly: the inside of a candle. Pure.

Trades may come in any order: the open is the earliest's price, the close the latest's. Bars of
neighbouring intervals merge into that of both, with no digit lost.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from typing import Final, NamedTuple

from feeds.market import Candle, Trade
from feeds.market.digits import written

_EXACT: Final = Context(prec=300)
"""Sums and products of any decimals that a venue writes, without rounding."""
_add: Final = _EXACT.add
_multiply: Final = _EXACT.multiply
_DIVIDING: Final = Context(prec=60)
_AVERAGE_DIGITS: Final = 4
"""How many more the average has than the finest price."""
_NOTHING: Final = Decimal(0)


class Deal(NamedTuple):
    """A trade, read once for all the bars that it is part of."""

    digits: str
    """The price as the venue wrote it."""
    price: Decimal
    size: Decimal
    is_buy: bool
    at_us: int
    received_us: int | None


def deal_of(trade: Trade, heard_us: int, latest_us: int) -> Deal:
    """A trade without a time happened when it was received, none much later than that."""
    at_us = heard_us if trade.venue_us is None else min(trade.venue_us, latest_us)
    return Deal(
        trade.price,
        Decimal(trade.price),
        Decimal(trade.size),
        trade.side == "buy",
        at_us,
        trade.received_us,
    )


class Bar:
    """Times: microseconds UTC. Without trades its prices are the close before."""

    __slots__ = (
        "_high", "_low", "buy_volume", "close", "close_us", "high", "is_partial", "low", "open",
        "open_us", "quote_volume", "received_us", "start_us", "trades", "version", "volume",
    )  # fmt: skip

    def __init__(self, start_us: int, close_before: str = "0") -> None:
        self.start_us = start_us
        self.version = 1
        self.is_partial = False
        self.trades = 0
        self.open_us = self.close_us = start_us
        self.volume = self.quote_volume = self.buy_volume = _NOTHING
        self.received_us: int | None = None
        self.stand_at(close_before)

    def stand_at(self, close_before: str) -> None:
        """Its prices, while it has no trades."""
        self.open = self.high = self.low = self.close = close_before
        self._high = self._low = Decimal(close_before)

    def add(self, deal: Deal) -> None:
        """One trade more."""
        digits, price, size, is_buy, at_us, received_us = deal
        if not self.trades:
            self.open = self.high = self.low = self.close = digits
            self._high = self._low = price
            self.open_us = self.close_us = at_us
        else:
            if at_us >= self.close_us:
                self.close, self.close_us = digits, at_us
            elif at_us < self.open_us:
                self.open, self.open_us = digits, at_us
            if price > self._high:
                self.high, self._high = digits, price
            elif price < self._low:
                self.low, self._low = digits, price
        self.trades += 1
        self.volume = _add(self.volume, size)
        self.quote_volume = _add(self.quote_volume, _multiply(price, size))
        if is_buy:
            self.buy_volume = _add(self.buy_volume, size)
        if received_us is not None:
            self.received_us = received_us

    def merge(self, later: "Bar") -> None:
        """The interval after it becomes part of it."""
        self.is_partial = self.is_partial or later.is_partial
        if not later.trades:
            return
        if not self.trades:
            self.open, self.open_us = later.open, later.open_us
            self.high, self._high, self.low, self._low = (
                later.high, later._high, later.low, later._low,
            )  # fmt: skip
        else:
            if later._high > self._high:
                self.high, self._high = later.high, later._high
            if later._low < self._low:
                self.low, self._low = later.low, later._low
        self.close, self.close_us = later.close, later.close_us
        self.trades += later.trades
        self.volume = _add(self.volume, later.volume)
        self.quote_volume = _add(self.quote_volume, later.quote_volume)
        self.buy_volume = _add(self.buy_volume, later.buy_volume)
        self.received_us = later.received_us or self.received_us

    def part_of(self, start_us: int) -> "Bar":
        """The same trades, as the first part of a longer interval."""
        whole = Bar.__new__(Bar)
        whole.start_us, whole.version, whole.is_partial = start_us, 1, self.is_partial
        whole.trades = self.trades
        whole.open, whole.high, whole.low, whole.close = self.open, self.high, self.low, self.close
        whole._high, whole._low = self._high, self._low
        has_traded = self.trades > 0
        whole.open_us = self.open_us if has_traded else start_us
        whole.close_us = self.close_us if has_traded else start_us
        whole.volume, whole.quote_volume = self.volume, self.quote_volume
        whole.buy_volume = self.buy_volume
        whole.received_us = self.received_us if has_traded else None
        return whole

    def average(self) -> str:
        """Quote volume / volume, rounded half to even; the close where there is no volume."""
        if not self.volume:
            return self.close
        decimals = max(_decimals(self.high), _decimals(self.low)) + _AVERAGE_DIGITS
        exact = _DIVIDING.divide(self.quote_volume, self.volume)
        return written(exact.quantize(_step(decimals), ROUND_HALF_EVEN, _EXACT))

    def candle(self, *, final: bool, correction: bool = False, is_partial: bool = False) -> Candle:
        """As it is told; `is_partial`: whether or not it is by itself."""
        return Candle(
            self.start_us,
            self.open,
            self.high,
            self.low,
            self.close,
            written(self.volume),
            written(self.quote_volume),
            self.average(),
            written(self.buy_volume),
            self.trades,
            final,
            self.version,
            correction,
            self.is_partial or is_partial,
            self.close_us if self.trades else None,
            self.received_us,
        )

    @classmethod
    def of(cls, candle: Candle) -> "Bar":
        """What it was when it was told; when its open was is not known any more."""
        bar = cls(candle.start_us, candle.close)
        bar.open, bar.high, bar.low = candle.open, candle.high, candle.low
        bar._high, bar._low = Decimal(candle.high), Decimal(candle.low)
        bar.close_us = candle.start_us if candle.venue_us is None else candle.venue_us
        bar.trades = candle.trades
        bar.volume, bar.quote_volume = Decimal(candle.volume), Decimal(candle.quote_volume)
        bar.buy_volume = Decimal(candle.buy_volume)
        bar.version, bar.is_partial = candle.version, candle.partial
        bar.received_us = candle.received_us
        return bar


def _decimals(digits: str) -> int:
    point = digits.find(".")
    return 0 if point < 0 else len(digits) - point - 1


@lru_cache(maxsize=128)
def _step(decimals: int) -> Decimal:
    """The least number of so many decimals."""
    return Decimal((0, (1,), -decimals))
