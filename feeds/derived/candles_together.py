"""Which candles of all venues are final together: those of pairs that the same venues trade. Pure.

They wait until those of these venues are final, but for none that is far behind another.
"""

from collections.abc import Mapping

from feeds.derived.candle_market import CandleMarket
from feeds.derived.intervals import SECOND_US
from feeds.derived.series import Series
from feeds.market import Tick


class SharedMarket:
    """The series of pairs that the same venues trade."""

    __slots__ = ("_until_us", "series", "venues")

    def __init__(self, venues: Mapping[str, CandleMarket]) -> None:
        self.venues = venues
        """By name."""
        self.series: dict[str, Series] = {}
        self._until_us = min(one.until_us for one in venues.values())
        """All seconds that end by then are final."""

    def close(self, behind_max_us: int, correctable_us: int, told: list[Tick]) -> None:
        """What is final by now, after the venues' own."""
        venues = self.venues.values()
        # Where all are away, our clock is theirs.
        untils_us = [one.until_us for one in venues if not one.clock.is_away] or [
            one.until_us for one in venues
        ]
        slowest_us, fastest_us = min(untils_us), max(untils_us)
        until_us = max(slowest_us, fastest_us - behind_max_us)
        until_us -= until_us % SECOND_US
        if until_us > self._until_us:
            self._until_us = until_us
            # Who is farther behind corrects nothing of it any more.
            is_left = slowest_us + correctable_us < until_us
            for series in self.series.values():
                series.close_until(until_us, told, is_partial=is_left)


class Together:
    """All of them."""

    def __init__(self, behind_max_us: int, correctable_us: int) -> None:
        """`correctable_us`: how long what is final is kept to be corrected."""
        self._behind_max_us = behind_max_us
        self._correctable_us = correctable_us
        self._markets: dict[frozenset[str], SharedMarket] = {}
        self._by_symbol: dict[str, SharedMarket] = {}

    def series(self, symbol: str) -> Series | None:
        """A pair's; None: nobody trades it."""
        market = self._by_symbol.get(symbol)
        return None if market is None else market.series[symbol]

    def join(self, symbol: str, series: Series, venue: str, market: CandleMarket) -> None:
        """One more venue trades a pair; `series`: the pair's, of all venues."""
        before = self._by_symbol.get(symbol)
        venues = {venue: market} if before is None else {**before.venues, venue: market}
        names = frozenset(venues)
        shared = self._markets.get(names)
        if shared is None:
            shared = self._markets[names] = SharedMarket(venues)
        if before is not None and before is not shared:
            del before.series[symbol]
            if not before.series:
                del self._markets[frozenset(before.venues)]
        shared.series[symbol] = series
        self._by_symbol[symbol] = shared

    def close(self, told: list[Tick]) -> None:
        """What is final by now, after the venues' own."""
        for market in self._markets.values():
            market.close(self._behind_max_us, self._correctable_us, told)
