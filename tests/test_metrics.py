"""What an operator can read: numbers that move as messages do."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from functools import partial
from random import Random

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from feeds.derived.settings import DerivedChoices
from feeds.derived.signal_settings import SignalSettings
from feeds.feeds_at_work import FeedsAtWork
from feeds.market import SystemClock
from feeds.market.bus_names import topic
from feeds.market.metric import DELAY_BOUNDS_S, Histogram
from feeds.metrics import METRICS as FEEDS_METRICS
from feeds.run import run_feeds
from feeds.settings import ConnectionSettings, FeedSettings, VenueSettings
from gateway.access.keys import KeyRecord
from gateway.admin.listener import PROCESS_METRICS, Table
from gateway.bus.counts import BusCounts
from gateway.metrics import METRICS as GATEWAY_METRICS
from gateway.metrics import Observed, observed
from tests.conftest import RedisServer, in_one_task
from tests.gateway_server import GatewayServer, Publishing, changed, gateway_on
from tests.manual_clock import ManualClock
from tests.scrape import Page, becomes, listener, listening, scrape
from tests.stream_client import refusal_of
from tests.ticks import BTC, ETH, trades
from tests.until import until
from tests.venue_server import VenueServer, binance_trade

LOOPS = {"uvloop": uvloop.new_event_loop}

ALL = (*PROCESS_METRICS, *GATEWAY_METRICS, *FEEDS_METRICS)


def table_of(gateway: GatewayServer) -> Table[Observed]:
    connections = gateway.server.server_state.connections
    return Table(GATEWAY_METRICS, lambda: observed(gateway.worker, connections))


@pytest.fixture
async def admin_url(gateway: GatewayServer) -> AsyncIterator[str]:
    """The admin listener of the gateway under test."""
    async with in_one_task(listening(listener(), table_of(gateway))) as url:
        yield url


async def test_messages_are_counted_as_they_flow(
    gateway: GatewayServer, publish: Publishing, admin_url: str
) -> None:
    await publish([*trades(1, 1), *trades(1, 1, ETH)])
    async with gateway.client() as client, gateway.client() as other:
        await client.subscribe(BTC.name, ETH.name)
        await other.subscribe(BTC.name)
        before = await scrape(admin_url)
        await publish(trades(2, 11))
        await client.data(10)
        await other.data(10)
        page = await scrape(admin_url)
    assert page["tickgate_connections"] == 2
    assert page["tickgate_sessions"] == 2
    assert page["tickgate_subscriptions"] == 3
    assert page.of("tickgate_channels", state="live") == 2
    assert page["tickgate_bus_up"] == 1
    assert page["tickgate_draining"] == 0
    grown = {
        name: page[name] - before[name]
        for name in (
            "tickgate_messages_in_total",
            "tickgate_messages_out_total",
            "tickgate_conflated_messages_total",
            "tickgate_duplicate_messages_total",
            "tickgate_outbox_messages",
        )
    }
    assert grown == {
        "tickgate_messages_in_total": 10,
        "tickgate_messages_out_total": 20,
        "tickgate_conflated_messages_total": 0,
        "tickgate_duplicate_messages_total": 0,
        "tickgate_outbox_messages": 0,
    }
    assert page["tickgate_bytes_out_total"] - before["tickgate_bytes_out_total"] > 20 * 100
    assert page["tickgate_bus_bytes_in_total"] - before["tickgate_bus_bytes_in_total"] > 10 * 100
    assert page["tickgate_bus_lag_seconds_count"] > before["tickgate_bus_lag_seconds_count"]
    left = await becomes(admin_url, lambda page: page["tickgate_sessions"] == 0)
    assert left["tickgate_subscriptions"] == 0


async def test_what_is_missing_is_counted_by_whose_fault_it_is(
    gateway: GatewayServer, publish: Publishing, redis: Redis, admin_url: str
) -> None:
    await publish(trades(1, 1))
    async with gateway.client() as client:
        (accepted,) = await client.subscribe(BTC.name)
        for text in ("3 - {}", "6 venue:2 {}", "9 feed:2 {}", "9 - {}", "not a message"):
            await redis.publish(topic(BTC.name), f"{accepted['epoch']} {text}")
        await client.hear_until(lambda told: told.get("seq") == 9)
        page = await becomes(admin_url, lambda page: page["tickgate_unsound_messages_total"] == 1)
    missing = {
        by: page.of("tickgate_missing_messages_total", by=by)
        for by in ("venue", "feed", "bus", "gateway", "slow")
    }
    assert missing == {"venue": 2, "feed": 2, "bus": 1, "gateway": 0, "slow": 0}
    assert page["tickgate_duplicate_messages_total"] == 1


async def test_refusals_are_counted_by_their_codes(gateway: GatewayServer, admin_url: str) -> None:
    async with gateway.client() as client:
        await client.ask("subscribe", channels=["nonsense", "trade:nowhere:BTC-USD"])
        await client.ask("subscribe", channels=[])
    page = await scrape(admin_url)
    codes = ("bad_channel", "unknown_venue", "bad_message", "rate_limited")
    counted = [page.of("tickgate_refusals_total", code=code) for code in codes]
    assert counted == [1, 1, 1, 0]


async def test_upgrades_that_are_refused_and_closes_are_counted_by_their_codes(
    gateway: GatewayServer, admin_url: str
) -> None:
    await refusal_of(gateway.url, headers={"X-API-Key": "none"})
    async with gateway.client():
        pass
    page = await becomes(admin_url, lambda page: page.of("tickgate_closes_total", code="1000") == 1)
    assert page.of("tickgate_refused_upgrades_total", code="auth_failed") == 1
    assert page.of("tickgate_closes_total", code="4105") == 0


async def test_keys_that_could_not_be_read_are_counted(
    redis_server: RedisServer, gateway: GatewayServer, admin_url: str
) -> None:
    before = await scrape(admin_url)
    redis_server.kill()
    await refusal_of(gateway.url, headers={"X-API-Key": KeyRecord.made("", "pro", 0)[1]})
    page = await becomes(admin_url, lambda page: page["tickgate_bus_up"] == 0)
    assert page["tickgate_key_failures_total"] >= 1
    assert page["tickgate_bus_losses_total"] == before["tickgate_bus_losses_total"] + 1


async def published_until(url: str, publish: Publishing, reached: Callable[[Page], bool]) -> Page:
    """The page, once it says so: as long as the kernel takes more, a client is not slow yet."""
    page, last = await scrape(url), 1
    async with asyncio.timeout(40):
        while not reached(page):
            await publish(trades(last + 1, last + 2_000))
            page, last = await scrape(url), last + 2_000
    return page


async def test_a_client_that_does_not_read_is_seen_to_lag(
    redis_url: str, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    settings = changed(outbox_messages_max=100, outbox_age_max_s=600.0, slow_limit_s=600.0)
    async with gateway_on(redis_url, settings) as gateway, gateway.client() as client:
        await client.subscribe(BTC.name)
        client.transport.pause_reading()

        def lags(page: Page) -> bool:
            lost = page.of("tickgate_missing_messages_total", by="slow")
            return bool(lost and page["tickgate_outbox_sessions"])

        async with listening(listener(), table_of(gateway)) as url:
            page = await published_until(url, publish, lags)
    assert page["tickgate_outbox_sessions"] == 1
    assert page["tickgate_outbox_messages"] >= 1
    assert page["tickgate_outbox_bytes"] > 0
    assert page.of("tickgate_closes_total", code="4105") == 0


async def test_the_close_of_a_client_that_is_too_slow_is_counted(
    redis_url: str, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    settings = changed(outbox_messages_max=100)
    async with gateway_on(redis_url, settings) as gateway, gateway.client() as client:
        await client.subscribe(BTC.name)
        client.transport.pause_reading()
        async with listening(listener(), table_of(gateway)) as url:
            page = await published_until(
                url, publish, lambda page: page.of("tickgate_closes_total", code="4105") > 0
            )
            assert page.of("tickgate_closes_total", code="4105") == 1
            await becomes(url, lambda page: page["tickgate_sessions"] == 0)


async def test_feeds_tell_what_each_venue_gives_and_how_long_publishing_takes(
    redis_url: str,
) -> None:
    admin, stopping = listener(process="feeds"), asyncio.Event()

    async def tell(at_work: FeedsAtWork) -> None:
        await admin.run([Table(FEEDS_METRICS, lambda: at_work)], at_work.look)

    async with VenueServer() as venue, asyncio.timeout(40), asyncio.TaskGroup() as group:
        settings = FeedSettings(
            venues=("binance",),
            venue={"binance": VenueSettings(url=venue.url, symbols=("BTC-USDT",))},
            connection=ConnectionSettings(backoff_first_s=0.001, backoff_max_s=0.01),
            # The model that learns takes seconds of a core to load, in which the loop stands still.
            derived=DerivedChoices(signal=SignalSettings(models=("trend",))),
        )
        feeds = run_feeds(
            settings,
            redis_url,
            clock=SystemClock(),
            random=Random(7),
            stopping=stopping,
            beside=tell,
        )
        group.create_task(feeds)
        side = await venue.next_side()
        url = await until(lambda: admin.url)
        assert (await scrape(url)).of("tickgate_feed_up", venue="binance") == 0
        # Of now: candles fill the time since with flat ones, once the venue is away.
        trade = partial(binance_trade, at_ms=SystemClock().now_ns() // 1_000_000)
        await side.send(trade(1), "nonsense", *map(trade, range(2, 11)))
        page = await becomes(
            url, lambda page: page.of("tickgate_feed_ticks_total", venue="binance") == 10
        )
        assert page.of("tickgate_feed_frames_total", venue="binance") == 11
        assert page.of("tickgate_feed_faults_total", venue="binance", fault="unparsable") == 1
        # Held back for as long as it isn't sure of its lease, after a standstill for example.
        await becomes(url, lambda page: page.of("tickgate_feed_up", venue="binance") == 1)
        await becomes(url, lambda page: page["tickgate_published_ticks_total"] >= 10)
        await becomes(url, lambda page: page["tickgate_publish_delay_seconds_count"] >= 10)
        page = await becomes(url, lambda page: page["tickgate_waiting_ticks"] == 0)
        assert page["tickgate_dropped_ticks_total"] == 0
        side.cut()
        await venue.next_side()
        page = await becomes(
            url, lambda page: page.of("tickgate_feed_reconnects_total", venue="binance") >= 1
        )
        assert page.of("tickgate_feed_up", venue="binance") == 0
        stopping.set()


def test_names_say_their_units_and_no_name_stands_for_two_things() -> None:
    names = [metric.name for metric in ALL]
    assert len(set(names)) == len(names)
    counters = {metric.name for metric in ALL if metric.kind == "counter"}
    assert counters == {name for name in names if name.endswith("_total")}
    assert all(m.name.endswith("_seconds") for m in ALL if m.kind == "histogram")


@pytest.mark.parametrize(
    ("message", "lag_s"),
    [
        (b'e 1 - {"px":"1","tx":1000000}', 2.0),
        (b'e 1 - {"px":"1","tx":4000000}', 0.0),
        (b'e 1 - {"tx":1000000,"px":"1"}', None),
        (b'e 1 - {"tx":"soon"}', None),
        (b'e 1 - {"px":"1"}', None),
        (b"{", None),
        (b"", None),
    ],
)
def test_the_bus_lag_is_told_by_a_feeds_stamp_alone(message: bytes, lag_s: float | None) -> None:
    counts = BusCounts(ManualClock(now_ns=3_000_000_000))
    counts.heard("trade:sim:BTC-USD", message)
    counts.heard("custom:desk:BTC-USD", message)
    assert sum(counts.lag_s.counts) == (lag_s is not None)
    assert counts.lag_s.total == (lag_s or 0.0)


@given(st.lists(st.floats(0, 100), max_size=50))
def test_a_histogram_counts_each_value_below_its_bound_and_above_the_one_before(
    values: list[float],
) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    bounds = (float("-inf"), *DELAY_BOUNDS_S, float("inf"))
    naive = [
        sum(low < value <= high for value in values) for low, high in itertools.pairwise(bounds)
    ]
    assert histogram.counts == naive
    assert histogram.total == pytest.approx(sum(values))
