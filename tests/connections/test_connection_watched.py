"""Channels that are dead or torn beside others, and poisoned ticks, from a real socket."""

import pytest
import uvloop

from feeds.market import Missing, Trade
from feeds.venues import VENUES
from tests.manual_clock import ManualClock
from tests.toy_venue import a_feed, a_trade, live, payload_id, row_with, says, trade, wants
from tests.venue_server import Side, TickList, VenueServer, binance_trade, running, until

LOOPS = {"uvloop": uvloop.new_event_loop}

PAIRS = ("BTC-USD", "ETH-USD")
ASKED = [f"sub {symbol}" for symbol in PAIRS]
BTC = "trade:toy:BTC-USD"


async def asked_of(side: Side, count: int) -> list[str | bytes]:
    return [await side.received() for _ in range(count)]


async def beat(side: Side, sink: TickList, clock: ManualClock, seconds: int, *pairs: str) -> None:
    """A trade of each pair, second by second."""
    for _ in range(seconds):
        clock.advance(1.0)
        before = len(sink.ticks)
        await side.send(says(*(a_trade(1, pair) for pair in pairs)))
        await sink.reach(before + len(pairs))


async def test_a_channel_that_dies_beside_another_is_told_and_asked_for_again(
    server: VenueServer, sink: TickList, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    feed = a_feed(server, sink, subscriptions=wants(*PAIRS), clock=clock)
    async with running(feed.run()):
        side = await server.next_side()
        assert await asked_of(side, 2) == ASKED
        await beat(side, sink, clock, 30, *PAIRS)
        await beat(side, sink, clock, 10, "ETH-USD")
        assert await asked_of(side, 2) == ["unsub BTC-USD", "sub BTC-USD"]
        status = feed.status()
        assert (status.state, list(status.channels)) == ("live", [BTC])
        assert (status.channels[BTC].state, status.channels[BTC].by) == ("stale", "venue")
        await beat(side, sink, clock, 1, *PAIRS)
        assert feed.status().channels == {}
    assert server.accepted == 1
    assert [text.split(" is ")[0] for text in caplog.messages] == [BTC, BTC]


async def test_heartbeats_beside_channels_that_all_died_end_the_connection(
    server: VenueServer, sink: TickList, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    feed = a_feed(server, sink, subscriptions=wants(*PAIRS), clock=clock)
    async with running(feed.run()):
        side = await server.next_side()
        await beat(side, sink, clock, 30, *PAIRS)
        for frames in range(31, 39):
            clock.advance(1.0)
            await side.send(says(["beat"]))
            await until(lambda: feed.counts.frames == frames)  # noqa: B023
        # Long enough now: from here on it may be left at any moment.
        clock.advance(2.0)
        await side.is_left()
        await live(server, sink)
    assert any("sends no data any more (only heartbeats)" in text for text in caplog.messages)


async def test_a_hole_in_the_ids_is_missing_by_the_venue_and_only_that_pair_asked_for_again(
    server: VenueServer, sink: TickList
) -> None:
    feed = a_feed(server, sink, row=row_with(trade_ids="consecutive"), subscriptions=wants(*PAIRS))
    async with running(feed.run()):
        side = await server.next_side()
        assert await asked_of(side, 2) == ASKED
        await side.send(trade(1), trade(1, "ETH-USD"), trade(2), trade(6), trade(2, "ETH-USD"))
        ticks = await sink.reach(5)
        assert [tick.missing for tick in ticks] == [None, None, None, Missing("venue", 3), None]
        status = feed.status()
        assert {name: one.state for name, one in status.channels.items()} == {BTC: "resync"}
        assert await asked_of(side, 2) == ["unsub BTC-USD", "sub BTC-USD"]
        await until(lambda: feed.watches.counts.renewals == 1)
        await side.send(trade(7))
        await sink.reach(6)
        assert feed.status().channels == {}


async def test_what_the_parser_finds_torn_is_asked_for_again(
    server: VenueServer, sink: TickList
) -> None:
    feed = a_feed(server, sink, subscriptions=wants(*PAIRS))
    async with running(feed.run()):
        side = await server.next_side()
        assert await asked_of(side, 2) == ASKED
        await side.send(trade(1), trade(1, "ETH-USD"), says(["torn", "BTC-USD", "checksum"]))
        assert await asked_of(side, 2) == ["unsub BTC-USD", "sub BTC-USD"]
        assert feed.status().channels[BTC].reason == "checksum"


async def test_what_a_venue_repeats_after_a_reconnect_comes_once_and_the_rest_is_missing(
    server: VenueServer, sink: TickList
) -> None:
    feed = a_feed(server, sink, row=row_with(trade_ids="consecutive"))
    async with running(feed.run()):
        side = await live(server, sink, 1)
        await side.send(trade(2))
        await sink.reach(2)
        side.cut()
        side = await server.next_side()
        await side.send(trade(1), trade(2), trade(5), trade(6))
        ticks = await sink.reach(4)
        assert [payload_id(tick) for tick in ticks] == ["1", "2", "5", "6"]
        assert [tick.missing for tick in ticks[2:]] == [Missing("venue", 2), None]
        # It was asked for a moment ago: no cause to do so again.
        assert feed.status().channels == {}
    assert feed.watches.counts.found["duplicate"] == 2


async def test_an_outlier_is_passed_on_with_a_flag_and_told_once(
    server: VenueServer, sink: TickList, caplog: pytest.LogCaptureFixture
) -> None:
    feed = a_feed(server, sink)
    far = says(["trade", "BTC-USD", "1.00", "1", "buy", "2"])
    async with running(feed.run()):
        side = await live(server, sink)
        await side.send(far, trade(3), far, trade(4))
        ticks = await sink.reach(5)
    payloads = [tick.payload for tick in ticks]
    assert [one.suspect for one in payloads if isinstance(one, Trade)] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert feed.watches.counts.found["outlier"] == 2
    assert len([text for text in caplog.messages if "outlier" in text]) == 1


@pytest.mark.parametrize(
    ("price", "reason"),
    [("NaN", "not_a_number"), ("1e999", "not_a_number"), ("-5", "not_positive"), ("0.00", None)],
)
async def test_a_poisoned_price_of_a_real_venue_is_counted_by_its_reason(
    price: str, reason: str | None, server: VenueServer, sink: TickList
) -> None:
    feed = a_feed(server, sink, row=VENUES["binance"], subscriptions=wants("BTC-USDT"))
    async with running(feed.run()):
        side = await server.next_side()
        poisoned = binance_trade(2).replace("61000.10000000", price)
        await side.send(binance_trade(1), poisoned, binance_trade(3))
        ticks = await sink.reach(2)
    found = {name: count for name, count in feed.watches.counts.found.items() if count}
    assert found == {reason or "not_positive": 1}
    # Its id says that it is missing.
    assert [tick.missing for tick in ticks] == [None, Missing("venue", 1)]
    assert feed.counts.parse_errors == 1
