"""What several trades come to: volume, average price, range. Exact, and no volume is lost. Pure.

Payloads in, a payload out, with the venue's own digits.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Annotated, NamedTuple

import msgspec

from feeds.market.tick import Side

_EXACT = Context(prec=300)
"""Sums and products of any decimals that a venue writes, without rounding."""
_DIVIDING = Context(prec=60)
_AVERAGE_DIGITS = 4
"""How many more the average has than the finest price."""

_NOTHING = Decimal(0)

_DIGITS_MAX = 64
_Digits = Annotated[str, msgspec.Meta(max_length=_DIGITS_MAX)]


class _Trade(msgspec.Struct, frozen=True, gc=False):
    price: _Digits = msgspec.field(name="px")
    size: _Digits = msgspec.field(name="sz")
    side: Side
    suspect: bool = False


class _Newest(msgspec.Struct, frozen=True, gc=False):
    """What the last trade says for all of them."""

    price: str = msgspec.field(name="px")
    venue_us: int | None = msgspec.field(name="t", default=None)
    received_us: int | None = msgspec.field(name="rx", default=None)
    published_us: int | None = msgspec.field(name="tx", default=None)


class Trades(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Several trades as one, at a rate or for a slow client: no volume is lost."""

    price: str = msgspec.field(name="px")
    """The newest one's."""
    volume: str = msgspec.field(name="sz")
    buy_volume: str = msgspec.field(name="buy_sz")
    """The part whose taker bought."""
    average: str = msgspec.field(name="vwap")
    high: str = msgspec.field(name="hi")
    low: str = msgspec.field(name="lo")
    venue_us: int | None = msgspec.field(name="t", default=None)
    received_us: int | None = msgspec.field(name="rx", default=None)
    published_us: int | None = msgspec.field(name="tx", default=None)
    suspect: bool = False
    """One of them is: the range and the average may be its doing."""


class Price(NamedTuple):
    """A number, and the digits that the venue wrote."""

    number: Decimal
    digits: str

    @property
    def decimals(self) -> int:
        return len(self.digits.partition(".")[2])


class Tally(NamedTuple):
    """Of one trade or more."""

    volume: Decimal
    buy_volume: Decimal
    """The part whose taker bought."""
    turnover: Decimal
    """The sum of price x size."""
    high: Price
    low: Price
    is_suspect: bool = False
    """A trade of them is marked `suspect`."""

    def average(self) -> str:
        """Turnover / volume, rounded half to even; the high, where nothing but zeros was traded."""
        if not self.volume:
            return self.high.digits
        decimals = max(self.high.decimals, self.low.decimals) + _AVERAGE_DIGITS
        exact = _DIVIDING.divide(self.turnover, self.volume)
        unit = Decimal((0, (1,), -decimals))
        return f"{exact.quantize(unit, ROUND_HALF_EVEN, _EXACT):f}"

    def payload(self, newest: bytes) -> bytes:
        """As subscribers are told it; `newest` is the last trade's payload."""
        last = _decode_newest(newest)
        trades = Trades(
            last.price,
            f"{self.volume:f}",
            f"{self.buy_volume:f}",
            self.average(),
            self.high.digits,
            self.low.digits,
            last.venue_us,
            last.received_us,
            last.published_us,
            self.is_suspect,
        )
        return _encode(trades)


def sum_of(tallies: Sequence[Tally]) -> Tally:
    """The tally of all their trades; of one or more. Of equal prices the first one's digits."""
    add = _EXACT.add
    volume = bought = turnover = _NOTHING
    high, low = tallies[0].high, tallies[0].low
    is_suspect = False
    for one in tallies:
        volume = add(volume, one.volume)
        turnover = add(turnover, one.turnover)
        if one.buy_volume:
            bought = add(bought, one.buy_volume)
        if one.high.number > high.number:
            high = one.high
        if one.low.number < low.number:
            low = one.low
        is_suspect = is_suspect or one.is_suspect
    return Tally(volume, bought, turnover, high, low, is_suspect)


_decode = msgspec.json.Decoder(_Trade).decode
_decode_newest = msgspec.json.Decoder(_Newest).decode
_encode = msgspec.json.Encoder().encode


def tally_of(payload: bytes) -> Tally | None:
    """The tally of one trade's payload; None where it is none that can be counted."""
    try:
        trade = _decode(payload)
        price, size = Decimal(trade.price), Decimal(trade.size)
        # Our feeds write neither infinities nor exponents; whoever else publishes might.
        if max(abs(price.adjusted()), abs(size.adjusted())) > _DIGITS_MAX:
            return None
        turnover = _EXACT.multiply(price, size)
    except (msgspec.DecodeError, ArithmeticError, ValueError):
        return None
    if not turnover.is_finite():
        return None
    bought = size if trade.side == "buy" else _NOTHING
    high = Price(price, trade.price)
    return Tally(size, bought, turnover, high, high, trade.suspect)
