"""Kraken's order book as its channel `book` tells it: the best levels a side, and their checksum.

https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2 (read 2026-11). Pure. What does
not fit is never taken: a torn book knows nothing until its next snapshot.
"""

from bisect import bisect_left
from collections.abc import Iterable
from decimal import Decimal
from typing import Final, NamedTuple
from zlib import crc32

from feeds.market.digits import is_zero

DEPTH: Final = 10
"""Levels a side to ask for: the fewest that Kraken gives, and all that its checksum is of."""
_SUMMED: Final = 10


class Level(NamedTuple):
    """Validated digits, as the venue wrote them; a size of zero takes the level away."""

    price: str
    size: str


class BookSide:
    """The levels of one side, best first."""

    __slots__ = ("_is_bids", "_keys", "_summands", "levels")

    def __init__(self, *, is_bids: bool) -> None:
        self.levels: list[Level] = []
        self._is_bids = is_bids
        self._keys: list[Decimal] = []
        """Their prices, exact; those of bids negated, so that the best is the least."""
        self._summands: list[str] = []
        """What each of them is in the checksum."""

    @property
    def best_price(self) -> Decimal | None:
        """None where nobody stands there."""
        if not self._keys:
            return None
        return self._keys[0].copy_negate() if self._is_bids else self._keys[0]

    @property
    def summand(self) -> str:
        return "".join(self._summands[:_SUMMED])

    def set(self, level: Level) -> None:
        """One level; of two with the same price the later one counts."""
        key = Decimal(level.price)
        if self._is_bids:
            key = key.copy_negate()
        place = bisect_left(self._keys, key)
        is_known = place < len(self._keys) and self._keys[place] == key
        if is_zero(level.size):
            if is_known:
                del self._keys[place], self.levels[place], self._summands[place]
            return
        summand = _summand(level.price) + _summand(level.size)
        if is_known:
            self.levels[place], self._summands[place] = level, summand
        else:
            self._keys.insert(place, key)
            self.levels.insert(place, level)
            self._summands.insert(place, summand)

    def cut(self, depth: int) -> None:
        """Kraken does not say that a level has fallen out of what was asked for."""
        if len(self._keys) > depth:
            del self._keys[depth:], self.levels[depth:], self._summands[depth:]

    def clear(self) -> None:
        self.cut(0)


class KrakenBook:
    """Of one pair on one connection.

    `begin` and `change` say what is wrong, once: then everything is ignored until the next
    snapshot, and there is no best quote.
    """

    __slots__ = ("_complained", "_depth", "asks", "bids", "is_whole", "told")

    def __init__(self, depth: int = DEPTH) -> None:
        self.bids, self.asks = BookSide(is_bids=True), BookSide(is_bids=False)
        self.is_whole = False
        self.told: tuple[Level, Level] | None = None
        """The best that was passed on last, noted by whoever does; None after a snapshot."""
        self._depth = depth
        self._complained = False

    @property
    def checksum(self) -> int:
        """Of the best ten levels a side, asks first."""
        return crc32((self.asks.summand + self.bids.summand).encode())

    @property
    def best(self) -> tuple[Level, Level] | None:
        """The best bid and ask; None while a side is empty or the book is torn."""
        if not (self.is_whole and self.bids.levels and self.asks.levels):
            return None
        return self.bids.levels[0], self.asks.levels[0]

    def begin(self, bids: Iterable[Level], asks: Iterable[Level], checksum: int) -> str | None:
        """A snapshot: whatever was before is forgotten."""
        self.bids.clear()
        self.asks.clear()
        self.told = None
        self.is_whole, self._complained = True, False
        return self._take(bids, asks, checksum)

    def change(self, bids: Iterable[Level], asks: Iterable[Level], checksum: int) -> str | None:
        """An update of a book that is whole."""
        if not self.is_whole:
            return self._tear("was changed before its snapshot")
        return self._take(bids, asks, checksum)

    def _take(self, bids: Iterable[Level], asks: Iterable[Level], checksum: int) -> str | None:
        # All of a message first, then the cut: a level may come before the one that makes room.
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for level in levels:
                side.set(level)
            side.cut(self._depth)
        if self.checksum != checksum:
            return self._tear("fails its checksum")
        bid, ask = self.bids.best_price, self.asks.best_price
        if bid is not None and ask is not None and bid > ask:
            return self._tear("has bids above its asks")
        return None

    def _tear(self, fault: str) -> str | None:
        self.is_whole = False
        self.bids.clear()
        self.asks.clear()
        is_new, self._complained = not self._complained, True
        return fault if is_new else None


def _summand(digits: str) -> str:
    # Zeros at the end count: Kraken writes all of a pair's precision (`0.9990`, `382506.65000`), so
    # the wire's digits are the checksum's, and nobody has to know that precision.
    return digits.replace(".", "").lstrip("0")
