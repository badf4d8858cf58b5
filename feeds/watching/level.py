"""Where a price has been, and whether the next one is too far from it to be believed. Pure.

A price that is far off is doubted; but when the next ones agree with it, it is where the price is.
"""

from typing import Final

FAR: Final = 0.1
"""Further than this share of the level a price is doubted."""
_NEAR: Final = 0.02
"""Within this share of the level it need not follow: so that most prices cost one comparison."""
_AGREEING: Final = 3
"""So many far prices in a row that agree with one another are the new level."""


class Level:
    """Of one side of one channel. The first price is believed."""

    __slots__ = ("_centre", "_far", "_far_count", "_high", "_low")

    def __init__(self) -> None:
        self._centre = 0.0
        """0: not known yet."""
        # Nothing is between them.
        self._low, self._high = 1.0, 0.0
        self._far = 0.0
        self._far_count = 0

    def doubts(self, price: float) -> bool:
        """Whether a price (finite, more than 0) is too far off; takes note of it."""
        if self._low < price < self._high:
            if self._far_count:
                self._far_count = 0
            return False
        return self._follows(price)

    def _follows(self, price: float) -> bool:
        if not self._centre or _is_near(price, self._centre):
            self._settle(price)
            return False
        if self._far_count and _is_near(price, self._far):
            self._far_count += 1
        else:
            self._far, self._far_count = price, 1
        if self._far_count >= _AGREEING:
            # Doubted as well, as those before it were; the next one is not.
            self._settle(price)
        return True

    def _settle(self, price: float) -> None:
        self._centre, self._far_count = price, 0
        self._low, self._high = price * (1 - _NEAR), price * (1 + _NEAR)


def _is_near(price: float, level: float) -> bool:
    return abs(price - level) <= FAR * level
