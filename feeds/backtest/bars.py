"""Recorded candles of venues to those of all venues together: what CANDLES is to trades. Pure.

Of one interval, each known at its end. An interval in which no venue had one is flat; after an hour
or 60 of such nothing more is told until the next. Longer intervals are made of them, as of seconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from feeds.derived import Derivation, Derived
from feeds.derived.bar import Bar
from feeds.derived.candles import CANDLES
from feeds.derived.derivation import AGGREGATE, NO_MARKETS
from feeds.derived.intervals import INTERVALS
from feeds.derived.outages import Outages
from feeds.derived.series import Limits, Series
from feeds.market import Candle, Payload, Tick

FLAT_MAX: Final = 60
"""Flat candles in a row, before the recording counts as interrupted."""


class _Pair:
    """One pair's of all venues."""

    def __init__(self, symbol: str, start_us: int) -> None:
        self.series = Series(AGGREGATE, symbol, Limits(correctable=0, flat_max=FLAT_MAX))
        self.outages = Outages(start_us)
        self.series.outages.append(self.outages)
        self.close = ""
        self.next_us = start_us
        """Where the next candle begins."""
        self.flat = 0
        """How many in a row were."""


class Bars:
    """A Derivation: final candles of venues in, those of all of them together out."""

    def __init__(self, interval: str) -> None:
        (self._level,) = (level for level, each in enumerate(INTERVALS) if each.name == interval)
        self._kind = f"candle.{interval}"
        self._length_us = INTERVALS[self._level].length_us
        self._pairs: dict[str, _Pair] = {}

    def take(self, ticks: Iterable[Tick], now_us: int) -> list[Tick]:
        """Of what is known now: all venues' candles of an interval come together."""
        together: dict[tuple[int, str], dict[str, Candle]] = {}
        for tick in ticks:
            channel, payload = tick.channel, tick.payload
            if not isinstance(payload, Candle) or channel.kind != self._kind:
                continue
            if payload.final and channel.venue != AGGREGATE and channel.venue not in NO_MARKETS:
                its = together.setdefault((payload.start_us, channel.symbol), {})
                its.setdefault(channel.venue, payload)  # Files of one venue may overlap.
        told: list[Tick] = []
        for (start_us, symbol), candles in sorted(together.items()):
            pair = self._pairs.get(symbol)
            if pair is None:
                pair = self._pairs[symbol] = _Pair(symbol, start_us)
            if start_us >= pair.next_us:
                self._fill(pair, start_us, told)
                pair.flat = 0
                self._add_all(pair, list(candles.values()), told)
        return told

    def wake(self, now_us: int) -> list[Tick]:
        """Intervals that are over and in which no venue had a candle."""
        told: list[Tick] = []
        for pair in self._pairs.values():
            self._fill(pair, now_us - now_us % self._length_us, told)
        return told

    def next_us(self) -> int | None:
        """The end of the first interval that has none yet."""
        open_pairs = (pair for pair in self._pairs.values() if pair.flat < FLAT_MAX)
        return min((pair.next_us + self._length_us for pair in open_pairs), default=None)

    def restore(self, told: Mapping[str, Sequence[Payload]], now_us: int) -> None:
        """Nothing: a recording is read from its beginning."""

    def _fill(self, pair: _Pair, until_us: int, told: list[Tick]) -> None:
        """Flat ones from the last candle on; a longer pause is an outage."""
        while pair.next_us + self._length_us <= until_us and pair.flat < FLAT_MAX:
            pair.flat += 1
            self._add(pair, Bar(pair.next_us, pair.close), None, told)
        if pair.flat == FLAT_MAX and pair.next_us < until_us:
            pair.outages.add(pair.next_us, until_us)
            pair.next_us = until_us

    def _add_all(self, pair: _Pair, candles: list[Candle], told: list[Tick]) -> None:
        """Of one interval, each of another venue; that of the only one is told as it is."""
        only = candles[0] if len(candles) == 1 else None
        self._add(pair, _whole(candles) if only is None else Bar.of(only), only, told)

    def _add(self, pair: _Pair, bar: Bar, candle: Candle | None, told: list[Tick]) -> None:
        pair.close = bar.close
        pair.next_us = bar.start_us + self._length_us
        pair.series.add_final(self._level, bar, candle, told)


def _whole(candles: list[Candle]) -> Bar:
    """Volumes add up. The open and the close are of the venue that traded most: whose trade came
    first and whose last is not known."""
    first, *others = (Bar.of(each) for each in candles)
    whole = first
    busiest = max(candles, key=lambda each: Decimal(each.volume))
    for other in others:
        whole.merge(other)
    whole.open, whole.close = busiest.open, busiest.close
    return whole


def bars_row(interval: str) -> Derived:
    """The row that stands for that of CANDLES where candles were recorded."""

    def made(_: object) -> Derivation:
        return Bars(interval)

    return Derived(
        name=CANDLES.name,
        title="Candles, recorded",
        reads=frozenset(("candle",)),
        make=made,
        history=frozenset(),
    )
