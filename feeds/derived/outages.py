"""When the trades of one channel were not heard: what they were part of is partial. Pure.

Bounded: outages of long ago are forgotten, as what they spoilt is final by then.
"""

from collections import deque
from typing import Final

_OUTAGES_MAX: Final = 16
_FOR_EVER_US: Final = 2**62


class Outages:
    """Times: microseconds UTC by the venue's clock, as far as that is known."""

    __slots__ = ("_spans", "_unheard", "is_away")

    def __init__(self, since_us: int) -> None:
        """Before `since_us` nothing was heard."""
        self._spans: deque[tuple[int, int]] = deque([(0, since_us)], _OUTAGES_MAX)
        self.is_away = False
        self._unheard: tuple[int, int] | None = None
        """While nobody listened, before a restart."""

    def begin(self, at_us: int) -> None:
        """From now on trades may be missed."""
        if not self.is_away:
            self.is_away = True
            self._spans.append((at_us, _FOR_EVER_US))

    def end(self, at_us: int) -> None:
        """They are heard again."""
        if self.is_away:
            self.is_away = False
            began_us, _ = self._spans.pop()
            self._spans.append((began_us, max(began_us, at_us) + 1))

    def add(self, from_us: int, to_us: int) -> None:
        """Some are missing between two others."""
        open_span = self._spans.pop() if self.is_away else None
        if self._spans and self._spans[-1][0] <= from_us <= self._spans[-1][1]:
            from_us, ended_us = self._spans.pop()
            to_us = max(to_us, ended_us - 1)
        self._spans.append((from_us, to_us + 1))
        if open_span is not None:
            self._spans.append(open_span)

    def heard_before(self, until_us: int, from_us: int) -> None:
        """An earlier process heard them, but nobody between these two."""
        self._unheard = (until_us, from_us) if until_us < from_us else None

    def resume(self) -> None:
        """It has turned out that nothing was missed since that earlier process heard them."""
        self._unheard = None
        if self.is_away:
            self.is_away = False
            self._spans.pop()

    def forget(self) -> None:
        """All of them."""
        self._spans.clear()
        self._unheard = None
        self.is_away = False

    def touch(self, start_us: int, end_us: int) -> bool:
        """Whether trades of an interval may have been missed."""
        if self._unheard is not None and self._unheard[0] < end_us and start_us < self._unheard[1]:
            return True
        # Asked for each candle; mostly all is over for long.
        for began_us, ended_us in reversed(self._spans):
            if start_us < ended_us and began_us < end_us:
                return True
        return False
