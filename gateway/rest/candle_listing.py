"""Candles out of a channel's messages: each interval once, as its newest message tells it. Pure.

Of an interval there are many messages (running, final, corrections); a page is of intervals. They
follow each other in time, but for corrections: down to where one that is none was seen, all are.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from feeds.market import Publication

_FOREVER_US: Final = 2**63


class CandlePlace(msgspec.Struct, frozen=True, array_like=True):
    """Where a listing of candles goes on."""

    epoch: str | None
    """Of the first page's position; None: it had none."""
    start_us: int
    """With the interval that begins there, which was kept when the page before was made."""


class _Told(msgspec.Struct, frozen=True, gc=False):
    """The little of a candle that is needed."""

    start: int
    correction: bool = False


_decode = msgspec.json.Decoder(_Told).decode


class CandleListing:
    """One page of it, as it is being read: messages are taken newest first."""

    def __init__(self, start_us: int | None, end_us: int | None, limit: int) -> None:
        """Of intervals that begin at `start_us` or later, and before `end_us`."""
        self._start_us = start_us or 0
        self._end_us = _FOREVER_US if end_us is None else end_us
        self._limit = limit
        self._newest: dict[int, Publication] = {}
        """By where the interval begins."""
        self.kept_from_us: int | None = None
        """From there on no interval is unknown. What begins before is a correction, whose candle
        may be kept no more, or still to be read."""

    def take(self, publications: Iterable[Publication]) -> bool:
        """Whether one of them is a candle, and no correction. What is neither is left out: any
        program may publish."""
        has_one = False
        for publication in publications:
            try:
                told = _decode(publication.payload)
            except msgspec.DecodeError:
                continue
            self._newest.setdefault(told.start, publication)
            if not told.correction:
                has_one = True
                if self.kept_from_us is None or told.start < self.kept_from_us:
                    self.kept_from_us = told.start
        return has_one

    def starts_us(self) -> list[int]:
        """Where the page's intervals begin, newest first, and one more where there is one: where
        the next page begins."""
        if self.kept_from_us is None:
            return []
        first_us = max(self._start_us, self.kept_from_us)
        within = [one for one in self._newest if first_us <= one < self._end_us]
        return sorted(within, reverse=True)[: self._limit + 1]

    @property
    def is_full(self) -> bool:
        """Whether nothing is to be read any more."""
        return len(self.starts_us()) > self._limit

    def page(self) -> tuple[list[Publication], int | None]:
        """And where the next one begins; None: this is the last one."""
        starts_us = self.starts_us()
        next_us = next(iter(starts_us[self._limit :]), None)
        return [self._newest[start_us] for start_us in starts_us[: self._limit]], next_us
