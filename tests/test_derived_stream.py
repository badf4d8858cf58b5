"""Prices and candles the whole way: feeds, Redis, a gateway, a subscriber."""

from typing import Any

import msgspec
import uvloop
from redis.asyncio import Redis

from feeds.derived.price_rule import differences
from feeds.derived.settings import CandleSettings, DerivedChoices
from feeds.derived.signal_settings import SignalSettings
from feeds.market import Price
from feeds.market.bus_names import DIRECTORY_KEY
from feeds.settings import FeedSettings, SimSettings, VenueSettings
from tests.gateway_server import GatewayServer
from tests.test_feeds_run import running
from tests.until_answer import until_answer

LOOPS = {"uvloop": uvloop.new_event_loop}

PRICES = "price:agg:BTC-USD"
SECONDS = "candle.1s:agg:BTC-USD"
MINUTES = "candle.1m:sim:BTC-USD"


def settings(*, enabled: bool = True) -> FeedSettings:
    return FeedSettings(
        venues=("sim",),
        sim=SimSettings(symbols=1, ticks_per_s=200.0),
        derived=DerivedChoices(
            candle=CandleSettings(lateness_ms=200),
            signal=SignalSettings(models=("trend",)),
            enabled=enabled,
        ),
    )


async def knows(redis: Redis, channel: str) -> bool:
    return bool(await redis.sismember(DIRECTORY_KEY, channel))


async def test_a_subscriber_gets_prices_and_candles_that_are_final_once(
    redis: Redis, redis_url: str, gateway: GatewayServer
) -> None:
    async with running(settings(), redis_url):
        await until_answer(lambda: knows(redis, MINUTES))
        async with gateway.client() as client:
            await client.subscribe(PRICES, SECONDS, MINUTES, "status:agg:VENUE")
            await client.hear_until(
                lambda told: told.get("ch") == SECONDS and told.get("final") and told["n"]
            )
            await client.hear_until(lambda told: told.get("ch") == SECONDS and told.get("final"))
            await client.hear_until(lambda told: told.get("ch") == PRICES and told.get("px"))
            await client.hear_until(lambda told: told.get("ch") == "status:agg:VENUE")
            while not any(message.get("ch") == MINUTES for message in client.heard):
                await client.hear()
            # A machine that stood still makes trades late: those correct what was final.
            heard = [
                message
                for message in client.heard
                if "type" not in message and "correction" not in message
            ]
    seconds = [message for message in heard if message["ch"] == SECONDS]
    ended = [message["start"] for message in seconds if message["final"]]
    assert len(ended) == len(set(ended)) >= 2
    running_then_final = [one["final"] for one in seconds if one["start"] == ended[-1]]
    assert running_then_final == [False] * (len(running_then_final) - 1) + [True]
    assert any(message["ch"] == MINUTES for message in heard)
    assert [one for one in heard if one["ch"] == "status:agg:VENUE"][-1]["state"] == "live"
    prices = [message for message in heard if message["ch"] == PRICES and "px" in message]
    assert {(one["min"], one["voters"], one["venues"][0]["venue"]) for one in prices} == {
        (1, 1, "sim")
    }
    assert not [fault for one in prices for fault in differences(price_of(one))]


def price_of(message: dict[str, Any]) -> Price:
    return msgspec.convert(message, Price)


async def test_where_nothing_is_derived_there_are_no_such_channels(
    redis: Redis, redis_url: str
) -> None:
    async with running(settings(enabled=False), redis_url):
        await until_answer(lambda: knows(redis, "status:sim:VENUE"))
        await until_answer(lambda: redis.exists("tickgate:{trade:sim:BTC-USD}:log"))
        known = await redis.smembers(DIRECTORY_KEY)
    assert known == {b"quote:sim:BTC-USD", b"trade:sim:BTC-USD", b"status:sim:VENUE"}


async def test_a_generated_market_is_in_no_price_of_live_ones(redis: Redis, redis_url: str) -> None:
    chosen = settings()
    both = FeedSettings(
        venues=("sim", "binance"),
        venue={"binance": VenueSettings(url="ws://127.0.0.1:1", symbols=("BTC-USDT",))},
        sim=chosen.sim,
        derived=chosen.derived,
    )
    async with running(both, redis_url):
        await until_answer(lambda: redis.exists(f"tickgate:{{{MINUTES}}}:log"))
        known = {name.decode() for name in await redis.smembers(DIRECTORY_KEY)}
        assert not await redis.exists(f"tickgate:{{{PRICES}}}:log")
    assert MINUTES in known
    assert SECONDS not in known
    assert {"price:agg:BTC-USDT", "candle.1s:agg:BTC-USDT"} <= known
