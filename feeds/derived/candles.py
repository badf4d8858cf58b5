"""Candles of every market and of all live ones together: `candle.<interval>:<venue|agg>:<SYMBOL>`.

Pure. A second is final when the venue's own clock has passed its end by the allowed lateness.
Those of all venues together wait for the slowest of those that trade the pair, within bounds. What
they leave out, or know to be missing, makes them partial; no quote asset is mixed with another.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from feeds.derived.bar import deal_of
from feeds.derived.candle_market import AWAY, CandleMarket, Route
from feeds.derived.candles_together import Together
from feeds.derived.derivation import AGGREGATE, NO_MARKETS, Derived
from feeds.derived.intervals import INTERVALS, SECOND_US, Interval
from feeds.derived.past_trades import NOTHING_KNOWN, PastTrades, known_of
from feeds.derived.series import Limits, Series, TooLate
from feeds.derived.settings import CandleSettings
from feeds.derived.venue_clock import VenueClock
from feeds.market import Candle, Channel, Payload, Status, Tick, Trade

_VENUE: Final = "VENUE"
"""The symbol of a status that is about the whole venue."""


class Candles:
    """A Derivation: trades and statuses in, candles out."""

    def __init__(self, settings: CandleSettings, *, simulated: bool = False) -> None:
        """`simulated`: markets that are none count as live, as there are no others."""
        self._no_markets = frozenset[str]() if simulated else NO_MARKETS
        self._lateness_us = settings.lateness_ms * 1_000
        self._ahead_max_us = settings.ahead_max_ms * 1_000
        self._behind_max_us = settings.behind_max_ms * 1_000
        self._limits = Limits(min(60, settings.correctable_s), settings.flat_max)
        self._periods_us = [_period_us(each, settings.running_ms * 1_000) for each in INTERVALS]
        self._too_late = TooLate()
        self._clocks: dict[str, VenueClock] = {}
        self._since_us: dict[str, int] = {}
        """When each venue was first live."""
        self._statuses: dict[str, Status] = {}
        self._markets: dict[str, CandleMarket] = {}
        self._together = Together(self._behind_max_us, self._limits.correctable * SECOND_US)
        self._is_closing = False
        """Whether more of all venues together may be final since it was looked at."""
        self._routes: dict[str, Route] = {}
        self._moved: list[dict[Series, None]] = [{} for _ in INTERVALS]
        """By interval: whose candle changed since it was last told; of a longer interval those
        of the shorter one that were told since."""
        self._due_us = [0] * len(INTERVALS)

    @property
    def too_late(self) -> int:
        """Trades that came too late even to correct a candle."""
        return self._too_late.trades

    def stamped_us(self) -> dict[str, int]:
        """How far the stamps of each live venue are ahead of our clock; negative: behind."""
        return {
            venue: clock.stamped_us
            for venue, clock in self._clocks.items()
            if venue not in self._no_markets and not clock.is_away and clock.stamped_us is not None
        }

    def take(self, ticks: Iterable[Tick], now_us: int) -> list[Tick]:
        """Corrections, and what has become final."""
        told: list[Tick] = []
        moved: dict[Series, None] = {}
        for tick in ticks:
            payload = tick.payload
            if isinstance(payload, Trade):
                name = tick.channel.name
                route = self._routes.get(name) or self._add(tick.channel, now_us)
                received_us = payload.received_us
                heard_us = now_us if received_us is None else received_us
                deal = deal_of(payload, heard_us, heard_us + self._ahead_max_us)
                if payload.venue_us is not None:
                    route.stamp(payload.venue_us, heard_us, self._behind_max_us)
                if route.last_id is not None:
                    route.resume(payload.id)
                if tick.missing is not None:
                    route.miss(deal.at_us, told)
                route.last_us = deal.at_us
                is_doubtful = payload.suspect and not payload.late
                for series in route.own(deal.at_us, told) if is_doubtful else route.series:
                    series.add(deal, told)
                    moved[series] = None
            elif isinstance(payload, Status):
                self._hear_status(tick.channel.venue, payload, now_us, told)
        if moved:
            if not self._moved[0]:
                for level, period_us in enumerate(self._periods_us):
                    if self._due_us[level] < now_us:
                        self._due_us[level] = now_us - now_us % period_us + period_us
            self._moved[0].update(moved)
        self._close(now_us, told)
        return told

    def wake(self, now_us: int) -> list[Tick]:
        """What has become final, and what changed of that which has not."""
        told: list[Tick] = []
        self._close(now_us, told)
        for level, changed in enumerate(self._moved):
            if not changed or self._due_us[level] > now_us:
                continue
            running = [series.running(level) for series in changed]
            told += [tick for tick in running if tick is not None]
            period_us = self._periods_us[level]
            self._due_us[level] = now_us - now_us % period_us + period_us
            self._moved[level] = {}
            if level + 1 < len(self._moved):
                self._moved[level + 1].update(changed)
        return told

    def next_us(self) -> int | None:
        """The end of a second at a venue, or the time to tell what is not final."""
        due = [at for at, changed in zip(self._due_us, self._moved, strict=True) if changed]
        due += [
            market.until_us + SECOND_US + self._lateness_us - market.ahead_us()
            for market in self._markets.values()
            if market.series
        ]
        return min(due, default=None)

    def restore(self, told: Mapping[str, Sequence[Payload]], now_us: int) -> None:
        """From candles that were final, and the trades since; what was missed makes them partial.

        A venue counts as missed from the last that is known of it to now.
        """
        candles: defaultdict[tuple[str, str], dict[str, list[Candle]]] = defaultdict(dict)
        trades: dict[Channel, list[Trade]] = {}
        heard_us: defaultdict[str, int] = defaultdict(int)
        for name, payloads in told.items():
            channel = Channel.parse(name)
            newest = max(map(_heard_us, payloads), default=0)
            heard_us[channel.venue] = max(heard_us[channel.venue], newest)
            word, _, interval = channel.kind.partition(".")
            if word == "candle":
                some = [each for each in payloads if isinstance(each, Candle)]
                candles[channel.venue, channel.symbol][interval] = some
            elif word == "trade":
                trades[channel] = [each for each in payloads if isinstance(each, Trade)]
        markets = {(channel.venue, channel.symbol) for channel in trades}
        for venue, symbol in sorted(markets | candles.keys()):
            if venue != AGGREGATE:
                route = self._add(Channel("trade", venue, symbol), now_us)
                statuses = told.get(f"status:{venue}:{_VENUE}", ())
                route.recall([each for each in statuses if isinstance(each, Status)])
                route.outages.heard_before(heard_us[venue], now_us)
        past = [
            PastTrades(self._routes[each.name], rows, self._ahead_max_us)
            for each, rows in trades.items()
        ]
        known = known_of(past, self._lateness_us)
        for (venue, symbol), told_before in candles.items():
            if venue == AGGREGATE:
                series = self._together.series(symbol)
            else:
                series = self._markets[venue].series.get(symbol)
            if series is not None:
                series.restore(told_before, known.get(series, NOTHING_KNOWN))
        for one in past:
            one.play()

    def _close(self, now_us: int, told: list[Tick]) -> None:
        for market in self._markets.values():
            if not market.series:
                continue
            until_us = self._until_us(market, now_us)
            if until_us > market.until_us:
                market.until_us = until_us
                self._is_closing = True
                for series in market.series.values():
                    series.close_until(until_us, told)
        if self._is_closing:
            self._is_closing = False
            self._together.close(told)

    def _until_us(self, market: CandleMarket, now_us: int) -> int:
        until_us = market.watermark_us(now_us) - self._lateness_us
        return until_us - until_us % SECOND_US

    def _clock(self, venue: str) -> VenueClock:
        clock = self._clocks.get(venue)
        if clock is None:
            clock = self._clocks[venue] = VenueClock(self._ahead_max_us)
            self._markets[venue] = CandleMarket(clock)
        return clock

    def _add(self, trades: Channel, now_us: int) -> Route:
        """The series of a market that was not heard of before."""
        venue, symbol = trades.venue, trades.symbol
        clock = self._clock(venue)
        market = self._markets[venue]
        if not market.series:
            market.until_us = self._until_us(market, now_us)
        since_us = self._since_us.setdefault(venue, now_us)
        route = self._routes[trades.name] = Route(trades.name, clock, since_us)
        own = market.series[symbol] = Series(venue, symbol, self._limits, self._too_late)
        route.series.append(own)
        if venue not in self._no_markets:
            shared = self._together.series(symbol) or Series(
                AGGREGATE, symbol, self._limits, self._too_late
            )
            self._together.join(symbol, shared, venue, market)
            route.series.append(shared)
        for series in route.series:
            series.outages.append(route.outages)
        return route

    def _hear_status(self, venue: str, status: Status, now_us: int, told: list[Tick]) -> None:
        if venue == AGGREGATE:
            return
        clock = self._clock(venue)
        clock.is_away = status.state in AWAY and not status.channels
        self._is_closing = True
        if not clock.is_away:
            self._since_us.setdefault(venue, now_us)
        before = self._statuses.get(venue)
        if before is None or (before.state, before.channels) != (status.state, status.channels):
            self._statuses[venue] = status
            for route in self._routes.values():
                if route.clock is clock:
                    away_us = route.hear(status, now_us)
                    if away_us is not None:
                        for series in route.series:
                            series.doubt(away_us, now_us, told)


def _period_us(interval: Interval, running_us: int) -> int:
    return min(max(running_us, interval.length_us // 60), interval.length_us // 4)


def _heard_us(payload: Payload) -> int:
    """Until when a market was heard, as far as a message says."""
    if isinstance(payload, Status) and payload.state != "live" and not payload.channels:
        return 0 if payload.state == "waiting" else payload.since_us
    return payload.received_us or 0


CANDLES: Final = Derived(
    name="candle",
    title="Candles",
    reads=frozenset(("trade", "status")),
    make=lambda settings: Candles(settings.candle, simulated=settings.simulated),
    history=frozenset(("candle", "trade", "status")),
)
