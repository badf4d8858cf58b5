"""OKX from a real socket: make before break at its notice, text pings, and what it refuses."""

import asyncio
import json
from collections.abc import Sequence

import msgspec
import pytest
import uvloop
from redis.asyncio import Redis

from feeds.market import Missing, Publication, Quote, Tick, Trade
from feeds.market.bus_names import log_key
from feeds.settings import ConnectionSettings, FeedSettings, VenueSettings
from feeds.venue import Subscription, Venue
from feeds.venue_feed import VenueFeed
from feeds.venues import VENUES
from tests.okx_server import OkxSide, next_okx_side, quote, trade
from tests.test_feeds_run import messages, reach
from tests.test_feeds_run import running as running_feeds
from tests.toy_venue import QUICK, a_feed, changed
from tests.venue_server import TickList, VenueServer, running, until

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

ROW = VENUES["okx"]
PATIENT = changed(overlap_s=60.0)
"""The old socket is left for no reason but that OKX ends it."""

BTC, BTC_QUOTES = "trade:okx:BTC-USDT", "quote:okx:BTC-USDT"


def okx_feed(
    server: VenueServer,
    sink: TickList,
    *symbols: str,
    settings: ConnectionSettings = QUICK,
    row: Venue = ROW,
) -> VenueFeed:
    wanted = [
        Subscription(kind, symbol) for symbol in symbols or ("BTC-USDT",) for kind in row.kinds
    ]
    url = server.url + "/ws/v5/public"
    return a_feed(url, sink, row=row, subscriptions=wanted, settings=settings)


def ids(ticks: Sequence[Tick]) -> list[int]:
    return [int(tick.payload.id) for tick in ticks if isinstance(tick.payload, Trade)]


def bids(ticks: Sequence[Tick]) -> list[int]:
    return [int(tick.payload.bid) for tick in ticks if isinstance(tick.payload, Quote)]


async def live(server: VenueServer, sink: TickList, id_: int = 1) -> OkxSide:
    """A connection that has given its first trade."""
    okx = await next_okx_side(server)
    before = len(sink.ticks)
    await okx.side.send(trade(id_))
    await sink.reach(before + 1)
    return okx


async def test_all_channels_are_asked_for_in_one_request(
    server: VenueServer, sink: TickList
) -> None:
    feed = okx_feed(server, sink, "BTC-USDT", "ETH-USDT")
    async with running(feed.run()):
        okx = await next_okx_side(server, "BTC-USDT", "ETH-USDT")
        await okx.side.send(trade(1), quote(7, "ETH-USDT"))
        ticks = await sink.reach(2)
    assert okx.side.path == "/ws/v5/public"
    assert okx.requests == [
        (
            "subscribe",
            [
                ("trades", "BTC-USDT"),
                ("bbo-tbt", "BTC-USDT"),
                ("trades", "ETH-USDT"),
                ("bbo-tbt", "ETH-USDT"),
            ],
        )
    ]
    assert [tick.channel.name for tick in ticks] == [BTC, "quote:okx:ETH-USDT"]
    assert (feed.counts.refusals, feed.counts.parse_errors) == (0, 0)


async def test_before_the_announced_end_the_next_socket_stands_and_the_old_one_is_left_then(
    server: VenueServer, sink: TickList
) -> None:
    feed = okx_feed(server, sink)
    async with running(feed.run()):
        old = await live(server, sink, 1)
        await old.announce_the_end()
        new = await next_okx_side(server)
        assert not old.side.gone.is_set()
        await old.side.send(trade(2), quote(11), trade(5, fills=3))
        await sink.reach(4)
        assert not old.side.gone.is_set()
        # OKX begins with the last trade.
        await new.side.send(trade(5, fills=3), trade(6), quote(12))
        await old.side.is_left()
        await new.side.send(trade(8, fills=2))
        ticks = await sink.reach(7)
        assert feed.status().state == "live"
    assert ids(ticks) == [1, 2, 5, 6, 8]
    assert bids(ticks) == [80_011, 80_012]
    assert [tick.missing for tick in ticks] == [None] * 7
    assert server.accepted == 2


async def test_whichever_socket_is_ahead_all_trades_come_once_and_in_order(
    server: VenueServer, sink: TickList
) -> None:
    feed = okx_feed(server, sink, settings=PATIENT)
    async with running(feed.run()):
        old = await live(server, sink, 1)
        await old.announce_the_end()
        new = await next_okx_side(server)
        await new.side.send(*[trade(id_) for id_ in range(1, 201)])
        # With a trade and a notice of the old one, and two answers to each.
        await until(lambda: feed.counts.frames >= 200 + 2 + 4)
        await old.side.send(*[trade(id_) for id_ in range(2, 151)])
        await sink.reach(150)
        await old.side.close(1001, "service upgrade")
        await new.side.send(*[trade(id_) for id_ in range(201, 301)])
        ticks = await sink.reach(300)
        assert (feed.status().state, feed.status().reason) == ("live", None)
    assert ids(ticks) == list(range(1, 301))
    assert not any(tick.missing for tick in ticks)


async def test_what_came_between_two_sockets_is_missing_and_counted_in_trades(
    server: VenueServer, sink: TickList
) -> None:
    async with running(okx_feed(server, sink).run()):
        old = await live(server, sink, 10)
        old.side.cut()
        new = await next_okx_side(server)
        await new.side.send(trade(10), trade(16, fills=2))
        ticks = await sink.reach(2)
    assert ids(ticks) == [10, 16]
    assert [tick.missing for tick in ticks] == [None, Missing("venue", 4)]


