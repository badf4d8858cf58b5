"""Venues split over feeds processes: one derives, from all of them, nothing lost, nothing twice."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import uvloop
from redis.asyncio import Redis

from feeds.derived.candles import CANDLES
from feeds.derived.price import PRICE
from feeds.derived.settings import CandleSettings, DerivedChoices, DerivedSettings
from feeds.derived.signal_settings import SignalSettings
from feeds.deriving.derived_feed import DerivedFeed
from feeds.market import Channel, Publication, Quote, Status, SystemClock, Tick, Trade
from feeds.market.bus_names import log_key
from feeds.settings import FeedSettings, SimSettings
from tests.gateway_server import Publishing, publishing_on
from tests.publishing import drained
from tests.test_feeds_run import binance_at, running
from tests.until import until
from tests.until_answer import until_answer
from tests.venue_server import VenueServer

LOOPS = {"uvloop": uvloop.new_event_loop}

SECONDS = "candle.1s:agg:BTC-USD"
PRICES = "price:agg:BTC-USD"
SETTINGS = DerivedSettings(candle=CandleSettings(lateness_ms=500))

Message = dict[str, Any]


class Market:
    """A venue that trades always, and says so; `sink` is what its process does with ticks."""

    def __init__(self, venue: str, price: str, sink: Callable[[list[Tick]], None]) -> None:
        self.venue = venue
        self.sink = sink
        self.traded: Counter[int] = Counter()
        """Trades, by their second."""
        self.is_silent = False
        self._price = price
        self._number = 0

    async def run(self) -> None:
        status, quotes, trades = (
            Channel("status", self.venue, "VENUE"),
            Channel("quote", self.venue, "BTC-USD"),
            Channel("trade", self.venue, "BTC-USD"),
        )
        since_us = now_us()
        while True:
            at_us, number = now_us(), self._number
            self._number += 1
            ticks = [
                Tick(quotes, Quote(self._price, f"{self._price}.1", "1", "1", at_us, at_us)),
                Tick(trades, Trade(self._price, "1", "buy", f"x{number}", at_us, at_us)),
            ]
            if number % 25 == 0:
                ticks.insert(0, Tick(status, Status("live", since_us, received_us=at_us)))
            if not self.is_silent:
                self.traded[at_us // 1_000_000] += 1
                self.sink(ticks)
            await asyncio.sleep(0.02)


def now_us() -> int:
    return SystemClock().now_ns() // 1_000


@contextlib.asynccontextmanager
async def deriving(
    redis: Redis, publish: Publishing, *markets: Market, own: set[str], simulated: bool = False
) -> AsyncIterator[DerivedFeed]:
    """A process that publishes `own` and holds the lease; its markets offer to it."""
    settings = msgspec.structs.replace(SETTINGS, simulated=simulated)
    rows = (PRICE, CANDLES)
    clock = SystemClock()
    feed = DerivedFeed(rows, settings, own, publish.publisher, redis, clock=clock)
    feed.hear_others(own.__contains__)
    async with asyncio.timeout(80), asyncio.TaskGroup() as group:
        await feed.load()
        tasks = [group.create_task(feed.run())]
        for market in markets:
            if market.venue in own:
                market.sink = feed.offer
            tasks.append(group.create_task(market.run()))
        yield feed
        for task in tasks:
            task.cancel()


@contextlib.asynccontextmanager
async def two_markets(redis_url: str) -> AsyncIterator[tuple[Market, Market]]:
    """Ours, and one that another process publishes."""
    async with publishing_on(redis_url) as other:
        theirs = Market("kraken", "102", lambda ticks: tell(other, ticks))
        yield Market("coinbase", "100", lambda _: None), theirs


def tell(process: Publishing, ticks: list[Tick]) -> None:
    process.publisher.register({tick.channel for tick in ticks})
    process.publisher.offer(ticks)


async def messages(redis: Redis, channel: str) -> list[Message]:
    entries: Any = await redis.xrange(log_key(channel))
    published = [Publication.decode(fields[b"m"]) for _, fields in entries]
    return [msgspec.json.decode(one.payload) for one in published]


async def seconds(redis: Redis) -> dict[int, Message]:
    """What was told last of each that is final."""
    told = [one for one in await messages(redis, SECONDS) if one["final"]]
    assert len({(one["start"], one.get("version", 1)) for one in told}) == len(told)
    return {one["start"] // 1_000_000: one for one in told}


async def agreed(redis: Redis, second: int, count: int, *markets: Market) -> dict[int, Message]:
    """So many whole seconds after one, once they have as many trades as there were."""

    async def found() -> dict[int, Message]:
        told = {at: one for at, one in (await seconds(redis)).items() if at > second}
        whole = {at: one for at, one in told.items() if "partial" not in one}
        traded = {at: sum(market.traded[at] for market in markets) for at in whole}
        assert all(one["n"] <= traded[at] for at, one in whole.items())
        is_all = all(one["n"] == traded[at] for at, one in whole.items())
        return whole if is_all and len(whole) >= count else {}

    return await until_answer(found, 40.0)


async def newest_price(redis: Redis) -> Message:
    return (await until_answer(lambda: messages(redis, PRICES)))[-1]


async def price_of_both(redis: Redis) -> Message | None:
    """The newest, where both venues vote on it."""
    price = await newest_price(redis)
    voters = sorted(one["venue"] for one in price["venues"] if one["in"])
    return price if voters == ["coinbase", "kraken"] else None


async def is_heard_whole(redis: Redis, market: Market) -> bool:
    """All trades of one that has fallen silent, also those that were still on their way."""
    second = max(market.traded)
    told = await messages(redis, f"candle.1s:{market.venue}:BTC-USD")
    last = [one["n"] for one in told if one["start"] == second * 1_000_000]
    return market.traded[second] in last


async def test_prices_and_candles_are_made_of_what_another_process_publishes_too(
    redis: Redis, redis_url: str, publish: Publishing
) -> None:
    async with (
        two_markets(redis_url) as (ours, theirs),
        deriving(redis, publish, ours, theirs, own={"coinbase"}) as feed,
    ):
        price = await until_answer(lambda: price_of_both(redis))
        for message in (b"x", b'e 1 - {"px":"a"}', b'e 1 - {"px":"-1","sz":"1"}'):
            await redis.publish("tickgate:{trade:kraken:BTC-USD}", message)
        await agreed(redis, now_us() // 1_000_000, 1, ours, theirs)
        assert feed.counts.restarts == 0
    assert price["state"] == "live"
    assert 100 < float(price["px"]) < 102.1
    own = await messages(redis, "candle.1s:kraken:BTC-USD")
    assert any(one["final"] for one in own)
    # Nothing of theirs was published a second time.
    trades = [one["id"] for one in await messages(redis, "trade:kraken:BTC-USD")]
    assert len(trades) == len(set(trades))


async def test_who_begins_beside_others_goes_on_from_what_they_have_published(
    redis: Redis, redis_url: str, publish: Publishing
) -> None:
    async with two_markets(redis_url) as (ours, theirs):
        async with deriving(redis, publish, ours, theirs, own={"coinbase"}):
            await agreed(redis, now_us() // 1_000_000, 1, ours, theirs)
        await drained(publish.publisher)
        before = set(await seconds(redis))
        async with (
            publishing_on(redis_url) as successor,
            deriving(redis, successor, ours, theirs, own={"coinbase"}),
        ):
            await agreed(redis, now_us() // 1_000_000, 1, ours, theirs)
            told = await seconds(redis)
    assert list(told) == list(range(min(before), max(told) + 1))


async def test_a_lost_connection_to_the_bus_loses_no_trade_of_others(
    redis: Redis, redis_url: str, publish: Publishing
) -> None:
    async with (
        two_markets(redis_url) as (ours, theirs),
        deriving(redis, publish, ours, theirs, own={"coinbase"}),
    ):
        await agreed(redis, now_us() // 1_000_000, 1, ours, theirs)
        second = now_us() // 1_000_000
        for _ in range(3):
            # Each as soon as it listens again.
            await until_answer(lambda: redis.client_kill_filter(_type="pubsub"))
        await agreed(redis, second - 1, 2, ours, theirs)


async def test_a_process_that_falls_silent_votes_no_more_and_its_candles_are_partial(
    redis: Redis, redis_url: str, publish: Publishing
) -> None:
    async with (
        two_markets(redis_url) as (ours, theirs),
        deriving(redis, publish, ours, theirs, own={"coinbase"}),
    ):
        await until_answer(lambda: price_of_both(redis))
        await agreed(redis, now_us() // 1_000_000, 1, ours, theirs)
        theirs.is_silent = True
        await until_answer(lambda: is_heard_whole(redis, theirs))
        silent = now_us() // 1_000_000

        async def is_out() -> bool:
            votes = (await newest_price(redis))["venues"]
            return {"venue": "kraken", "in": False, "out": "stale"} in votes

        await until_answer(is_out)

        async def is_partial() -> bool:
            told = await seconds(redis)
            return silent + 1 in told and all("partial" in told[at] for at in told if at > silent)

        await until_answer(is_partial)
        theirs.is_silent = False
        await until_answer(lambda: price_of_both(redis))
        await agreed(redis, now_us() // 1_000_000, 1, ours, theirs)


async def test_a_venue_that_comes_over_to_us_is_counted_once(
    redis: Redis, redis_url: str, publish: Publishing
) -> None:
    own = {"coinbase"}
    async with (
        two_markets(redis_url) as (ours, theirs),
        deriving(redis, publish, ours, theirs, own=own) as feed,
    ):
        await agreed(redis, now_us() // 1_000_000, 1, ours, theirs)
        own.add("kraken")
        theirs.sink = feed.offer
        second = now_us() // 1_000_000
        await until(lambda: feed.counts.restarts == 1)
        await agreed(redis, second + 1, 1, ours, theirs)
        everything = await seconds(redis)
    for at, candle in everything.items():
        assert candle["n"] <= ours.traded[at] + theirs.traded[at]


async def test_live_venues_of_others_never_enter_what_is_made_of_simulated_ones(
    redis: Redis, redis_url: str, publish: Publishing
) -> None:
    async with (
        two_markets(redis_url) as (_, theirs),
        deriving(
            redis, publish, Market("sim", "50", lambda _: None), theirs, own={"sim"}, simulated=True
        ) as feed,
    ):
        await until(lambda: "kraken" in (feed.status().reason or ""))
        price = await newest_price(redis)
        assert [one["venue"] for one in price["venues"]] == ["sim"]
        assert not await redis.exists(log_key("candle.1s:kraken:BTC-USD"))


async def test_feeds_processes_with_other_venues_are_derived_from_as_they_are_started(
    redis: Redis, redis_url: str
) -> None:
    market = FeedSettings(
        venues=("sim",),
        sim=SimSettings(symbols=1, ticks_per_s=200.0),
        derived=DerivedChoices(enabled=False),
    )
    async with VenueServer() as server:
        signals = SignalSettings(models=("trend",))
        settings = msgspec.structs.replace(
            binance_at(server.url), derived=DerivedChoices(signal=signals)
        )
        async with running(settings, redis_url), running(market, redis_url):
            told = await until_answer(
                lambda: messages(redis, "candle.1s:sim:BTC-USD"), limit_s=40.0
            )
    assert told[0]["n"] > 0
