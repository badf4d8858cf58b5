"""A venue: what it trades, whom it tells of it, and all that it does wrong on the way.

It knows the truth: what was traded when, what it kept to itself, and what came to whom.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Final

import msgspec

from feeds.errors import VenueUnreachableError
from feeds.market import Channel
from feeds.settings import ConnectionSettings
from feeds.venue import Subscription, Venue
from feeds.watching.trade_ids import Promise
from tests.simulation.venue_side import NAME, Said, Side, SideParser
from tests.simulation.virtual_time import VirtualClock

_BEAT_S: Final = 2.0


class Market:
    """One channel's messages, numbered from 1 on."""

    def __init__(self, channel: Channel, pace_s: float) -> None:
        self.channel = channel
        self.pace_s = pace_s
        self.made: list[tuple[float, Said]] = []
        """All of them, and when that was."""
        self.kept: set[int] = set()
        """What somebody was not told, who should have been."""
        self.poisoned: set[int] = set()
        self.quiet_until_s = 0.0
        """Nothing happens there."""
        self.mute_until_s = 0.0
        """It goes on, and nobody is told."""
        self.to_keep = self.to_poison = 0
        """How many of the next."""

    def at_s(self, number: int) -> float:
        return self.made[number - 1][0]


class Arrivals:
    """Of one channel, at the process of one lease."""

    def __init__(self) -> None:
        self.last_s = 0.0
        """When anything came."""
        self.fresh_s = 0.0
        """When something new came."""
        self.beats = 0
        """How often something new came, counted once a second."""
        self._beat_s = 0.0

    def fresh(self, now_s: float) -> None:
        self.fresh_s = now_s
        if now_s >= self._beat_s + 1.0:
            self.beats += 1
            self._beat_s = now_s


