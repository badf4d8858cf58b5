"""What subscribers are told when a feed or its venue falls silent, and when it is back."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import uvloop
from redis.asyncio import Redis

from feeds.market import Status
from feeds.market.bus_names import topic
from gateway.fanout.states import status_channel
from tests.gateway_server import (
    GatewayServer,
    Publishing,
    changed,
    gateway_on,
)
from tests.ticks import BTC, trades
from tests.until import until
from tests.until_answer import until_answer

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
    redis_url: str, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    await publish.status("sim", LIVE)
    async with (
        gateway_on(redis_url, changed(feed_silence_limit_s=60.0)) as gateway,
        beating(publish, "other"),
        gateway.client() as client,
    ):
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
            listened = gateway.worker.hub.topics[status_channel("sim").name]
            # Nobody watches it, and yet it is heard for many times as long as others linger.
            heard = listened.seq + 12
            await until(lambda: listened.seq >= heard)
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
    settings = changed(channel_linger_s=0.1, feed_silence_limit_s=2.0)
    async with gateway_on(redis_url, settings) as gateway:
        async with beating(publish), gateway.client() as client:
            await client.subscribe(BTC.name)
            assert await redis.pubsub_channels(topic(BTC.name))

        async def is_alone() -> bool:
            # But for the gateway's own heartbeat.
            return await redis.pubsub_channels("tickgate:{[^b]*") == []

        await until_answer(is_alone)
        assert not gateway.worker.hub.topics
        # For longer than a feed that is listened to may be silent.
        silent_s = time.monotonic() + 2.5
        await until(lambda: time.monotonic() > silent_s)
        async with beating(publish), gateway.client() as client:
            (accepted,) = await client.subscribe(BTC.name)
            # The feed was not listened to meanwhile: its silence meant nothing.
            assert accepted["state"] == "live"
            await publish(trades(2, 2))
            await client.hear_whole(2, 2)
            assert not [told for told in client.heard if told.get("type") == "state"]


async def test_a_connection_without_data_gets_numbered_heartbeats(
    redis_url: str,
) -> None:
    before_us = time.time_ns() // 1_000
    async with (
        gateway_on(redis_url, changed(heartbeat_ms=500)) as gateway,
        gateway.client() as client,
    ):
        beats = [await client.hear() for _ in range(2)]
        assert [beat["type"] for beat in beats] == ["heartbeat"] * 2
        assert [beat["n"] for beat in beats] == [1, 2]
        assert before_us <= beats[0]["t"] < beats[1]["t"] <= time.time_ns() // 1_000
