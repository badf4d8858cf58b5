"""What several trades come to: count, volume, average price, range. Exact, and no volume is lost.

Pure. Decimals in, decimals out, with the venue's own digits.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Annotated, NamedTuple

import msgspec

from feeds.market.tick import Side

_EXACT = Context(prec=300)
"""Sums and products of any two decimals that a venue writes, without rounding."""
_AVERAGE_DIGITS = 4
"""How many more the average has than the finest price."""

_Digits = Annotated[str, msgspec.Meta(max_length=64)]


class _Trade(msgspec.Struct, frozen=True):
    price: _Digits = msgspec.field(name="px")
    size: _Digits = msgspec.field(name="sz")
    side: Side


class Tally(NamedTuple):
    """Of one trade or more; the sum of two is the tally of all their trades."""

    volume: Decimal
    buy_volume: Decimal
    """The part whose taker bought."""
    turnover: Decimal
    """The sum of price x size."""
    high: Decimal
    low: Decimal

    def plus(self, later: "Tally") -> "Tally":
        return Tally(
            _EXACT.add(self.volume, later.volume),
            _EXACT.add(self.buy_volume, later.buy_volume),
            _EXACT.add(self.turnover, later.turnover),
            self.high if self.high >= later.high else later.high,
            self.low if self.low <= later.low else later.low,
        )

    def average(self) -> Decimal:
        """Turnover / volume, rounded half to even; the high, where nothing but zeros was traded."""
        if not self.volume:
            return self.high
        digits = max(_decimals(self.high), _decimals(self.low)) + _AVERAGE_DIGITS
        exact = _EXACT.divide(self.turnover, self.volume)
        return exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN, _EXACT)

    def told(self) -> dict[str, str]:
        """As subscribers are told it."""
        return {
            "sz": f"{self.volume:f}",
            "buy_sz": f"{self.buy_volume:f}",
            "vwap": f"{self.average():f}",
            "hi": f"{self.high:f}",
            "lo": f"{self.low:f}",
        }


_decode = msgspec.json.Decoder(_Trade).decode


def tally_of(payload: bytes) -> Tally | None:
    """The tally of one trade's payload; None where it is none that can be counted."""
    try:
        trade = _decode(payload)
        price, size = Decimal(trade.price), Decimal(trade.size)
    except (msgspec.DecodeError, InvalidOperation, ValueError):
        return None
    if not (price.is_finite() and size.is_finite()):
        return None
    bought = size if trade.side == "buy" else Decimal(0)
    return Tally(size, bought, _EXACT.multiply(price, size), price, price)


def _decimals(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
