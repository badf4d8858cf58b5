"""What subscribers are told when a feed or its venue falls silent, and when it is back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import uvloop
from redis.asyncio import Redis

from feeds.market import Status
from feeds.market.bus_names import topic
from tests.gateway_server import (
    GatewayServer,
    Publishing,
    changed,
    gateway_on,
)
from tests.ticks import BTC, trades
from tests.until import until

LOOPS = {"uvloop": uvloop.new_event_loop}

LIVE = Status("live", 1)
STALE = Status("stale", 2, by="venue", reason="is not reached")


@contextlib.asynccontextmanager
async def beating(publish: Publishing, venue: str = "sim") -> AsyncIterator[None]:
    """A feed that lives: its status comes five times a second."""

    async def beat() -> None:
        while True:
            await publish.status(venue, LIVE)
            await asyncio.sleep(0.2)

    await publish.status(venue, LIVE)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(beat())
        yield
        task.cancel()


async def test_a_feed_that_falls_silent_is_stale_and_live_when_it_is_back(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with gateway.client() as client:
        async with beating(publish):
            (accepted,) = await client.subscribe(BTC.name)
            assert accepted["state"] == "live"
        stale = await client.state(BTC.name, "stale")
        assert stale["by"] == "feed"
        assert stale["since"] > 1_700_000_000_000_000
        async with beating(publish):
            assert "by" not in await client.state(BTC.name, "live")


async def test_one_who_comes_after_the_feed_has_died_is_told_too(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    await publish.status("sim", LIVE)
    async with gateway.client() as client:
        await client.subscribe(BTC.name)
        assert (await client.state(BTC.name, "stale"))["by"] == "feed"


async def test_a_stale_venue_makes_its_channels_stale_by_name_of_who_is_to_blame(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with beating(publish, "other"), gateway.client() as client:
        await publish.status("sim", LIVE)
        await client.subscribe(BTC.name)
        await publish.status("sim", STALE)
        assert (await client.state(BTC.name, "stale"))["by"] == "venue"
        await publish.status("sim", LIVE)
        await client.state(BTC.name, "live")


async def test_a_feed_is_listened_to_for_as_long_as_somebody_watches_its_channels(
    redis_url: str, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    await publish.status("sim", LIVE)
    settings = changed(channel_linger_s=0.1, feed_silence_limit_s=1.5)
    async with gateway_on(redis_url, settings) as gateway, gateway.client() as client:
        async with beating(publish):
            await client.subscribe(BTC.name)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2.5):
                    await client.state(BTC.name, "stale")
        assert (await client.state(BTC.name, "stale"))["by"] == "feed"


async def test_a_feed_that_begins_after_its_channels_is_listened_to_as_well(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with gateway.client() as client:
        await client.subscribe(BTC.name)
        await publish.status("sim", LIVE)
        # Whoever asks for something unknown has the directory read again.
        await client.ask("subscribe", channels=["trade:sim:NONE"])
        assert (await client.state(BTC.name, "stale"))["by"] == "feed"


async def test_a_channel_nobody_watches_is_closed_and_its_feed_with_it(
    redis_url: str, redis: Redis, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    settings = changed(channel_linger_s=0.1)
    async with gateway_on(redis_url, settings) as gateway, beating(publish):
        async with gateway.client() as client:
            await client.subscribe(BTC.name)
            assert await redis.pubsub_channels(topic(BTC.name))
        await until(lambda: not gateway.worker.hub.topics)
        # But for the gateway's own heartbeat.
        assert await redis.pubsub_channels("tickgate:{[^b]*") == []
        async with gateway.client() as client:
            (accepted,) = await client.subscribe(BTC.name)
            # The feed was not listened to meanwhile: its silence meant nothing.
            assert accepted["state"] == "live"
            await publish(trades(2, 2))
            await client.hear_whole(2, 2)
            assert not [told for told in client.heard if told.get("type") == "state"]


async def test_a_connection_without_data_gets_numbered_heartbeats(
    redis_url: str, publish: Publishing
) -> None:
    async with (
        gateway_on(redis_url, changed(heartbeat_ms=500)) as gateway,
        gateway.client() as client,
    ):
        beats = [await client.hear() for _ in range(2)]
        assert [beat["type"] for beat in beats] == ["heartbeat"] * 2
        assert [beat["n"] for beat in beats] == [1, 2]
        assert 0 < beats[1]["t"] - beats[0]["t"] < 5_000_000
