"""The consolidated price, `price:agg:<BASE>-<QUOTE>`: many venues' quotes to one price. Pure.

A venue that is stale, crossed, resyncing or quarantined does not vote, and its message says so.
Quotes in another currency vote through our own price of the two currencies, or not at all.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from feeds.derived.agenda import Agenda
from feeds.derived.derivation import AGGREGATE, NO_MARKETS, Derived
from feeds.derived.median import METHOD
from feeds.derived.price_rule import VERSION, Outcome, Rule, counted, unit_of
from feeds.derived.settings import PriceSettings
from feeds.derived.voters import Market, Rate, Seat
from feeds.market import Channel, Instrument, Payload, Price, Quote, Status, Tick, Vote

_VENUE: Final = "VENUE"
"""The symbol of a status that is about the whole venue."""

_HOLDS: Final = {"stale": "stale", "resync": "resyncing", "closed": "closed"}
"""What a status says of a venue, and why such a one does not vote."""

_NO_RATE: Final = "no rate"
_TWICE: Final = "votes directly"


class _Pair:
    """One channel: its voters, what was told last, and when it is due again."""

    __slots__ = (
        "age_max_us", "channel", "computed_us", "had_price", "is_rate", "rate", "rule", "seats",
        "told", "told_us",
    )  # fmt: skip

    def __init__(self, channel: Channel, rule: Rule, *, is_rate: bool) -> None:
        self.channel = channel
        self.rule = rule
        self.is_rate = is_rate
        """Whether others are converted by its price."""
        # An age counts in whole milliseconds, as the message has it.
        self.age_max_us = (rule.age_max_ms + 1) * 1_000
        self.seats: list[tuple[Seat, _Pair | None]] = []
        """With the pair whose price converts what it says; None: it need not be converted."""
        self.rate: Rate | None = None
        """The newest price, for those; None: there is none."""
        self.computed_us = -(10**18)
        self.told_us = -(10**18)
        self.told: object = None
        """What must change for another message before it is time to repeat the last one."""
        self.had_price = False

    def seat(self, market: Market, through: "_Pair | None") -> None:
        """Those that vote without a conversion come first, as they have the right of way."""
        via = None if through is None else through.channel.name
        self.seats.append((Seat(market, via), through))
        self.seats.sort(key=lambda one: (one[1] is not None, one[0].market.venue))


class _Poll(NamedTuple):
    """What a pair's voters say at one moment: of each seat why it is out, and its rate."""

    outs: list[str | None]
    rates: list[Rate | None]
    found: Outcome | None