class Exchange:
    """All markets and sockets."""

    def __init__(
        self, random: Random, clock: VirtualClock, channels: Sequence[tuple[Channel, float]]
    ) -> None:
        """Of each channel, about how many seconds lie between two messages."""
        self.random = random
        self._clock = clock
        self.markets = {channel.name: Market(channel, pace_s) for channel, pace_s in channels}
        self.sides: list[Side] = []
        self.is_down = False
        self.lifetime_s: float | None = None
        """After which it ends each socket."""
        self.resent = 3
        """How many of the last trades it tells whoever subscribes."""
        self.token: Callable[[], str] = str
        """Of the lease of the process that runs now."""
        self.came_to: dict[tuple[str, str], dict[int, float]] = {}
        """By lease and channel, the numbers that came to its process, and when."""
        self.ended: list[tuple[float, str]] = []
        """When a socket of a lease ended, or was refused, by the venue."""
        self.renewed: list[tuple[float, str]] = []
        """When a channel was asked for anew."""
        self.arrivals: dict[tuple[str, str], Arrivals] = {}
        """By lease and channel."""
        self.longest_s = dict.fromkeys(self.markets, 0.0)
        """The longest that nothing of a channel came."""
        self._came_s: dict[str, float] = {}
        self.odd_s = self.opened_s = 0.0
        """When something was last not as it should be; when a socket was last opened."""

    def row(self, ids: Promise, per_connection: int) -> Venue:
        symbols = dict.fromkeys(market.channel.symbol for market in self.markets.values())
        return Venue(
            name=NAME,
            title="Simulated",
            url="ws://127.0.0.1:9",
            symbols=tuple(symbols),
            kinds=("trade", "quote"),
            parser=SideParser,
            connect_url=lambda url, _: url,
            subscribe_frames=lambda wanted: [f"sub {_name(one)}" for one in wanted],
            renew_frames=lambda one: [f"unsub {_name(one)}", f"sub {_name(one)}"],
            trade_ids=ids,
            subscriptions_per_connection_max=per_connection,
            subscribe_pace_s=0.02,
            silence_limit_s=6.0,
            lifetime_s=self.lifetime_s,
        )

    # Its sockets.

    @asynccontextmanager
    async def open_socket(self, _: str, __: ConnectionSettings) -> AsyncIterator[Side]:
        """In the place of `feeds.venue_socket.open_socket`."""
        await asyncio.sleep(self.random.uniform(0.01, 0.1))
        token = self.token()
        if self.is_down:
            self.ended.append((self._clock.monotonic_s(), token))
            raise VenueUnreachableError("can't be reached (simulated)")
        side = Side(self, token)
        self.sides.append(side)
        self.odd_s = self.opened_s = side.opened_s = self._clock.monotonic_s()
        try:
            yield side
        finally:
            self.odd_s = self._clock.monotonic_s()
            if side in self.sides:
                self.sides.remove(side)

    def cut(self, sides: Sequence[Side], code: int | None = None, reason: str = "") -> None:
        for side in sides:
            side.end(code, reason)
            self.ended.append((self._clock.monotonic_s(), side.token))
            self.odd_s = self._clock.monotonic_s()
            if side in self.sides:
                self.sides.remove(side)

    def leave(self, token: str) -> None:
        """Who had its sockets is gone."""
        self.sides = [side for side in self.sides if side.token != token]

    def announce(self, sides: Sequence[Side]) -> None:
        for side in sides:
            side.tell(Said('["bye"]'))

    def heal(self) -> None:
        self.is_down = False
        self.cut([side for side in self.sides if side.is_mute])
        for market in self.markets.values():
            market.to_keep = market.to_poison = 0
            market.quiet_until_s = market.mute_until_s = 0.0

    def asked(self, side: Side, frame: str) -> None:
        what, _, name = frame.partition(" ")
        if side not in self.sides:
            return
        if what == "unsub":
            side.asked.discard(name)
            self.renewed.append((self._clock.monotonic_s(), name))
            return
        side.asked.add(name)
        side.tell(Said('["ok"]'))
        market = self.markets[name]
        again = self.resent if market.channel.kind == "trade" else 1
        if again and self._clock.monotonic_s() >= market.mute_until_s:
            for _, said in market.made[-again:]:
                if said.number not in market.poisoned:
                    side.tell(said)

    def came(self, side: Side, heard: Sequence[Said]) -> None:
        """The product has it in hand."""
        now_s = self._clock.monotonic_s()
        for said in heard:
            if said.channel is None:
                continue
            market, where = self.markets[said.channel], (side.token, said.channel)
            self.came_to.setdefault(where, {}).setdefault(said.number, now_s)
            arrivals = self.arrivals.setdefault(where, Arrivals())
            arrivals.last_s = now_s
            before_s = self._came_s.get(said.channel, now_s)
            self._came_s[said.channel] = now_s
            self.longest_s[said.channel] = max(self.longest_s[said.channel], now_s - before_s)
            if now_s - market.at_s(said.number) < 1.0 and said.number not in market.poisoned:
                arrivals.fresh(now_s)

    # What it does.

    async def keep_beating(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            for side in list(self.sides):
                side.tell(Said('["beat"]'))
                if self.lifetime_s and self._clock.monotonic_s() - side.opened_s > self.lifetime_s:
                    self.cut([side], 1001, "too old")

    async def keep_trading(self, market: Market) -> None:
        while True:
            await asyncio.sleep(self.random.uniform(0.4, 1.0) * market.pace_s)
            if self._clock.monotonic_s() >= market.quiet_until_s:
                self._trade(market)
            else:
                self.odd_s = self._clock.monotonic_s()

    def repeat(self, market: Market, count: int) -> None:
        for _, said in market.made[-count:]:
            if said.number not in market.kept | market.poisoned:
                self._tell(said)

    def make_up(self, market: Market) -> None:
        """What it kept of late, it tells after all."""
        for _, said in market.made[-5:]:
            if said.number in market.kept:
                self._tell(said)

    def _trade(self, market: Market) -> None:
        now_s = self._clock.monotonic_s()
        number = len(market.made) + 1
        price = f"{100 + number * 7 % 5}.{number:06d}"
        at_us = self._clock.now_ns() // 1_000
        is_poisoned = market.to_poison > 0
        if is_poisoned:
            market.to_poison -= 1
            market.poisoned.add(number)
            self.odd_s = now_s
        if market.channel.kind == "trade":
            bad = self.random.choice(("NaN", "0", "-1.5"))
            words = ["trade", market.channel.symbol, number, bad if is_poisoned else price, at_us]
        else:
            ask = "0" if is_poisoned else "200"
            words = ["quote", market.channel.symbol, number, price, ask, at_us]
        said = Said(msgspec.json.encode(words).decode(), market.channel.name, number)
        market.made.append((now_s, said))
        if market.to_keep or now_s < market.mute_until_s:
            market.to_keep = max(0, market.to_keep - 1)
            market.kept.add(number)
            self.odd_s = now_s
        else:
            self._tell(said)

    def _tell(self, said: Said) -> None:
        for side in self.sides:
            if said.channel in side.asked:
                side.tell(said)
                if side.is_mute:
                    self.odd_s = self._clock.monotonic_s()
                    self.markets[said.channel].kept.add(said.number)


def _name(wanted: Subscription) -> str:
    return Channel(wanted.kind, NAME, wanted.symbol).name
