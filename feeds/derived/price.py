"""The consolidated price, `price:agg:<BASE>-<QUOTE>`: many venues' quotes to one price. Pure.

A venue that is stale, crossed, resyncing or quarantined does not vote, and its message says so.
Quotes in another currency vote through our own price of the two currencies, or not at all.
"""

from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Final

from feeds.derived.derivation import AGGREGATE, NO_MARKETS, Derived
from feeds.derived.fixed_point import read, written
from feeds.derived.median import METHOD
from feeds.derived.price_rule import VERSION, Outcome, Rule, fault_of, outcome
from feeds.derived.settings import PriceSettings
from feeds.market import Channel, Instrument, Payload, Price, Quote, Status, Tick, Vote

_VENUE: Final = "VENUE"
"""The symbol of a status that is about the whole venue."""

_HOLDS: Final = {"stale": "stale", "resync": "resyncing", "closed": "closed"}
"""What a status says of a venue, and why such a one does not vote."""

_QUARANTINED: Final = "quarantined"
_WAITING: Final = "waiting"
_NO_RATE: Final = "no rate"
_TWICE: Final = "votes directly"


class _Market:
    """What one venue says of one instrument."""

    __slots__ = (
        "_texts", "heard_us", "hold", "name", "pairs", "quote", "received_us", "symbol", "venue",
    )  # fmt: skip

    def __init__(self, quotes: Channel, hold: str | None) -> None:
        self.name = quotes.name
        self.venue = quotes.venue
        self.symbol = quotes.symbol
        self.hold = hold
        """Why it does not vote, as far as the venue's status says; None: it may."""
        self.pairs: list[_Pair] = []
        """Those on which it may vote."""
        self.quote: Quote | None = None
        """None: nothing since it was last known to be good."""
        self.heard_us = 0
        self.received_us: int | None = None
        self._texts: tuple[str, str] | None = None

    def hear(self, quote: Quote, now_us: int) -> None:
        self.quote = quote
        self.received_us = quote.received_us
        self.heard_us = now_us if quote.received_us is None else quote.received_us
        self._texts = None

    def texts(self, quote: Quote) -> tuple[str, str]:
        """The middle of its quote and half its spread, exactly."""
        if self._texts is None:
            (bid, bid_decimals), (ask, ask_decimals) = read(quote.bid), read(quote.ask)
            decimals = max(bid_decimals, ask_decimals)
            bid *= 10 ** (decimals - bid_decimals)
            ask *= 10 ** (decimals - ask_decimals)
            # Times five and one decimal more: half of it, without a rest.
            middle, half = (bid + ask) * 5, (ask - bid) * 5
            self._texts = written(middle, decimals + 1), written(half, decimals + 1)
        return self._texts


class _Seat:
    """A market's place among the voters of a pair; `through` converts what it says."""

    __slots__ = ("market", "through")

    def __init__(self, market: _Market, through: "_Pair | None") -> None:
        self.market = market
        self.through = through


class _Pair:
    """One channel: its voters, what was told last, and when it is due again."""

    __slots__ = (
        "channel", "computed_us", "due_us", "had_price", "newest", "seats", "told", "told_us",
    )  # fmt: skip

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.seats: list[_Seat] = []
        self.newest: Outcome | None = None
        self.computed_us = -(10**18)
        self.told_us = -(10**18)
        self.told: object = None
        """What must change for another message before it is time to repeat the last one."""
        self.had_price = False
        self.due_us: int | None = None

    def seat(self, market: _Market, through: "_Pair | None") -> None:
        """Those that vote without a conversion come first, as they have the right of way."""
        self.seats.append(_Seat(market, through))
        self.seats.sort(key=lambda seat: (seat.through is not None, seat.market.venue))
        market.pairs.append(self)