class Consolidation:
    """A Derivation: quotes and statuses in, prices out."""

    def __init__(self, settings: PriceSettings, *, simulated: bool = False) -> None:
        """`simulated`: markets that are none vote, as there are no others."""
        self._simulated = simulated
        venues_min = 1 if simulated else settings.venues_min
        self._rule = Rule(venues_min, settings.floor_ppm, settings.age_max_ms)
        self._rate_rule = self._rule._replace(
            age_max_ms=max(settings.age_max_ms, settings.rate_age_max_ms)
        )
        self._late_max_us = settings.late_max_ms * 1_000
        self._interval_us = settings.interval_ms * 1_000
        self._repeat_us = settings.repeat_ms * 1_000
        pairs = [Instrument.parse(symbol) for symbol in settings.conversions]
        self._conversions = [(pair.base, pair.quote) for pair in pairs]
        self._markets: dict[str, tuple[Market, list[_Pair]] | None] = {}
        """By the quote channel's name, with the pairs on which it may vote; None: on none."""
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self._by_venue: dict[str, list[tuple[Market, list[_Pair]]]] = {}
        self._statuses: dict[str, Status] = {}
        self._due: Agenda[_Pair] = Agenda()

    def take(self, ticks: Iterable[Tick], now_us: int) -> list[Tick]:
        """The prices of those pairs that moved and may be told again."""
        moved: dict[_Pair, None] = {}
        for tick in ticks:
            payload = tick.payload
            if isinstance(payload, Quote):
                name = tick.channel.name
                found = self._markets[name] if name in self._markets else self._add(tick.channel)
                if found is not None:
                    market, pairs = found
                    market.hear(payload, now_us)
                    for pair in pairs:
                        moved[pair] = None
            elif isinstance(payload, Status):
                moved.update(dict.fromkeys(self._hear_status(tick.channel, payload)))
        told: list[Tick] = []
        for pair in moved:
            free_us = pair.computed_us + self._interval_us
            if now_us < free_us:
                self._due.put(pair, free_us)
            elif (tick_out := self._tell(pair, now_us)) is not None:
                told.append(tick_out)
        return told

    def wake(self, now_us: int) -> list[Tick]:
        """The prices that are due: moved a moment ago, or not for a while."""
        told: list[Tick] = []
        for pair in self._due.take_due(now_us):
            tick = self._tell(pair, now_us)
            if tick is not None:
                told.append(tick)
        return told

    def next_us(self) -> int | None:
        """When the first pair is due."""
        return self._due.next_us()

    def restore(self, told: Mapping[str, Sequence[Payload]], now_us: int) -> None:
        """Nothing: an old price is no price."""

    def _add(self, quotes: Channel) -> tuple[Market, list[_Pair]] | None:
        """A market that was not heard of before, and the pairs on which it may vote."""
        instrument = Instrument.parse(quotes.symbol)
        is_none = quotes.venue in NO_MARKETS and not self._simulated
        if is_none or quotes.venue == AGGREGATE or instrument.contract:
            self._markets[quotes.name] = None
            return None
        hold = _hold(self._statuses.get(quotes.venue), quotes.name)
        market = Market(quotes, hold, self._late_max_us)
        pairs = [self._pair(instrument.base, instrument.quote)]
        pairs[0].seat(market, None)
        for quote, wanted in self._conversions:
            if quote == instrument.quote and wanted != instrument.base:
                pairs.append(self._pair(instrument.base, wanted))
                pairs[-1].seat(market, self._pair(quote, wanted))
        self._markets[quotes.name] = market, pairs
        self._by_venue.setdefault(quotes.venue, []).append((market, pairs))
        return market, pairs

    def _pair(self, base: str, quote: str) -> _Pair:
        pair = self._pairs.get((base, quote))
        if pair is None:
            channel = Channel("price", AGGREGATE, Instrument(base, quote).symbol)
            is_rate = (base, quote) in self._conversions
            rule = self._rate_rule if is_rate else self._rule
            pair = self._pairs[base, quote] = _Pair(channel, rule, is_rate=is_rate)
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
        for market, its in self._by_venue.get(about.venue, ()):
            hold = _hold(status, market.name)
            if hold != market.hold:
                market.hold = hold
                if hold is not None:
                    market.quote = None
                pairs += its
        return pairs

    def _tell(self, pair: _Pair, now_us: int) -> Tick | None:
        """Computes it; None where that says nothing new and it is not yet time to repeat it."""
        pair.computed_us = now_us
        poll = self._poll(pair, now_us)
        found = poll.found
        if pair.is_rate:
            pair.rate = None if found is None else Rate(found.price, _oldest_us(pair, poll))
        says = (found, poll.outs)
        repeat_us = pair.told_us + self._repeat_us
        if says == pair.told and now_us < repeat_us:
            self._due.put(pair, repeat_us)
            return None
        pair.told, pair.told_us = says, now_us
        self._due.drop(pair)
        pair.had_price = pair.had_price or found is not None
        self._due.put(pair, now_us + self._repeat_us)
        return Tick(pair.channel, self._price(pair, poll, now_us))

    def _poll(self, pair: _Pair, now_us: int) -> _Poll:
        """Who votes, and what that comes to: nothing is written yet that may not be told."""
        outs: list[str | None] = []
        rates: list[Rate | None] = []
        voters: list[tuple[Seat, str | None]] = []
        venues: list[str] = []
        decimals = 0
        heard_from_us = now_us - pair.age_max_us
        for seat, through in pair.seats:
            market = seat.market
            out = market.fault(heard_from_us)
            rate = None if through is None else self._rate(through, now_us)
            if out is None and through is not None:
                out = _TWICE if market.venue in venues else _NO_RATE if rate is None else None
            if out is None:
                voters.append((seat, rate and rate.price))
                venues.append(market.venue)
                decimals = max(decimals, market.decimals)
            outs.append(out)
            rates.append(rate)
        rule = pair.rule
        if len(voters) < rule.venues_min or not voters:
            return _Poll(outs, rates, None)
        unit, votes = unit_of(decimals), list[int]()
        for seat, text in voters:
            votes += seat.votes(unit, text, rule.floor_ppm)
        return _Poll(outs, rates, counted(votes, unit))

    def _price(self, pair: _Pair, poll: _Poll, now_us: int) -> Price:
        """Its message: with that alone it can be computed again."""
        rule, found = pair.rule, poll.found
        votes: list[Vote] = []
        newest_us: int | None = None
        for (seat, _), out, rate in zip(pair.seats, poll.outs, poll.rates, strict=True):
            market, via = seat.market, seat.via
            symbol = None if via is None else market.symbol
            if market.hold is not None or market.quote is None:
                votes.append(Vote(market.venue, is_in=False, out=out, symbol=symbol, via=via))
                continue
            received_us = market.received_us
            if received_us is not None and (newest_us is None or received_us > newest_us):
                newest_us = received_us
            age_ms = max(0, now_us - market.heard_us) // 1_000
            price, half = market.price_text, market.half_text
            by, by_age_ms = (None, None) if rate is None else rate.told(now_us)
            is_in = out is None
            votes.append(
                Vote(market.venue, is_in, out, price, half, age_ms, symbol, via, by, by_age_ms)
            )
        voters = poll.outs.count(None)
        return Price(
            "live" if found else "stale" if pair.had_price else "waiting",
            METHOD,
            VERSION,
            voters,
            rule.venues_min,
            rule.floor_ppm,
            rule.age_max_ms,
            tuple(votes),
            now_us,
            found.price if found else None,
            found.confidence if found else None,
            None if found else _why(votes, voters, rule),
            newest_us,
        )

    def _rate(self, through: _Pair, now_us: int) -> Rate | None:
        """The newest price of two currencies; None where there is none, or nobody looked lately
        whether there still is."""
        is_old = now_us - through.computed_us > self._rule.age_max_ms * 1_000
        return None if is_old else through.rate


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


def _oldest_us(pair: _Pair, poll: _Poll) -> int:
    """When the oldest quote of those that vote was heard."""
    votes = zip(pair.seats, poll.outs, strict=True)
    return min(seat.market.heard_us for (seat, _), out in votes if out is None)


def _why(votes: Sequence[Vote], voters: int, rule: Rule) -> str:
    out = ", ".join(f"{vote.venue} {vote.out}" for vote in votes if not vote.is_in)
    why = f"{voters} of at least {rule.venues_min} venues vote{': ' if out else ''}{out}"
    quoting = len({vote.venue for vote in votes})
    return f"{why}; no more than {quoting} quote it" if quoting < rule.venues_min else why


PRICE: Final = Derived(
    name="price",
    title="Consolidated price",
    reads=frozenset(("quote", "status")),
    make=lambda settings: Consolidation(settings.price, simulated=settings.simulated),
    history=frozenset(),
)
