"""What columns and names come to: times, candles, intervals, venues. Pure; raises ValueError."""

import re
from decimal import Decimal
from typing import Final

from feeds.derived.bar import Bar
from feeds.derived.intervals import INTERVALS
from feeds.market import Candle, digits
from feeds.market.digits import positive, written
from feeds.market.times import rfc3339_us

_NUMBER: Final = re.compile(r"[0-9]{9,19}(?:\.0*)?\Z")
_ZONED: Final = re.compile(r".*(?:[Zz]|[+-][0-9]{2}:[0-9]{2})\Z")
_UNNAMEABLE: Final = re.compile(r"[^a-z0-9_-]+")
_SECONDS_END: Final = 10**11
_MILLISECONDS_END: Final = 10**14
_MICROSECONDS_END: Final = 10**17


def time_us(text: str) -> int:
    """Seconds, milliseconds, microseconds or nanoseconds since 1970, as the size says; or
    `2021-12-31 23:01:00.000000`, in UTC where it names no zone."""
    if not _NUMBER.match(text):
        return rfc3339_us(text if _ZONED.match(text) else f"{text}Z")
    number = int(text.partition(".")[0])
    if number < _SECONDS_END:
        return number * 1_000_000
    if number < _MILLISECONDS_END:
        return number * 1_000
    return number if number < _MICROSECONDS_END else number // 1_000


def venue_of(name: str) -> str:
    """What stands for the venue of a file that names none: the file's own name."""
    stem, _, _ = name.lower().partition(".")
    return _UNNAMEABLE.sub("-", stem).strip("-_")[:32] or "file"


def fitting(between_us: int) -> str | None:
    """The name of the longest interval that so much time is whole ones of."""
    names = [each.name for each in INTERVALS if between_us and between_us % each.length_us == 0]
    return names[-1] if names else None


def length_us(name: str) -> int:
    """How long an interval is."""
    (found,) = (each.length_us for each in INTERVALS if each.name == name)
    return found


def candle(
    start_us: int,
    prices: list[str],
    volume: str,
    *,
    quote_volume: str | None = None,
    trades: int | None = None,
    buy_volume: str | None = None,
) -> Candle:
    """A final one, of open, high, low and close.

    What a file doesn't say is said as if nothing were known: half of the volume bought, one trade,
    and each of the four prices as much traded as the others.
    """
    open_, high, low, close = (positive(text) for text in prices)
    exact = [Decimal(text) for text in (open_, high, low, close)]
    if exact[1] < max(exact) or exact[2] > min(exact):
        raise ValueError(f"a high of {high} and a low of {low} around {open_} and {close}")
    size = Decimal(digits(volume))
    average = sum(exact, Decimal()) / 4
    turnover = average * size
    if quote_volume is not None:
        turnover = Decimal(digits(quote_volume))
        average = _average(turnover, size, (open_, high, low, close))
    bought = size / 2 if buy_volume is None else Decimal(digits(buy_volume))
    count = trades if trades is not None else 1 if size else 0
    return Candle(
        start_us, open_, high, low, close, written(size), written(turnover), written(average),
        written(bought), count, final=True, venue_us=start_us if count else None,
    )  # fmt: skip


def _average(turnover: Decimal, size: Decimal, prices: tuple[str, str, str, str]) -> Decimal:
    """As our own candles' are rounded."""
    bar = Bar(0, prices[3])
    bar.high, bar.low = prices[1], prices[2]
    bar.quote_volume, bar.volume = turnover, size
    return Decimal(bar.average())
