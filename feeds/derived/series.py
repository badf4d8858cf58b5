"""The candles of one market, in all intervals: seconds from trades, each longer one from shorter.

Pure. A second is final when it is told to be; then what it is part of grows. A trade of a second
that is final corrects it and all it is part of.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from feeds.derived.bar import Bar, Deal
from feeds.derived.intervals import INTERVALS, SECOND_US
from feeds.derived.outages import Outages
from feeds.derived.past_candles import past_candles
from feeds.derived.pause import level_of, told_from_us
from feeds.derived.running_candle import whole_of
from feeds.derived.second_look import Known
from feeds.market import Candle, Channel, Tick


class Limits(NamedTuple):
    """What a series may keep and tell."""

    correctable: int
    """Final seconds that can be corrected."""
    flat_max: int
    """Flat seconds told at once; those before them are left out, and none of longer intervals."""


class TooLate:
    """Trades that could not even be a correction, of all series that share it."""

    __slots__ = ("trades",)

    def __init__(self) -> None:
        self.trades = 0


class Series:
    """One market's. What is new goes to `told`, in order."""

    __slots__ = (
        "_channels", "_close", "_finals", "_kept", "_left_out", "_limits", "_owed", "_running",
        "_seconds", "_told", "_too_late", "next_us", "outages",
    )  # fmt: skip

    def __init__(
        self, venue: str, symbol: str, limits: Limits, too_late: TooLate | None = None
    ) -> None:
        self._channels = [Channel(f"candle.{each.name}", venue, symbol) for each in INTERVALS]
        self._limits = limits
        self._seconds: dict[int, Bar] = {}
        """With trades, and not final, by their start."""
        self._left_out: set[int] = set()
        """The starts of seconds, not final, of which a trade was not taken."""
        self._kept: dict[int, Bar] = {}
        """Final seconds, oldest first."""
        self._running: list[Bar | None] = [None] * len(INTERVALS)
        """Of each interval but the first: what its final parts come to."""
        self._finals: list[Bar | None] = [None] * len(INTERVALS)
        """The newest final one of each interval but the first."""
        self._told: list[tuple[int, int]] = [(0, 0)] * len(INTERVALS)
        """Of the newest running candle that was told: its start, and its trades."""
        self._owed: list[Tick] = []
        """Final candles that an earlier process came to and did not tell any more."""
        self._close = ""
        self.next_us: int | None = None
        """The first second that is not final; None: there was no trade yet."""
        self.outages: list[Outages] = []
        """Of the channels whose trades it takes."""
        self._too_late = too_late or TooLate()

    def add(self, deal: Deal, told: list[Tick]) -> None:
        """A trade, whenever it happened."""
        start_us = deal.at_us - deal.at_us % SECOND_US
        if self.next_us is None:
            self.next_us = start_us
        if start_us < self.next_us:
            self._correct(start_us, deal, told)
            return
        bar = self._seconds.get(start_us)
        if bar is None:
            bar = self._seconds[start_us] = Bar(start_us, deal.digits)
        bar.add(deal)

    def leave_out(self, at_us: int, told: list[Tick]) -> None:
        """A trade that is not taken: what it would be part of lacks it."""
        start_us = at_us - at_us % SECOND_US
        if self.next_us is None:
            # Where nothing else is ever taken, no more than the newest is remembered.
            self._left_out = {start_us}
        elif start_us < self.next_us:
            self.doubt(at_us, at_us, told)
        else:
            self._left_out.add(start_us)

    def close_until(self, until_us: int, told: list[Tick], *, is_partial: bool = False) -> None:
        """All seconds that end by then are final; `is_partial`: however they look."""
        next_us = self.next_us
        if next_us is None or until_us < next_us + SECOND_US:
            return
        self._pay(told)
        is_flat = False
        while next_us + SECOND_US <= until_us:
            bar = self._seconds.pop(next_us, None)
            if bar is None and not is_flat:
                next_us = self._pass_over(next_us, until_us, told)
            is_flat = bar is None
            if bar is None:
                bar = Bar(next_us, self._close)
            next_us += SECOND_US
            bar.is_partial = is_partial or self._missed(bar.start_us, next_us)
            self._close = bar.close
            self._tell(0, bar, told)
            self._keep(bar)
            self._grow(1, bar, told)
        self.next_us = next_us
        if self._left_out:
            self._left_out = {start_us for start_us in self._left_out if start_us >= next_us}

    def add_final(self, level: int, bar: Bar, candle: Candle | None, told: list[Tick]) -> None:
        """A whole interval that somebody else added up, after those before it: a recorded one.

        `candle`: the same as it is to be told, where that is known.
        """
        if candle is None:
            self._tell(level, bar, told)
        else:
            told.append(Tick(self._channels[level], candle))
        self._grow(level + 1, bar, told)

    def doubt(self, from_us: int, to_us: int, told: list[Tick]) -> None:
        """Trades between two moments may be missing, as is known only now: what is final and was
        told whole is told again, as partial."""
        self._pay(told)
        for start_us, bar in self._kept.items():
            if start_us <= to_us and from_us < start_us + SECOND_US:
                self._doubt(0, bar, told)
        for level in range(1, len(INTERVALS)):
            for is_final, bar_ in ((True, self._finals[level]), (False, self._running[level])):
                if bar_ is None or bar_.start_us > to_us:
                    continue
                end_us = min(bar_.start_us + INTERVALS[level].length_us, self.next_us or to_us)
                if from_us < end_us:
                    if is_final:
                        self._doubt(level, bar_, told)
                    else:
                        bar_.is_partial = True

    def _doubt(self, level: int, bar: Bar, told: list[Tick]) -> None:
        if not bar.is_partial:
            bar.is_partial = True
            bar.version += 1
            self._tell(level, bar, told)

    def _pass_over(self, next_us: int, until_us: int, told: list[Tick]) -> int:
        """Where a pause that begins there is told from second by second: a long one not from its
        beginning. Of that the longer intervals are told, each that has its turn; of a pause of
        days minutes are left out too, and so on."""
        first_us = min(self._seconds, default=until_us)
        end_us = min(until_us, first_us)
        if (end_us - next_us) // SECOND_US <= self._limits.flat_max:
            return next_us
        from_us = told_from_us(end_us, self._limits.flat_max)
        at_us = next_us
        while at_us < from_us[0]:
            self._kept.clear()
            level = level_of(at_us, from_us)
            bar = Bar(at_us, self._close)
            at_us += INTERVALS[level].length_us
            # However it came, nobody has looked at this market for so long.
            bar.is_partial = True
            if level == 0:
                self._grow(1, bar, told)
            else:
                self._finish(level, bar, told)
        return at_us

    def running(self, level: int) -> Tick | None:
        """An interval's candle as it is now; None where nothing is new of it."""
        if level == 0:
            # The newest second: those before it wait for late trades only, and will be final.
            whole = self._seconds[max(self._seconds)] if self._seconds else None
            last_us = 0 if whole is None else whole.start_us
        else:
            whole, last_us = whole_of(level, self._running, self._seconds)
        if whole is None or (whole.start_us, whole.trades) == self._told[level]:
            return None
        self._told[level] = whole.start_us, whole.trades
        is_partial = whole.is_partial or self._missed(whole.start_us, last_us + 1)
        return Tick(self._channels[level], whole.candle(final=False, is_partial=is_partial))

    def restore(self, told: Mapping[str, Sequence[Candle]], known: Known) -> None:
        """Goes on from what was told: by the interval's name, oldest first.

        Where no second is known any more, the first trade says where seconds begin. What trades
        are `known` may have come too late for what was told: then a correction is owed.
        """
        past = past_candles(told, known, self._limits.correctable)
        if past is None:
            return
        self.next_us, self._close = past.next_us, past.close
        self._kept, self._running, self._finals = past.seconds, past.running, past.finals
        for level, bar in past.owed:
            self._tell(level, bar, self._owed)

    def _missed(self, start_us: int, end_us: int) -> bool:
        """Whether trades between two moments may have been missed."""
        # No generator: it is asked of each candle that is told.
        for outages in self.outages:
            if outages.touch(start_us, end_us):
                return True
        left_out = self._left_out
        return bool(left_out) and any(start_us <= one < end_us for one in left_out)

    def _grow(self, level: int, part: Bar, told: list[Tick]) -> None:
        """A final part becomes a part of the next longer interval."""
        if level == len(INTERVALS):
            return
        interval = INTERVALS[level]
        start_us = interval.start_us(part.start_us)
        bar = self._running[level]
        if bar is not None and bar.start_us != start_us:
            # Parts were left out, and with them its end.
            bar.is_partial |= self._missed(bar.start_us, bar.start_us + interval.length_us)
            self._finish(level, bar, told)
            bar = None
        if bar is None:
            bar = self._running[level] = part.part_of(start_us)
            bar.is_partial = bar.is_partial or self._missed(start_us, part.start_us + 1)
        else:
            bar.merge(part)
        if part.start_us + INTERVALS[level - 1].length_us == start_us + interval.length_us:
            self._finish(level, bar, told)

    def _finish(self, level: int, bar: Bar, told: list[Tick]) -> None:
        self._running[level] = None
        self._finals[level] = bar
        self._tell(level, bar, told)
        self._grow(level + 1, bar, told)

    def _keep(self, bar: Bar) -> None:
        self._kept[bar.start_us] = bar
        if len(self._kept) > self._limits.correctable:
            del self._kept[next(iter(self._kept))]

    def _tell(self, level: int, bar: Bar, told: list[Tick]) -> None:
        candle = bar.candle(final=True, correction=bar.version > 1)
        told.append(Tick(self._channels[level], candle))

    def _pay(self, told: list[Tick]) -> None:
        """What is owed comes before whatever is told of the same candles from now on."""
        if self._owed:
            told += self._owed
            self._owed = []

    def _correct(self, start_us: int, deal: Deal, told: list[Tick]) -> None:
        self._pay(told)
        second = self._kept.get(start_us)
        if second is None:
            self._too_late.trades += 1
            self.doubt(deal.at_us, deal.at_us, told)
            return
        self._amend(0, second, deal, told)
        self._stand_on(second, told)
        for level in range(1, len(INTERVALS)):
            bar = self._running[level]
            start_us = INTERVALS[level].start_us(deal.at_us)
            if bar is not None and bar.start_us == start_us:
                # Not final: and so it is not yet part of anything.
                bar.add(deal)
                return
            final = self._finals[level]
            if final is None or final.start_us != start_us:
                return
            self._amend(level, final, deal, told)

    def _amend(self, level: int, bar: Bar, deal: Deal, told: list[Tick]) -> None:
        bar.add(deal)
        bar.version += 1
        self._tell(level, bar, told)

    def _stand_on(self, second: Bar, told: list[Tick]) -> None:
        """Flat candles stand at the close before: where that changed, they change too."""
        close = second.close
        for start_us, bar in self._kept.items():
            if start_us <= second.start_us:
                continue
            if bar.trades:
                return
            bar.stand_at(close)
            bar.version += 1
            self._tell(0, bar, told)
        self._close = close
        for running in self._running:
            if running is not None and not running.trades and running.start_us > second.start_us:
                running.stand_at(close)