class Consolidation:
    """A Derivation: quotes and statuses in, prices out."""

    def __init__(self, settings: PriceSettings) -> None:
        self._rule = Rule(settings.venues_min, settings.floor_ppm, settings.age_max_ms)
        self._interval_us = settings.interval_ms * 1_000
        self._repeat_us = settings.repeat_ms * 1_000
        self._conversions = settings.conversions
        self._markets: dict[str, _Market | None] = {}
        """By the quote channel's name; None: one that must not vote."""
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self._by_venue: dict[str, list[_Market]] = {}
        self._statuses: dict[str, Status] = {}
        self._due: list[tuple[int, int, _Pair]] = []
        self._pushed = 0

    def take(self, ticks: Iterable[Tick], now_us: int) -> list[Tick]:
        """The prices of those pairs that moved and may be told again."""
        moved: dict[_Pair, None] = {}
        for tick in ticks:
            payload = tick.payload
            if isinstance(payload, Quote):
                name = tick.channel.name
                market = self._markets[name] if name in self._markets else self._add(tick.channel)
                if market is not None:
                    market.hear(payload, now_us)
                    moved.update(dict.fromkeys(market.pairs))
            elif isinstance(payload, Status):
                moved.update(dict.fromkeys(self._hear_status(tick.channel, payload)))
        told: list[Tick] = []
        for pair in moved:
            free_us = pair.computed_us + self._interval_us
            if now_us < free_us:
                self._schedule(pair, free_us)
            elif (tick_out := self._tell(pair, now_us)) is not None:
                told.append(tick_out)
        return told

    def wake(self, now_us: int) -> list[Tick]:
        """The prices that are due: moved a moment ago, or not for a while."""
        told: list[Tick] = []
        while self._due and self._due[0][0] <= now_us:
            due_us, _, pair = heappop(self._due)
            if pair.due_us == due_us:
                pair.due_us = None
                tick = self._tell(pair, now_us)
                if tick is not None:
                    told.append(tick)
        return told

    def next_us(self) -> int | None:
        """When the first pair is due."""
        return self._due[0][0] if self._due else None

    def restore(self, told: Mapping[str, Sequence[Payload]], now_us: int) -> None:
        """Nothing: an old price is no price."""

    def _add(self, quotes: Channel) -> _Market | None:
        """A market that was not heard of before, and the pairs on which it may vote."""
        instrument = Instrument.parse(quotes.symbol)
        if quotes.venue in NO_MARKETS or quotes.venue == AGGREGATE or instrument.contract:
            self._markets[quotes.name] = None
            return None
        hold = _hold(self._statuses.get(quotes.venue), quotes.name)
        market = self._markets[quotes.name] = _Market(quotes, hold)
        self._by_venue.setdefault(quotes.venue, []).append(market)
        self._pair(instrument.base, instrument.quote).seat(market, None)
        for quote, wanted in self._conversions:
            if quote == instrument.quote and wanted != instrument.base:
                self._pair(instrument.base, wanted).seat(market, self._pair(quote, wanted))
        return market

    def _pair(self, base: str, quote: str) -> _Pair:
        pair = self._pairs.get((base, quote))
        if pair is None:
            channel = Channel("price", AGGREGATE, Instrument(base, quote).symbol)
            pair = self._pairs[base, quote] = _Pair(channel)
        return pair

    def _hear_status(self, about: Channel, status: Status) -> list[_Pair]:
        """The pairs on which somebody may vote now, or may no more.

        What a venue said before it went away is forgotten: it votes again with its next quote.
        """
        before = self._statuses.get(about.venue)
        if about.symbol != _VENUE or _says(before) == _says(status):
            return []
        self._statuses[about.venue] = status
        pairs: list[_Pair] = []
        for market in self._by_venue.get(about.venue, ()):
            hold = _hold(status, market.name)
            if hold != market.hold:
                market.hold = hold
                if hold is not None:
                    market.quote = None
                pairs += market.pairs
        return pairs

    def _schedule(self, pair: _Pair, at_us: int) -> None:
        if pair.due_us is None or at_us < pair.due_us:
            pair.due_us = at_us
            self._pushed += 1
            heappush(self._due, (at_us, self._pushed, pair))

    def _tell(self, pair: _Pair, now_us: int) -> Tick | None:
        """Computes it; None where that says nothing new and it is not yet time to repeat it."""
        pair.computed_us = now_us
        votes = self._votes(pair, now_us)
        found = pair.newest = outcome(votes, self._rule)
        says = (found, [(vote.venue, vote.via, vote.out) for vote in votes])
        repeat_us = pair.told_us + self._repeat_us
        if says == pair.told and now_us < repeat_us:
            self._schedule(pair, repeat_us)
            return None
        pair.told, pair.told_us, pair.due_us = says, now_us, None
        pair.had_price = pair.had_price or found is not None
        self._schedule(pair, now_us + self._repeat_us)
        return Tick(pair.channel, self._price(pair, votes, found, now_us))

    def _price(
        self, pair: _Pair, votes: tuple[Vote, ...], found: Outcome | None, now_us: int
    ) -> Price:
        voters = sum(vote.is_in for vote in votes)
        rule = self._rule
        heard = [seat.market.received_us for seat in pair.seats if seat.market.quote is not None]
        return Price(
            "live" if found else "stale" if pair.had_price else "waiting",
            METHOD,
            VERSION,
            voters,
            rule.venues_min,
            rule.floor_ppm,
            rule.age_max_ms,
            votes,
            now_us,
            found.price if found else None,
            found.confidence if found else None,
            None if found else _why(votes, voters, rule),
            max((at for at in heard if at is not None), default=None),
        )

    def _votes(self, pair: _Pair, now_us: int) -> tuple[Vote, ...]:
        voted: set[str] = set()
        votes: list[Vote] = []
        for seat in pair.seats:
            vote = self._vote(seat, now_us, voted)
            if vote.is_in:
                voted.add(vote.venue)
            votes.append(vote)
        return tuple(votes)

    def _vote(self, seat: _Seat, now_us: int, voted: set[str]) -> Vote:
        market, through = seat.market, seat.through
        symbol = None if through is None else market.symbol
        via = None if through is None else through.channel.name
        quote = market.quote
        if market.hold is not None or quote is None:
            absent = market.hold or _WAITING
            return Vote(market.venue, is_in=False, out=absent, symbol=symbol, via=via)
        price, half = market.texts(quote)
        age_ms = max(0, now_us - market.heard_us) // 1_000
        out = _QUARANTINED if quote.suspect else fault_of(half, age_ms, self._rule)
        rate: str | None = None
        if through is not None:
            rate = self._rate(through, now_us)
            if out is None:
                out = _TWICE if market.venue in voted else _NO_RATE if rate is None else None
        return Vote(market.venue, out is None, out, price, half, age_ms, symbol, via, rate)

    def _rate(self, through: _Pair, now_us: int) -> str | None:
        """The newest price of two currencies; None where there is none, or only an old one."""
        is_old = now_us - through.computed_us > self._rule.age_max_ms * 1_000
        return None if is_old or through.newest is None else through.newest.price


def _says(status: Status | None) -> object:
    """What of a status can change a vote."""
    return status and (status.state, status.channels)


def _hold(status: Status | None, name: str) -> str | None:
    """Why a venue's quote channel does not vote, as its status says."""
    if status is None:
        return None
    if not status.channels:
        return _HOLDS.get(status.state)
    state = status.channels.get(name)
    return None if state is None else _HOLDS.get(state.state)


def _why(votes: Sequence[Vote], voters: int, rule: Rule) -> str:
    out = ", ".join(f"{vote.venue} {vote.out}" for vote in votes if not vote.is_in)
    return f"{voters} of at least {rule.venues_min} venues vote{': ' if out else ''}{out}"


PRICE: Final = Derived(
    name="price",
    title="Consolidated price",
    reads=frozenset(("quote", "status")),
    make=lambda settings: Consolidation(settings.price),
    history=frozenset(),
)
