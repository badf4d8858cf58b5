"""Trades of before a restart: what they say of final candles, and what goes on from them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from feeds.derived.bar import Deal, deal_of
from feeds.derived.candle_market import Route
from feeds.derived.intervals import SECOND_US
from feeds.derived.second_look import Known
from feeds.derived.series import Series
from feeds.market import Trade

NOTHING_KNOWN: Final = Known({}, 2**62)


class PastTrades:
    """Of one channel, as they were published."""

    def __init__(self, route: Route, trades: Sequence[Trade], ahead_max_us: int) -> None:
        self.route = route
        self.deals: list[tuple[Deal, bool]] = []
        """Each with whether it is doubtful."""
        self.newest_id = trades[-1].id if trades else None
        for trade in trades:
            heard_us = trade.received_us or trade.venue_us
            if heard_us is not None:
                deal = deal_of(trade, heard_us, heard_us + ahead_max_us)
                self.deals.append((deal, trade.suspect and not trade.late))

    @property
    def oldest_us(self) -> int | None:
        return self.deals[0][0].at_us if self.deals else None

    def of(self, series: Series) -> Iterable[Deal]:
        """Those that the series takes: a doubtful one is in its own venue's candles only."""
        takes_doubtful = series is self.route.series[0]
        return (deal for deal, is_doubtful in self.deals if takes_doubtful or not is_doubtful)

    def play(self) -> None:
        """Those of seconds that are not final yet; the others are in the candles already.

        Where nothing was final, nobody knows what was before the first of them; nor is it known
        what was between the last final one and them, where older ones had to make room.
        """
        route, oldest_us = self.route, self.oldest_us
        is_anew = any(series.next_us is None for series in route.series)
        # Who does not know where to begin can't be told that nothing was missed.
        route.last_id = None if is_anew else self.newest_id
        if oldest_us is None:
            return
        if is_anew:
            route.outages.add(0, oldest_us)
        elif (next_us := min(series.next_us or 0 for series in route.series)) < oldest_us:
            route.outages.add(next_us, oldest_us)
            route.last_id = None
        for series in route.series:
            for deal in self.of(series):
                if series.next_us is None or deal.at_us >= series.next_us:
                    series.add(deal, [])
        for series in route.series[1:]:
            for deal, is_doubtful in self.deals:
                if is_doubtful and deal.at_us >= (series.next_us or 0):
                    series.leave_out(deal.at_us, [])


def known_of(past: Iterable[PastTrades], lateness_us: int) -> Mapping[Series, Known]:
    """What is known of each series: whole from where the trades of all its channels are."""
    deals: dict[Series, dict[int, list[Deal]]] = {}
    whole_from_us: dict[Series, int] = {}
    for one in past:
        if one.oldest_us is None:
            continue
        for series in one.route.series:
            # What came before the oldest that is kept may have been late by so much.
            from_us = max(whole_from_us.get(series, 0), one.oldest_us + lateness_us)
            whole_from_us[series] = from_us
            seconds = deals.setdefault(series, {})
            for deal in one.of(series):
                seconds.setdefault(deal.at_us - deal.at_us % SECOND_US, []).append(deal)
    return {series: Known(seconds, whole_from_us[series]) for series, seconds in deals.items()}
