"""What was read of channels of candles: the newest message of each interval, for who asks again.

Of a thousand messages some fifty remain, and the next request reads what has come since only. What
the stream keeps no more is forgotten here too, so that all workers answer the same.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from feeds.market import Publication
from gateway.problems import Refusal
from gateway.rest.candle_listing import Newest, started_us
from gateway.rest.readings import SLICE, Ask, Found, Readings

_CANDLES_MAX: Final = 20_000
"""Of all channels together: 8 MB."""


class Known(NamedTuple):
    """All that is kept of a channel, up to `seq`."""

    epoch: str
    seq: int
    oldest: int
    """The first seq that is kept."""
    newest: Newest


class CandleMemory:
    """One worker's."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._candles = 0

    async def caught_up(self, readings: Readings, name: str) -> Known | None:
        """What is kept of it now; None: nothing yet. In one's turn. Raises Refusal."""
        before = self._known.get(name)
        known = await _read(readings, name, before)
        self._forget(name)
        if known is None:
            return None
        self._known[name] = known
        self._candles += len(known.newest)
        while self._candles > _CANDLES_MAX and len(self._known) > 1:
            self._forget(next(iter(self._known)))
        return known

    def _forget(self, name: str) -> None:
        known = self._known.pop(name, None)
        if known is not None:
            self._candles -= len(known.newest)


async def _read(readings: Readings, name: str, before: Known | None) -> Known | None:
    """Back from the newest, to what was known before."""
    reached = 0 if before is None else before.seq
    # The first reading tells whether that is of any use.
    first = await _slice(readings, name, None, reached)
    if before is not None and not _goes_on(before, first):
        before, reached = None, 0
        first = await _slice(readings, name, None, 0)
    if first.epoch is None:
        return None
    found: dict[int, Publication] = {}
    last = first
    while True:
        for publication in last.publications:
            start_us = started_us(publication)
            if start_us is not None:
                found.setdefault(start_us, publication)
        if last.is_end or not last.publications:
            break
        last = await _slice(readings, name, last.publications[-1].seq, reached)
        if last.epoch != first.epoch:
            raise Refusal("epoch_ended", f"begin the listing of {name} again")
    older = {} if before is None else before.newest
    newest = {
        start_us: publication
        for start_us, publication in (dict(older) | found).items()
        if publication.seq >= last.oldest
    }
    return Known(first.epoch, first.seq, last.oldest, newest)


def _goes_on(before: Known, now: Found) -> bool:
    """Whether nothing was lost between the two."""
    is_same = now.epoch == before.epoch and now.seq >= before.seq
    return is_same and 0 < now.oldest <= before.seq + 1


async def _slice(readings: Readings, name: str, below: int | None, after: int) -> Found:
    return (await readings.read([Ask(name, below, SLICE, after)]))[name]
