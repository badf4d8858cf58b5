"""Kraken's quotes by its book, from a real socket: what fails its checksum is a gap by the venue
and a resync of that pair only.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from random import Random

import pytest
import uvloop
from redis.asyncio import Redis

from feeds.chosen import venue_feed
from feeds.derived.settings import DerivedChoices
from feeds.feeds_at_work import FeedsAtWork
from feeds.market import Clock, Missing, Quote, SystemClock, Tick
from feeds.metrics import METRICS
from feeds.run import run_feeds
from feeds.settings import ConnectionSettings, FeedSettings, VenueSettings
from feeds.venue_feed import VenueFeed
from feeds.watching.watch import RENEWAL_FIRST_S
from tests.gateway_server import GatewayServer
from tests.kraken_venue import KrakenSide, PairBook
from tests.manual_clock import ManualClock
from tests.stream_client import Client, Message
from tests.test_feeds_run import reach
from tests.venue_server import DEADLINE_S, TickList, VenueServer, running, until

LOOPS = {"uvloop": uvloop.new_event_loop}

PAIRS = {"BTC-USD": "64525.5", "ETH-USD": "3094.50", "SOL-USD": "151.505"}
QUOTES = {symbol: f"quote:kraken:{symbol}" for symbol in PAIRS}
BTC, ETH, SOL = QUOTES.values()
ASKED_ETH_AGAIN = [("unsubscribe", "book", ["ETH/USD"]), ("subscribe", "book", ["ETH/USD"])]


def settings_for(url: str) -> FeedSettings:
    quick = ConnectionSettings(backoff_first_s=0.001, backoff_max_s=0.05, close_limit_s=0.3)
    chosen = VenueSettings(url, tuple(PAIRS), quotes="book")
    return FeedSettings(
        venues=("kraken",),
        venue={"kraken": chosen},
        connection=quick,
        derived=DerivedChoices(enabled=False),
    )


@pytest.fixture
async def server() -> AsyncIterator[VenueServer]:
    async with VenueServer() as started:
        yield started


@pytest.fixture
def sink() -> TickList:
    return TickList()


@contextlib.asynccontextmanager
async def running_feeds(settings: FeedSettings, redis_url: str) -> AsyncIterator[FeedsAtWork]:
    """A feeds process, in this one."""
    stopping, looked_at = asyncio.Event(), asyncio.Queue[FeedsAtWork]()
    async with asyncio.timeout(2 * DEADLINE_S), asyncio.TaskGroup() as group:
        group.create_task(
            run_feeds(
                settings,
                redis_url,
                clock=SystemClock(),
                random=Random(7),
                stopping=stopping,
                beside=looked_at.put,
            )
        )
        try:
            yield await looked_at.get()
        finally:
            stopping.set()


def faults_told(at_work: FeedsAtWork) -> Mapping[tuple[str, ...], float]:
    (metric,) = (row for row in METRICS if row.name == "tickgate_feed_faults_total")
    reading = metric.read(at_work)
    assert isinstance(reading, Mapping)
    return reading


@contextlib.asynccontextmanager
async def next_side(server: VenueServer, *, spoilt: str = "") -> AsyncIterator[KrakenSide]:
    """Kraken's end of the next connection, at work."""
    books = [
        PairBook(symbol.replace("-", "/"), Decimal(centre)) for symbol, centre in PAIRS.items()
    ]
    side = KrakenSide(await server.next_side(), books, spoilt=spoilt)
    async with running(side.serve()):
        yield side


def told_of(heard: list[Message], channel: str) -> list[str]:
    """What a subscriber heard of a channel: its quotes' seqs and sizes, and gaps."""
    told = []
    for message in heard:
        match message:
            case {"ch": ch, "type": "gap"} if ch == channel:
                told.append(f"gap {message['from']}-{message['to']} by {message['by']}")
            case {"ch": ch, "seq": seq} if ch == channel:
                told.append(f"{seq}: {message['bid_sz']}")
    return told


def is_resync(told: Message) -> bool:
    return (told.get("type"), told.get("state"), told.get("by")) == ("state", "resync", "venue")


async def is_live_again(client: Client) -> None:
    """Returns when the last state told of ETH is live."""
    states = [
        told["state"]
        for told in client.heard
        if (told.get("ch"), "state") == (ETH, told.get("type"))
    ]
    if states[-1] != "live":
        await client.state(ETH, "live")


async def hear_quote(client: Client, channel: str, seq: int) -> None:
    """Returns when it was heard, perhaps long ago."""
    is_it = {"ch": channel, "seq": seq}.items()
    if not any(is_it <= told.items() for told in client.heard):
        await client.hear_until(lambda told: is_it <= told.items())