async def test_a_symbol_that_okx_does_not_trade_is_named_and_the_others_live(
    server: VenueServer, sink: TickList, caplog: pytest.LogCaptureFixture
) -> None:
    feed = okx_feed(server, sink, "NO-USDT", "BTC-USDT")
    async with running(feed.run()):
        okx = await next_okx_side(server, "BTC-USDT")
        await okx.side.send(trade(1), quote(1))
        await sink.reach(2)
        await until(lambda: feed.status().state == "live")
        assert feed.counts.refusals == 2
        await okx.side.send(trade(2))
        ticks = await sink.reach(3)
    assert ids(ticks) == [1, 2]
    assert server.accepted == 1
    assert [text for text in caplog.messages if "refuses" in text] == [
        f"okx refuses: Wrong URL or channel:{channel},instId:NO-USDT doesn't exist (code 60018)"
        for channel in ("trades", "bbo-tbt")
    ]


async def test_a_text_ping_is_answered_by_text_and_keeps_a_quiet_connection(
    server: VenueServer, sink: TickList, caplog: pytest.LogCaptureFixture
) -> None:
    row = msgspec.structs.replace(ROW, ping_interval_s=0.02)
    feed = okx_feed(server, sink, row=row)
    async with running(feed.run()):
        okx = await live(server, sink)
        while okx.pings < 5:
            await okx.answer()
        await until(lambda: feed.counts.frames >= 1 + 2 + 5)
        assert not okx.side.gone.is_set()
        await okx.side.send(trade(2))
        await sink.reach(2)
    assert server.accepted == 1
    assert feed.counts.parse_errors == 0
    assert not any("can't be parsed" in text for text in caplog.messages)


async def test_a_hole_has_only_that_channel_asked_for_again_at_okx_pace(
    server: VenueServer, sink: TickList
) -> None:
    feed = okx_feed(server, sink, "BTC-USDT", "ETH-USDT")
    async with running(feed.run()):
        okx = await next_okx_side(server, "BTC-USDT", "ETH-USDT")
        await okx.side.send(trade(1), trade(1, "ETH-USDT"), trade(9, fills=5))
        ticks = await sink.reach(3)
        assert ticks[2].missing == Missing("venue", 3)
        await okx.ask_away(3)
        # The last trade comes again with the subscription.
        await okx.side.send(trade(9, fills=5), trade(10))
        ticks = await sink.reach(4)
    assert okx.requests[1:] == [
        (operation, [("trades", "BTC-USDT")]) for operation in ("unsubscribe", "subscribe")
    ]
    assert ids(ticks) == [1, 1, 9, 10]
    assert ticks[3].missing is None
    assert server.accepted == 1


async def test_quotes_go_on_where_maintenance_has_set_their_numbers_back(
    server: VenueServer, sink: TickList
) -> None:
    feed = okx_feed(server, sink)
    async with running(feed.run()):
        okx = await next_okx_side(server)
        start_ms = 1_700_000_000_000
        await okx.side.send(
            quote(500, at_ms=start_ms),
            quote(500, at_ms=start_ms + 60_000),  # nothing has changed
            quote(499, at_ms=start_ms + 60_000),  # older
            quote(3, at_ms=start_ms + 90_000),  # set back
            quote(5, at_ms=start_ms + 90_010),
            quote(4, at_ms=start_ms + 90_010),  # older
            quote(6, at_ms=start_ms + 90_020),
        )
        ticks = await sink.reach(5)
        found = feed.watches.counts.found
    assert bids(ticks) == [80_500, 80_500, 80_003, 80_005, 80_006]
    assert found["outdated"] == 2


async def test_from_its_socket_to_the_bus_a_service_upgrade_leaves_no_gap(
    redis: Redis, redis_url: str
) -> None:
    async with VenueServer() as server:
        settings = FeedSettings(
            venues=("okx",),
            venue={"okx": VenueSettings(url=server.url, symbols=("BTC-USDT",))},
            connection=PATIENT,
        )
        async with running_feeds(settings, redis_url):
            old = await next_okx_side(server)
            await old.side.send(trade(1), quote(1), trade(3, fills=2))
            await reach(redis, BTC, lambda found: len(found) == 2)
            await old.announce_the_end()
            new = await next_okx_side(server)
            await new.side.send(trade(3, fills=2), quote(1), trade(4))
            await old.side.send(trade(4), trade(5))
            await new.side.send(trade(5), trade(6), quote(2))
            await reach(redis, BTC, lambda found: len(found) >= 4)
            await old.side.close(1001, "service upgrade")
            await reach(redis, BTC, lambda found: len(found) >= 5)
            quotes = await reach(redis, BTC_QUOTES, lambda found: found[-1]["bid"] == "80002")
            statuses = await messages(redis, "status:okx:VENUE")
            entries = await redis.xrange(log_key(BTC))
    published = [Publication.decode(fields[b"m"]) for _, fields in entries]
    assert [json.loads(one.payload)["id"] for one in published] == ["1", "3", "4", "5", "6"]
    assert [one.seq for one in published] == [published[0].seq + place for place in range(5)]
    assert {one.missing for one in published} == {None}
    assert {quote_["bid"] for quote_ in quotes} == {"80001", "80002"}
    assert {status["state"] for status in statuses} == {"waiting", "live"}
