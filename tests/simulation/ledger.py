"""What the feeds publish of a venue, held against what it traded: nothing twice, nothing back,
nothing left out without a word, and the word names who is to blame."""

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tests.simulation.exchange import Exchange, Market
from tests.simulation.truth import Violation, number_in
from tests.simulation.virtual_time import VirtualClock

if TYPE_CHECKING:
    from tests.simulation.bus_model import Published
    from tests.simulation.feeds_chances import FeedsChances
    from tests.simulation.redis_server import RedisServer

_CALM_S: Final = 21.0
"""So long after another fault nothing of it is left."""


class Hole(NamedTuple):
    """Told as missing, by the venue, of a channel that was listened to."""

    at_s: float
    channel: str
    token: str


class _Numbering:
    """One epoch of one channel."""

    def __init__(self, name: str, upheavals: int) -> None:
        self.name = name
        self.upheavals = upheavals
        self.made: dict[int, int] = {}
        """By seq, the venue's number."""
        self.newest = 0
        self.told: set[int] = set()


class Ledger:
    """Of all channels of the venue."""

    def __init__(
        self,
        exchange: Exchange,
        chances: "FeedsChances",
        server: "RedisServer",
        clock: VirtualClock,
    ) -> None:
        self.announced: list[tuple[float, float]] = []
        """From when to when a connection was about to end, as the venue had said."""
        self.holes: list[Hole] = []
        self._exchange = exchange
        self._chances = chances
        self._server = server
        self._clock = clock
        self._epochs: dict[str, list[_Numbering]] = {}
        self._last: dict[str, tuple[str, int]] = {}
        """By channel, who published last, and the venue's number of it."""
        self._missing: set[tuple[str, int]] = set()
        """Channels and numbers that were told as missing, in whatever epoch."""
        self._most: dict[str, int] = {}

    def published(self, told: "Published") -> None:
        payload = msgspec.json.decode(told.payload)
        market, number = self._exchange.markets[told.channel], number_in(payload)
        epoch = self._epoch(told)
        if epoch.made.get(told.seq) == number:
            # A Redis of an older copy was told it once more.
            return
        where = f"{told.channel} {told.epoch} {told.seq}"
        by, _, count = told.missing.partition(":")
        missing = int(count or 0)
        last_seq = max(epoch.made, default=told.seq - missing - 1)
        if told.seq != last_seq + missing + 1:
            raise Violation(f"{where} follows {last_seq}")
        if number in market.poisoned:
            raise Violation(f"{where}: {payload} was published")
        if market.channel.kind == "quote":
            if number < epoch.newest:
                raise Violation(f"{where}: quote {number} is told after {epoch.newest}")
        elif number in epoch.told:
            raise Violation(f"{where}: trade {number} is published twice")
        elif self._chances.numbers_ids:
            self._follow(epoch, market, number, missing, by, is_doubted="suspect" in payload)
        epoch.made[told.seq] = number
        epoch.told.add(number)
        epoch.newest = max(epoch.newest, number)
        self._last[told.channel] = self._publisher(), number
        self._most[told.channel] = max(number, self._most.get(told.channel, 0))

    def is_whole(self) -> bool:
        """Whether the newest of each channel is published."""
        return not self._behind()

    def lacking(self) -> str:
        return f"the newest is not published: {self._behind()}"

    def check_announced(self) -> None:
        """Where the venue had said that it would end a connection, nothing is missing."""
        times = [at_s for at_s, _ in self._chances.faults]
        for began_s, ended_s in self.announced:
            if any(began_s - _CALM_S < at_s < ended_s and at_s != began_s for at_s in times):
                continue
            for channel, number in sorted(self._missing):
                if began_s < self._exchange.markets[channel].at_s(number) < ended_s:
                    raise Violation(f"{channel}: {number} is missing, the end was announced")

    def _behind(self) -> list[tuple[str, int, int]]:
        return [
            (name, self._most.get(name, 0), len(market.made))
            for name, market in self._exchange.markets.items()
            if self._most.get(name, 0) < len(market.made)
        ]

    def _publisher(self) -> str:
        return self._server.bus.publisher.decode()

    def _epoch(self, told: "Published") -> _Numbering:
        epochs = self._epochs.setdefault(told.channel, [])
        found = next((one for one in epochs if one.name == told.epoch), None)
        if found is None:
            upheavals = self._server.upheavals
            if epochs and epochs[-1].upheavals == upheavals:
                raise Violation(f"{told.channel}: an epoch {told.epoch} for no reason")
            found = _Numbering(told.epoch, upheavals)
            epochs.append(found)
        return found

    def _follow(
        self,
        epoch: _Numbering,
        market: Market,
        number: int,
        missing: int,
        by: str,
        *,
        is_doubted: bool,
    ) -> None:
        name = market.channel.name
        if not epoch.told:
            self._missing.update((name, one) for one in range(number - missing, number))
            return
        if number < epoch.newest:
            if missing or (name, number) not in self._missing or not is_doubted:
                raise Violation(f"{name}: {number} is told after {epoch.newest}, missing {missing}")
            return
        if number != epoch.newest + missing + 1:
            raise Violation(f"{name}: {number} follows {epoch.newest}, {missing} told as missing")
        if missing:
            numbers = range(epoch.newest + 1, number)
            self._missing.update((name, one) for one in numbers)
            self._check_missing(market, numbers, by)

    def _check_missing(self, market: Market, numbers: range, by: str) -> None:
        exchange, name, token = self._exchange, market.channel.name, self._publisher()
        came = exchange.came_to.get((token, name), {})
        excused = market.kept | market.poisoned
        lost = [one for one in numbers if one in came and one not in excused]
        if lost:
            raise Violation(f"{name}: {lost} came to the feed, and are told as missing by {by}")
        last_token, last_number = self._last[name]
        since_s = market.at_s(last_number)
        was_renewed = any(at_s >= since_s and one == name for at_s, one in exchange.renewed)
        was_cut = any(at_s >= since_s and one == token for at_s, one in exchange.ended)
        if by == "feed":
            if token == last_token and not was_renewed:
                raise Violation(f"{name}: {numbers} are missing, but not by the feed")
        elif not was_cut and excused.isdisjoint(numbers):
            raise Violation(f"{name}: {numbers} are missing, but not by the venue")
        if by == "venue" and token == last_token and not was_cut and not was_renewed:
            self.holes.append(Hole(self._clock.monotonic_s(), name, token))
