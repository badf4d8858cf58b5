"""The lengths of candles. Pure."""

from typing import Final, NamedTuple

SECOND_US: Final = 1_000_000


class Interval(NamedTuple):
    """A length of candles."""

    name: str
    length_us: int

    def start_us(self, at_us: int) -> int:
        return at_us - at_us % self.length_us


INTERVALS: Final = (
    Interval("1s", SECOND_US),
    Interval("1m", 60 * SECOND_US),
    Interval("5m", 300 * SECOND_US),
    Interval("15m", 900 * SECOND_US),
    Interval("1h", 3_600 * SECOND_US),
    Interval("4h", 14_400 * SECOND_US),
    Interval("1d", 86_400 * SECOND_US),
)
"""From the shortest; each is made of whole ones of the one before."""
