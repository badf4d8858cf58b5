"""A pair that too few venues quote: its row and its page say that there is no price, and why."""

import time

import msgspec
import pytest
from redis.asyncio import Redis

from feeds.derived.price import Consolidation
from feeds.derived.settings import PriceSettings
from feeds.market import Channel, Quote, Tick
from tests.browser.chromium import Watched
from tests.gateway_server import gateway_on, publish_custom

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

WHY = "1 of at least 2 venues vote; no more than 1 quote it"


async def test_a_pair_that_one_venue_quotes_says_how_many_it_lacks(
    watched: Watched, redis_url: str
) -> None:
    now_us = time.time_ns() // 1_000
    quote = Tick(Channel("quote", "bitstamp", "BTC-EUR"), Quote("100", "101", received_us=now_us))
    (told,) = Consolidation(PriceSettings()).take([quote], now_us)
    async with Redis.from_url(redis_url) as redis, gateway_on(redis_url) as gateway:
        await publish_custom(redis, msgspec.json.encode(told.payload), channel=told.channel.name)
        await watched.page.goto(f"http://127.0.0.1:{gateway.port}/#key={gateway.key}")
        counted = await watched.becomes(".watch tbody tr:first-child td.venues", "of")
        state = await watched.becomes(".watch tbody tr:first-child .lamp", "waiting")
        await watched.page.evaluate("location.hash = '#/pair/agg/BTC-EUR'")
        summary = await watched.becomes(".pair-page .panel small", "no price")

    assert (counted, state, summary) == ("1 of 2", "waiting", f"no price: {WHY}")
