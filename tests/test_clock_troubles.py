"""What stamps tell of clocks: who is behind is named, once per incident; so is our own clock."""

import asyncio
from collections.abc import Iterable

import pytest
from redis.asyncio import Redis

from feeds.derived.candles import CANDLES
from feeds.derived.settings import DerivedSettings
from feeds.deriving.clock_troubles import ClockTroubles
from feeds.deriving.derived_feed import DerivedFeed
from feeds.market import Channel, SystemClock, Tick, Trade
from tests.gateway_server import Publishing
from tests.until import until

SECOND_US = 1_000_000
BEHIND = "coinbase is 120 s behind other venues: candles of all together wait for it 5 s at most"


def looked(**ahead_s: float) -> list[str]:
    stamped_us = {venue: round(ahead * SECOND_US) for venue, ahead in ahead_s.items()}
    return ClockTroubles(5 * SECOND_US).look(stamped_us, 0.0)


def test_clocks_that_agree_are_no_trouble() -> None:
    assert looked() == []
    assert looked(kraken=-0.03) == []
    assert looked(kraken=1.3, coinbase=-3.6) == []


def test_a_venue_that_is_behind_the_others_is_named() -> None:
    assert looked(kraken=0.0, coinbase=-120) == [BEHIND]


def test_stamps_of_one_venue_from_far_ahead_leave_nobody_behind() -> None:
    assert looked(kraken=10**6, coinbase=-0.1) == []
    assert looked(kraken=10**6, coinbase=2.5) != []


@pytest.mark.parametrize(
    ("ahead_s", "sentence"),
    [
        (
            3.0,
            "this machine's clock is slow by about 3.0 s: the stamps of all venues lie ahead of it",
        ),
        (
            -9.0,
            "this machine's clock is fast by about 9.0 s: the stamps of all venues lie behind it",
        ),
    ],
)
def test_where_all_stamps_are_off_it_is_this_machines_clock(ahead_s: float, sentence: str) -> None:
    assert looked(kraken=ahead_s + 0.02, coinbase=ahead_s, bitstamp=ahead_s - 0.3) == [sentence]


def test_who_is_behind_is_named_also_where_our_clock_is_off() -> None:
    ours, behind = looked(kraken=-9, coinbase=-129, bitstamp=-9)
    assert "fast by about 9.0 s" in ours
    assert behind == BEHIND


def test_of_one_venue_alone_nobody_can_tell_whose_clock_is_wrong() -> None:
    assert looked(kraken=3) == [
        "the stamps of kraken lie 3.0 s ahead of this machine's clock: one of the two is wrong"
    ]


def test_each_incident_is_told_once_and_stands_in_the_status_while_it_lasts() -> None:
    troubles = ClockTroubles(5 * SECOND_US)
    slow, well = {"kraken": 0, "coinbase": -120 * SECOND_US}, {"kraken": 0, "coinbase": 0}
    assert [troubles.look(slow, float(now_s)) for now_s in range(100)] == [[BEHIND]] + [[]] * 99
    assert troubles.sentences == [BEHIND]
    assert troubles.look(well, 110.0) == []
    assert troubles.sentences == []
    assert troubles.look(slow, 120.0) == []
    assert troubles.look(well, 121.0) == []
    assert troubles.look(slow, 190.0) == [BEHIND]


async def test_the_log_and_the_status_of_what_is_derived_name_a_venue_that_is_behind(
    redis: Redis, publish: Publishing, caplog: pytest.LogCaptureFixture
) -> None:
    publisher, clock = publish.publisher, SystemClock()
    venues = ("kraken", "coinbase")
    feed = DerivedFeed((CANDLES,), DerivedSettings(), venues, publisher, redis, clock=clock)
    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        await feed.load()
        tasks = [group.create_task(feed.run()), group.create_task(trade_always(feed, venues))]
        await until(lambda: "coinbase is 120 s behind" in (feed.status().reason or ""))
        assert feed.status().state == "live"
        for task in tasks:
            task.cancel()
    assert sum("coinbase is 120 s behind" in line for line in caplog.messages) == 1


async def trade_always(feed: DerivedFeed, venues: Iterable[str]) -> None:
    for number in range(100_000):
        at_us = SystemClock().now_ns() // 1_000
        for venue in venues:
            venue_us = at_us - (120 * SECOND_US if venue == "coinbase" else 0)
            trade = Trade("100", "1", "buy", str(number), venue_us, at_us)
            feed.offer([Tick(Channel("trade", venue, "BTC-USD"), trade)])
        await asyncio.sleep(0.05)
