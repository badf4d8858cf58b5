"""Candles out of a channel's messages: each interval once, as its newest message tells it. Pure.

Of an interval there are many messages (running, final, corrections); a page is of intervals. Which
ones there are is known by arithmetic: once messages were trimmed, only neighbours may follow.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from feeds.market import Publication

INTERVALS_US: Final[Mapping[str, int]] = {
    name: seconds * 1_000_000
    for name, seconds in (
        ("1s", 1),
        ("1m", 60),
        ("5m", 300),
        ("15m", 900),
        ("1h", 3_600),
        ("4h", 14_400),
        ("1d", 86_400),
    )
}


class CandlePlace(msgspec.Struct, frozen=True, array_like=True):
    """Where a listing of candles goes on."""

    epoch: str
    start_us: int
    """With the interval that begins there."""
    first: int
    """The oldest seq that was kept when the listing began."""


class _Started(msgspec.Struct, frozen=True, gc=False):
    start: int


_decode = msgspec.json.Decoder(_Started).decode


Newest = Mapping[int, Publication]
"""The newest message of each interval, by where it begins."""


def started_us(publication: Publication) -> int | None:
    """Where its interval begins; None where it is no candle."""
    try:
        return _decode(publication.payload).start
    except msgspec.DecodeError:
        return None


class Candles:
    """One page of a listing."""

    def __init__(
        self, interval_us: int, start_us: int, end_us: int, limit: int, place: CandlePlace | None
    ) -> None:
        """Of intervals that begin at `start_us` or later, and before `end_us`."""
        self._interval_us = interval_us
        self._start_us = start_us
        self._end_us = end_us if place is None else min(end_us, place.start_us + 1)
        self._limit = limit
        self._due_us = None if place is None else place.start_us

    def whole(self, newest: Newest) -> tuple[list[Publication], int | None]:
        """The page, and where the next one begins, where all is there that there ever was."""
        starts_us = self._chosen(newest)
        next_us = next(iter(starts_us[self._limit :]), None)
        return [newest[start_us] for start_us in starts_us[: self._limit]], next_us

    def trimmed(self, newest: Newest) -> tuple[list[Publication], int | None]:
        """The same where some messages are not kept any more: up to the first that may miss.

        Nothing, where that is the first one.
        """
        starts_us = self._chosen(newest)
        count = self._unbroken(starts_us)
        if count > self._limit:
            return self.whole(newest)
        next_us = starts_us[count - 1] - self._interval_us if count else self._start_us - 1
        page = [newest[start_us] for start_us in starts_us[:count]]
        return page, next_us if next_us >= self._start_us else None

    def _chosen(self, newest: Newest) -> list[int]:
        """Newest first; one more than asked for is where the next page begins."""
        within = [one for one in newest if self._start_us <= one < self._end_us]
        return sorted(within, reverse=True)[: self._limit + 1]

    def _unbroken(self, starts_us: Sequence[int]) -> int:
        """How many follow each other without an interval between them that is not there."""
        due_us = self._due_us
        for count, start_us in enumerate(starts_us):
            if due_us is not None and start_us != due_us:
                return count
            due_us = start_us - self._interval_us
        return len(starts_us)
