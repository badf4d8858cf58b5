"""The one runtime for all venues, against a real WebSocket server that misbehaves."""

import asyncio
import time

import pytest
import uvloop

from feeds.market import Channel, Trade
from feeds.venue_feed import shares
from tests.raw_venue import raw_venue, text
from tests.toy_venue import (
    ToyParser,
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
from tests.venue_server import TickList, VenueServer, running, until

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


async def test_a_trade_reaches_the_sink_with_the_time_of_its_receipt(
    server: VenueServer, sink: TickList
) -> None:
    before_us = time.time_ns() // 1_000
    async with running(a_feed(server, sink).run()):
        await live(server, sink, 995)
    [tick] = sink.ticks
    assert tick.channel == Channel("trade", "toy", "BTC-USD")
    assert isinstance(tick.payload, Trade)
    assert (tick.payload.price, tick.payload.size, tick.payload.id) == ("68900.50", "0.0015", "995")
    assert tick.payload.received_us is not None
    assert before_us <= tick.payload.received_us <= time.time_ns() // 1_000


async def test_it_asks_in_the_url_and_then_frame_by_frame_at_the_venues_pace(
    server: VenueServer, sink: TickList
) -> None:
    feed = a_feed(
        server,
        sink,
        row=row_with(subscribe_pace_s=60.0),
        subscriptions=wants("BTC-USD", "ETH-USD"),
    )
    async with running(feed.run()):
        side = await server.next_side()
        assert side.path == "/BTC-USD"
        assert await side.received() == "sub BTC-USD"
        # The next waits for its turn: what is answered meanwhile comes before it.
        await side.send(says(["echo", "pong 17"]))
        assert await side.received() == "pong 17"


async def test_more_subscriptions_than_a_connection_takes_are_split(
    server: VenueServer, sink: TickList
) -> None:
    feed = a_feed(server, sink, subscriptions=wants("A-USD", "B-USD", "C-USD"))
    async with running(feed.run()):
        # Whichever comes first.
        sides = {side.path: side for side in [await server.next_side(), await server.next_side()]}
        both, one = sides["/A-USD"], sides["/C-USD"]
        assert [await both.received(), await both.received()] == ["sub A-USD", "sub B-USD"]
        assert await one.received() == "sub C-USD"
    assert [channel.name for channel in feed.channels] == [
        "trade:toy:A-USD",
        "trade:toy:B-USD",
        "trade:toy:C-USD",
    ]


def test_shares_keep_the_order_and_leave_nothing_out() -> None:
    assert shares(wants("A-B", "C-D", "E-F"), 2) == [wants("A-B", "C-D"), wants("E-F")]


async def test_what_the_venue_wants_answered_is_answered(
    server: VenueServer, sink: TickList
) -> None:
    async with running(a_feed(server, sink).run()):
        side = await server.next_side()
        assert await side.received() == "sub BTC-USD"
        await side.send(says(["echo", "pong 17"]))
        assert await side.received() == "pong 17"


async def test_a_venue_that_wants_pings_gets_them(server: VenueServer, sink: TickList) -> None:
    row = row_with(ping_frame="ping", ping_interval_s=0.02)
    async with running(a_feed(server, sink, row=row).run()):
        side = await server.next_side()
        assert [await side.received() for _ in range(3)] == ["sub BTC-USD", "ping", "ping"]


async def test_a_frame_that_cannot_be_parsed_costs_that_frame_only(
    server: VenueServer, sink: TickList, caplog: pytest.LogCaptureFixture
) -> None:
    feed = a_feed(server, sink)
    async with running(feed.run()):
        side = await server.next_side()
        await side.send("<html>", b"\xff\x00", says(["what"]), trade(1))
        await sink.reach(1)
    assert (feed.counts.parse_errors, feed.counts.frames, feed.counts.reconnects) == (3, 4, 0)
    complaints = [text for text in caplog.messages if "can't be parsed" in text]
    assert len(complaints) == 1
    assert "<html>" in complaints[0]


async def test_a_refusal_is_told_once_counted_and_shown(
    server: VenueServer, sink: TickList, caplog: pytest.LogCaptureFixture
) -> None:
    feed = a_feed(server, sink)
    async with running(feed.run()):
        side = await server.next_side()
        await side.send(says(["no", "unknown pair FOO-BAR"]), says(["no", "unknown pair FOO-BAR"]))
        await until(lambda: feed.counts.refusals == 2)
        status = feed.status()
        assert (status.state, status.by) == ("waiting", "venue")
        assert status.reason == "refuses: unknown pair FOO-BAR"
    assert caplog.messages == ["toy refuses: unknown pair FOO-BAR"]


async def test_each_connection_gets_a_parser_of_its_own(
    server: VenueServer, sink: TickList
) -> None:
    made: list[str | None] = []

    def make(symbol: str | None) -> ToyParser:
        made.append(symbol)
        return ToyParser(symbol)

    async with running(a_feed(server, sink, row=row_with(parser=make)).run()):
        side = await live(server, sink)
        side.cut()
        await live(server, sink)
    assert made == ["BTC-USD", "BTC-USD"]


async def test_frames_that_come_faster_than_they_are_parsed_all_arrive_in_order(
    server: VenueServer, sink: TickList
) -> None:
    async with running(a_feed(server, sink, settings=changed(frames_queued_max=4)).run()):
        side = await server.next_side()
        await side.send(*[trade(number) for number in range(3_000)])
        ticks = await sink.reach(3_000)
    assert [payload_id(tick) for tick in ticks] == [str(number) for number in range(3_000)]


@pytest.mark.parametrize("end", [says(["bug"]), says(["bye", "maintenance"]), "not JSON"])
async def test_the_ticks_of_a_read_come_whatever_is_in_it_behind_them(
    sink: TickList, end: str
) -> None:
    read = b"".join(map(text, [trade(1), says(a_trade(2), ["beat"]), end]))
    once = changed(backoff_first_s=60.0, backoff_max_s=60.0, steady_after_s=60.0)
    # It is stopped just as its connection fails, too, and has to stop.
    async with raw_venue(read) as venue, running(a_feed(venue, sink, settings=once).run()):
        ticks = await sink.reach(2)
        assert [payload_id(tick) for tick in ticks[:2]] == ["1", "2"]
        # Of one read, so received at one time.
        assert len({tick.payload.received_us for tick in ticks[:2]}) == 1
