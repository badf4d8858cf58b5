"""Make before break: the next socket gives data before the old one goes, without gap or double."""

import asyncio
from random import Random

import pytest
import uvloop

from feeds.market import SystemClock
from feeds.settings import ConnectionSettings
from feeds.venue_feed import VenueFeed
from tests.toy_venue import (
    QUICK,
    TOY,
    a_feed,
    a_trade,
    changed,
    live,
    payload_id,
    row_with,
    says,
    trade,
    wants,
)
from tests.venue_server import Side, TickList, VenueServer, running, until

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

PATIENT = changed(overlap_s=60.0)
"""The old socket is left for no reason but that the venue ends it."""


def ids(sink: TickList) -> list[int]:
    return [int(payload_id(tick)) for tick in sink.ticks]


async def asked(server: VenueServer) -> Side:
    """The next connection, once it has subscribed."""
    side = await server.next_side()
    await side.received()
    return side


async def test_the_next_socket_stands_before_the_old_one_is_left(
    server: VenueServer, sink: TickList
) -> None:
    async with running(a_feed(server, sink).run()):
        old = await live(server, sink, 1)
        await old.send(says(["bye", "24 hours are over"]))
        new = await asked(server)
        assert not old.gone.is_set()
        await old.send(trade(2))
        await sink.reach(2)
        assert not old.gone.is_set()
        await new.send(trade(2), trade(3))
        await old.is_left()
        await new.send(trade(4))
        await sink.reach(4)
    assert ids(sink) == [1, 2, 3, 4]
    assert server.accepted == 2


async def test_a_trade_on_both_comes_once_and_in_order_whoever_is_first(
    server: VenueServer, sink: TickList
) -> None:
    feed = a_feed(server, sink, settings=PATIENT)
    async with running(feed.run()):
        old = await live(server, sink, 1)
        await old.send(says(["bye", "soon"]))
        new = await asked(server)
        frames = feed.counts.frames
        # The new one is ahead.
        await new.send(*[trade(number) for number in range(2, 201)])
        await until(lambda: feed.counts.frames == frames + 199)
        await old.send(*[trade(number) for number in range(2, 151)])
        await sink.reach(150)
        await old.close(1001, "as announced")
        await new.send(*[trade(number) for number in range(201, 301)])
        await sink.reach(300)
        assert (feed.status().state, feed.status().reason) == ("live", None)
    assert ids(sink) == list(range(1, 301))


async def test_a_next_socket_that_can_not_be_had_costs_the_old_one_nothing(
    server: VenueServer, sink: TickList, caplog: pytest.LogCaptureFixture
) -> None:
    feed = a_feed(server, sink, settings=PATIENT)
    async with running(feed.run()):
        old = await live(server, sink, 1)
        await old.send(says(["bye", "soon"]))
        for number in range(2, 5):
            refused = await asked(server)
            refused.cut()
            await old.send(trade(number))
            await sink.reach(number)
            assert feed.status().state == "live"
        await server.next_side()
        await old.close(1001)
        await until(lambda: feed.status().state == "stale")
        assert feed.status().reason == "ends the connection (soon)"
    assert ids(sink) == [1, 2, 3, 4]
    kept = [text for text in caplog.messages if "the old one is kept" in text]
    assert kept == [
        "toy is about to end a connection, and the next can't be had yet; the old one is kept"
        " while it lasts"
    ]


async def test_a_next_socket_without_data_does_not_end_the_old_one(
    server: VenueServer, sink: TickList
) -> None:
    feed = a_feed(server, sink)
    async with running(feed.run()):
        old = await live(server, sink, 1)
        await old.send(says(["bye", "soon"]))
        new = await asked(server)
        await new.send(says(["ok"], ["beat"]))
        for number in range(2, 30):
            await old.send(trade(number))
            await sink.reach(number)
        assert not old.gone.is_set()
        await new.send(trade(29), trade(30))
        await old.is_left()
        await sink.reach(30)
    assert ids(sink) == list(range(1, 31))


async def test_a_known_lifetime_is_not_waited_for(server: VenueServer, sink: TickList) -> None:
    """Nobody announces anything; every connection is followed by another before its time."""
    feed = a_feed(server, sink, row=row_with(lifetime_s=0.3))
    async with running(feed.run()):
        sides = [await asked(server)]
        number = 0
        while len(sides) < 4:
            number += 1
            await sides[-1].send(trade(number))
            await sink.reach(number)
            if server.accepted > len(sides):
                sides.append(await asked(server))
                await sides[-1].send(trade(number))
                await sides[-2].is_left()
            await asyncio.sleep(0.01)
    assert ids(sink) == list(range(1, number + 1))
    assert feed.status().state == "live"


async def test_what_waits_is_bounded(server: VenueServer, sink: TickList) -> None:
    settings: ConnectionSettings = changed(PATIENT, overlap_ticks_max=50)
    async with running(a_feed(server, sink, settings=settings).run()):
        old = await live(server, sink, 1)
        await old.send(says(["bye", "soon"]))
        new = await asked(server)
        await new.send(*[trade(number) for number in range(2, 61)])
        await old.is_left()
        await sink.reach(60)
    assert ids(sink) == list(range(1, 61))


async def test_a_recording_has_one_connection_after_the_other(
    server: VenueServer, sink: TickList
) -> None:
    taped: list[str | bytes] = []
    feed = VenueFeed(
        TOY,
        wants("BTC-USD"),
        QUICK,
        sink,
        clock=SystemClock(),
        random=Random(7),
        url=server.url,
        tap=lambda frame, _: taped.append(frame),
    )
    async with running(feed.run()):
        old = await live(server, sink, 1)
        await old.send(says(["bye", "soon"]))
        await old.is_left()
        await live(server, sink, 2)
    assert taped == [trade(1), says(["bye", "soon"]), trade(2)]


async def test_only_the_connection_that_is_to_end_is_followed_by_another(
    server: VenueServer, sink: TickList
) -> None:
    feed = a_feed(server, sink, subscriptions=wants("A-USD", "B-USD", "C-USD"))
    async with running(feed.run()):
        first, second = await live(server, sink, 1), await live(server, sink, 2)
        await first.send(says(["bye", "soon"]))
        new = await asked(server)
        assert new.path == first.path
        await new.send(says(a_trade(3, "A-USD")))
        await first.is_left()
        assert not second.gone.is_set()
    assert QUICK.overlap_s < 1
    assert server.accepted == 3
