"""A channel's trade ids: what is missing before one, what came before, what can't be. Pure.

Two promises that venues make: ids count up by one for each trade of a pair, or are just never the
same. Whatever a venue does to its ids, what follows gets through. Bounded.
"""

from collections import deque
from typing import Final, Literal, Protocol

HOLE_MAX: Final = 10_000_000
"""More than that were never missed: an id so far ahead is another numbering, or a mistake."""
_HOLES_MAX: Final = 16
IDS_MAX: Final = 256
"""Ids remembered where they promise no order. Venues repeat their last 50 trades, or fewer."""

Promise = Literal["consecutive", "unique", "none"]

Oddity = Literal["duplicate", "late", "renumbered"]


class TradeIds(Protocol):
    """One channel's memory of ids."""

    def judge(self, trade_id: str, ahead_us: int | None, fills: int = 1) -> int | Oddity:
        """How many trades are missing before this one, or what is odd about it.

        `ahead_us`: how much later than all before it happened; None where a time is unknown.
        `fills`: how many trades it is; its id is the last one's.
        """


class Consecutive:
    """Ids that count up by one."""

    __slots__ = ("_holes", "_last", "_rival")

    def __init__(self) -> None:
        self._last: int | None = None
        self._holes: list[range] = []
        """Ids that were passed over, and may still come late; the oldest are forgotten."""
        self._rival: int | None = None
        """An id that is in no order with the others: the first of another numbering?"""

    def judge(self, trade_id: str, ahead_us: int | None, fills: int = 1) -> int | Oddity:
        """See `TradeIds`."""
        try:
            number = int(trade_id)
        except ValueError:
            return "renumbered"
        last = self._last
        if last is None or number == last + fills:
            self._last = number
            return 0
        if last < number <= last + HOLE_MAX:
            self._last, self._rival = number, None
            hole = range(last + 1, number - fills + 1)
            if hole:
                self._holes = [*self._holes[1 - _HOLES_MAX :], hole]
            return len(hole)
        return self._out_of_order(number, last, ahead_us, fills)

    def _out_of_order(
        self, number: int, last: int, ahead_us: int | None, fills: int
    ) -> int | Oddity:
        rival = self._rival
        if rival is not None and number == rival + fills and ahead_us is not None and ahead_us >= 0:
            # Two in a row: the venue counts anew, or the far id before was the mistake.
            self._last, self._rival, self._holes = number, None, []
            return 0
        if number > last or (ahead_us is not None and ahead_us > 0):
            # No repetition: it happened after all that we have.
            self._rival = number
            return "renumbered"
        for place, hole in enumerate(self._holes):
            if number in hole:
                before = range(hole.start, number - fills + 1)
                parts = (before, range(number + 1, hole.stop))
                self._holes[place : place + 1] = [part for part in parts if part]
                del self._holes[:-_HOLES_MAX]
                return "late"
        return "duplicate"


class Unique:
    """Ids in any order, none of them twice."""

    __slots__ = ("_in_order", "_seen")

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._in_order: deque[str] = deque()

    def judge(self, trade_id: str, ahead_us: int | None, fills: int = 1) -> int | Oddity:
        """See `TradeIds`."""
        if trade_id in self._seen:
            return "duplicate"
        if len(self._in_order) >= IDS_MAX:
            self._seen.discard(self._in_order.popleft())
        self._seen.add(trade_id)
        self._in_order.append(trade_id)
        return 0


class Unnumbered:
    """No ids at all, or none that mean anything."""

    def judge(self, trade_id: str, ahead_us: int | None, fills: int = 1) -> int | Oddity:
        """See `TradeIds`."""
        return 0


REMEMBERED: Final[dict[Promise, int]] = {"consecutive": 1, "unique": IDS_MAX, "none": 0}
"""How many of the newest trades say all that there is to remember."""

TRADE_IDS: Final[dict[Promise, type[TradeIds]]] = {
    "consecutive": Consecutive,
    "unique": Unique,
    "none": Unnumbered,
}
