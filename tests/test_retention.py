"""What channels' streams keep for who comes back: in numbers, and on a real Redis and gateway."""

import uvloop
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from feeds.market import Channel
from feeds.market.bus_names import log_key
from feeds.retention import Retention
from feeds.settings import HistorySettings, PublisherSettings
from tests.gateway_server import GatewayServer, Publishing, publishing_on
from tests.ticks import BTC, QUOTES, quote, trades

LOOPS = {"uvloop": uvloop.new_event_loop}

SPAN_S = 120.0


@given(st.lists(st.tuples(st.floats(0, 90), st.integers(1, 40)), min_size=1, max_size=60))
def test_what_was_published_in_the_last_seconds_is_never_trimmed(
    calls: list[tuple[float, int]],
) -> None:
    retention = Retention(50, 10_000, SPAN_S, 0.0)
    now_s = 0.0
    published: list[tuple[float, int]] = []
    for pause_s, count in calls:
        now_s += pause_s
        published.append((now_s, count))
        kept = retention.messages(count, now_s)
        assert kept >= max(50, sum(n for at_s, n in published if now_s - at_s < SPAN_S))


def test_it_is_no_more_than_so_many_however_busy_a_channel_is() -> None:
    retention = Retention(1_000, 5_000, SPAN_S, 0.0)
    assert {retention.messages(200, n / 10) for n in range(5_000)} == {5_000}


def test_a_channel_that_has_become_quiet_keeps_the_least_again() -> None:
    retention = Retention(1_000, 5_000, SPAN_S, 0.0)
    for second in range(300):
        retention.messages(30, float(second))
    assert retention.messages(1, 300.0) > 3_000
    assert retention.messages(1, 430.0) > 1_000
    assert retention.messages(1, 700.0) == 1_000


def test_of_a_new_publisher_nothing_is_trimmed_that_may_be_as_young() -> None:
    retention = Retention(1_000, 5_000, SPAN_S, 500.0)
    assert retention.messages(1, 501.0) == 5_000
    assert retention.messages(1, 621.0) == 1_000


def test_states_keep_a_number_only() -> None:
    settings = HistorySettings(newest=30)
    signals = Channel.parse("signal:trend:BTC-USD")
    assert Retention.of(QUOTES, settings, 0.0).messages(500, 0.0) == 30
    assert Retention.of(signals, settings, 0.0).messages(1, 0.0) == 1_000


async def test_who_was_away_for_thousands_of_trades_is_told_all_of_them(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with gateway.client() as client:
        (accepted,) = await client.subscribe(BTC.name)
        await client.ask("unsubscribe", channels=[BTC.name])
        for first in range(2, 4_000, 100):
            await publish(trades(first, first + 99))
        client.heard.clear()
        since = {BTC.name: [accepted["epoch"], 1]}
        (back,) = await client.subscribe(BTC.name, since=since)
        assert back["recovered"]
        await client.hear_until(lambda told: told.get("seq") == 4_001)
        assert [one["seq"] for one in client.heard if "px" in one] == list(range(2, 4_002))


async def test_what_is_kept_may_be_set(redis_url: str, redis: Redis) -> None:
    history = HistorySettings(trade=100, trade_s=0.001, newest=100)
    settings = PublisherSettings(history=history)
    async with publishing_on(redis_url, settings) as publish:
        await publish(trades(1, 100) + quote("1"))
        for first in range(101, 3_001, 100):
            await publish(trades(first, first + 99))
    kept = await redis.xlen(log_key(BTC.name))
    # Redis trims whole nodes, of a hundred messages each as it is shipped, and few at a time.
    assert 100 <= kept < 1_000
