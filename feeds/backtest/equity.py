"""What following a model's signals would have made of 1, beside holding. Costs included. Pure.

The newest signal that has not run out is followed with all there is: long on bull, short on bear,
out on neutral; one that goes on in the same direction costs nothing. Each way in and each way out
pays half of the cost. Holding pays to get in.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

import msgspec

from feeds.backtest.drive import Mark
from feeds.market import Direction, Signal

_SIGNS: Final[dict[Direction, int]] = {"bull": 1, "neutral": 0, "bear": -1}
_BP: Final = 1e-4


class Equity(msgspec.Struct, frozen=True):
    """One model's, at the marks of a pair. Both begin at 1."""

    model: str
    at_us: list[int]
    followed: list[float]
    held: list[float]

    @property
    def drawdowns(self) -> list[float]:
        """How far it was below its highest so far: 0 or less, a fraction."""
        tops = accumulate(self.followed, max)
        return [value / top - 1 for value, top in zip(self.followed, tops, strict=True)]


class _Account:
    """What there is, and how it is invested."""

    def __init__(self, side_cost: float) -> None:
        self.sign = 0
        self.until_us = 0
        self._side_cost = side_cost
        self._invested = 1.0
        """What there was when it was invested, and at which price."""
        self._entry = 1.0

    def worth(self, price: float) -> float:
        """Never less than nothing: who has lost all is out, for good."""
        worth = self._invested * (1 + self.sign * (price / self._entry - 1))
        if worth <= 0:
            self._invested = worth = 0.0
        return worth

    def turn(self, sign: int, price: float) -> None:
        """Long (1), short (-1) or out (0) from here on."""
        if sign == self.sign:
            return
        sides = abs(sign) + abs(self.sign)
        self._invested = self.worth(price) * (1 - self._side_cost) ** sides
        self.sign, self._entry = sign, price


def equity(model: str, marks: Sequence[Mark], signals: Iterable[Signal], cost_bps: float) -> Equity:
    """Of one model and pair. Signals are in the order of time."""
    side_cost = cost_bps * _BP / 2
    account = _Account(side_cost)
    waiting = deque(signals)
    followed: list[float] = []
    for at_us, price in marks:
        while waiting and waiting[0].computed_us <= at_us:
            signal = waiting.popleft()
            account.turn(_SIGNS[signal.direction], float(signal.reference.price))
            account.until_us = signal.expires_us
        if at_us >= account.until_us:
            account.turn(0, price)
        followed.append(account.worth(price))
    first = marks[0].price if marks else 1.0
    held = [(1 - side_cost) * mark.price / first for mark in marks]
    return Equity(model, [mark.at_us for mark in marks], followed, held)
