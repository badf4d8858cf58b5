"""Markets as any program may publish them: their candles of a day, and their prices by the hour."""

import time

import msgspec
from redis.asyncio import Redis

from tests.gateway_server import publish_custom

HOUR_US = 3_600_000_000


def whole_hour_us() -> int:
    """When the hour began that runs."""
    return time.time_ns() // 1_000 // HOUR_US * HOUR_US


async def publish_hours(redis: Redis, symbol: str, opens: list[int], last_us: int) -> None:
    """Candles of an hour each, the last beginning at `last_us`; and a first price, of now."""
    first_us = last_us - HOUR_US * (len(opens) - 1)
    candles = [
        {
            **dict.fromkeys(("open", "high", "low", "close"), str(price)),
            "start": first_us + HOUR_US * at,
            "volume": "1",
            "n": 1,
            "final": True,
            "version": 1,
        }
        for at, price in enumerate(opens)
    ]
    messages = [msgspec.json.encode(one) for one in candles]
    await publish_custom(redis, *messages, channel=f"candle.1h:test:{symbol}")
    await publish_price(redis, symbol, opens[-1], time.time_ns() // 1_000)


async def publish_price(redis: Redis, symbol: str, price: int, at_us: int) -> None:
    trade = {"px": str(price), "sz": "1", "side": "buy", "id": str(at_us)}
    stamps = {"t": at_us, "rx": at_us, "tx": at_us}
    payload = msgspec.json.encode(trade | stamps)
    await publish_custom(redis, payload, channel=f"trade:test:{symbol}")