async def test_of_three_pairs_one_fails_its_checksum_and_only_that_one_is_told_and_mended(
    redis: Redis, redis_url: str, gateway: GatewayServer, server: VenueServer
) -> None:
    async with (
        running_feeds(settings_for(server.url), redis_url) as at_work,
        next_side(server) as kraken,
    ):
        btc, eth, sol = kraken.books.values()
        for channel in QUOTES.values():
            await reach(redis, channel, bool)
        async with gateway.client() as client:
            await client.subscribe(*QUOTES.values(), rate="all")
            for book in (btc, eth, sol):
                await kraken.side.send(book.bid("2.00000000"))
            kraken.answers.clear()
            await kraken.side.send(eth.bid("3.00000000", off=1), btc.bid("3.00000000"))
            if not any(map(is_resync, client.heard)):
                await client.hear_until(is_resync)
            # What still comes of it before its snapshot is not believed, right or wrong.
            await kraken.side.send(eth.bid("4.00000000"), sol.bid("3.00000000"))
            await hear_quote(client, SOL, 3)
            kraken.answers.set()
            await hear_quote(client, ETH, 4)
            await kraken.side.send(eth.bid("5.00000000"), btc.bid("4.00000000"))
            await hear_quote(client, ETH, 5)
            await hear_quote(client, BTC, 4)
            await is_live_again(client)
            heard = client.heard
        newest = (await reach(redis, ETH, bool))[-1]
        assert faults_told(at_work)["kraken", "torn"] == 1
    assert told_of(heard, ETH)[-4:] == [
        "2: 2.00000000",
        "gap 3-3 by venue",
        "4: 4.00000000",
        "5: 5.00000000",
    ]
    assert told_of(heard, BTC)[-3:] == ["2: 2.00000000", "3: 3.00000000", "4: 4.00000000"]
    assert told_of(heard, SOL)[-2:] == ["2: 2.00000000", "3: 3.00000000"]
    assert {told["ch"] for told in heard if is_resync(told)} == {ETH}
    assert (newest["bid"], newest["ask"], newest["bid_sz"], newest["ask_sz"]) == eth.best
    assert kraken.asked[2:] == ASKED_ETH_AGAIN
    assert server.accepted == 1


def a_feed(server: VenueServer, sink: TickList, clock: Clock | None = None) -> VenueFeed:
    """As `tickgate feeds` makes it, but for the clock."""
    return venue_feed(
        "kraken", settings_for(server.url), sink, clock=clock or SystemClock(), random=Random(7)
    )


def said(tick: Tick) -> tuple[str, str | None, Missing | None]:
    assert isinstance(tick.payload, Quote)
    return tick.channel.name, tick.payload.bid_size, tick.missing


async def test_a_pair_that_fails_again_and_again_is_asked_for_at_longer_and_longer_intervals(
    server: VenueServer, sink: TickList
) -> None:
    clock = ManualClock()
    feed = a_feed(server, sink, clock)

    async def go_on(kraken: KrakenSide, seconds: int) -> None:
        """A quote a second of the other pairs."""
        for _ in range(seconds):
            clock.advance(1.0)
            before = len(sink.ticks)
            for symbol in ("BTC/USD", "SOL/USD"):
                await kraken.side.send(kraken.books[symbol].bid(f"{before + 1}.00000000"))
            await sink.reach(before + 2)

    async with running(feed.run()), next_side(server) as kraken:
        eth = kraken.books["ETH/USD"]
        await sink.reach(3)
        await kraken.side.send(eth.bid("2.00000000", off=1))
        await kraken.asked_for(4)
        await until(lambda: feed.status().channels == {} and feed.watches.counts.renewals == 1)
        await kraken.side.send(eth.bid("3.00000000", off=1))
        await until(lambda: feed.watches.counts.torn == 2)
        await go_on(kraken, int(RENEWAL_FIRST_S) - 1)
        # Another pair's is asked for at once, and it comes after this one.
        await kraken.side.send(kraken.books["SOL/USD"].bid("9.50000000", off=1))
        await kraken.asked_for(6)
        assert kraken.asked[4:] == [
            ("unsubscribe", "book", ["SOL/USD"]),
            ("subscribe", "book", ["SOL/USD"]),
        ]
        state = feed.status().channels[ETH]
        assert (state.state, state.by, state.reason) == ("resync", "venue", "fails its checksum")
        await until(lambda: feed.watches.counts.renewals == 2 and SOL not in feed.status().channels)
        await go_on(kraken, 2)
        assert (await kraken.asked_for(8))[6:] == ASKED_ETH_AGAIN
        await until(lambda: feed.status().channels == {})
    of_eth = [said(tick) for tick in sink.ticks if tick.channel.name == ETH]
    assert of_eth == [
        (ETH, "1.00000000", None),
        (ETH, "2.00000000", Missing("venue", 1)),
        (ETH, "3.00000000", Missing("venue", 1)),
    ]
    assert feed.watches.counts.renewals == 3
    assert feed.counts.reconnects == 0


async def test_a_pair_whose_first_snapshot_fails_is_asked_for_again_at_once(
    server: VenueServer, sink: TickList
) -> None:
    feed = a_feed(server, sink)
    async with running(feed.run()), next_side(server, spoilt="ETH/USD") as kraken:
        assert (await kraken.asked_for(4))[2:] == ASKED_ETH_AGAIN
        ticks = await sink.reach(3)
        await until(lambda: feed.watches.states()["live"] == 3)
    assert {said(tick) for tick in ticks} == {
        (BTC, "1.00000000", None),
        (ETH, "1.00000000", Missing("venue", 1)),
        (SOL, "1.00000000", None),
    }
    assert (feed.watches.counts.torn, feed.watches.counts.renewals) == (1, 1)


async def test_a_connection_lost_while_a_book_is_torn_tells_the_gap_with_the_next_one(
    server: VenueServer, sink: TickList
) -> None:
    feed = a_feed(server, sink)
    async with running(feed.run()):
        async with next_side(server) as kraken:
            await sink.reach(3)
            kraken.answers.clear()
            await kraken.side.send(kraken.books["ETH/USD"].bid("2.00000000", off=1))
            await until(lambda: feed.watches.counts.torn == 1)
            kraken.side.cut()
        async with next_side(server):
            ticks = await sink.reach(6)
            await until(lambda: feed.watches.states()["live"] == 3)
    assert {said(tick) for tick in ticks[3:]} == {
        (BTC, "1.00000000", None),
        (ETH, "1.00000000", Missing("venue", 1)),
        (SOL, "1.00000000", None),
    }
    assert feed.watches.counts.renewals == 0
