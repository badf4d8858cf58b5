"""What subscribers get and are told when the bus is away, silent, forgetful or spoilt."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import uvloop
from redis.asyncio import Redis

from feeds.market.bus_names import DIRECTORY_KEY
from feeds.settings import HistorySettings, PublisherSettings
from gateway.settings import GatewaySettings
from tests.conftest import RedisServer
from tests.gateway_server import (
    QUICK,
    GatewayServer,
    Publishing,
    changed,
    gateway_on,
    publishing_on,
)
from tests.proxy import Proxy, proxy_to
from tests.stream_client import Client, refusal_of
from tests.ticks import BTC, ETH, trades
from tests.until import until
from tests.until_answer import until_answer

LOOPS = {"uvloop": uvloop.new_event_loop}


async def test_a_killed_redis_makes_everything_stale_by_the_bus_until_it_is_back(
    redis_server: RedisServer,
) -> None:
    # The keys are gone, too: long enough believed.
    settings = changed(key_cache_s=60.0)
    async with (
        publishing_on(redis_server.url) as publish,
        gateway_on(redis_server.url, settings) as gateway,
    ):
        await publish(trades(1, 5))
        async with gateway.client() as client:
            (before,) = await client.subscribe(BTC.name)
            redis_server.kill()
            assert (await client.state(BTC.name, "stale"))["by"] == "bus"
            assert (await client.ask("ping"))["type"] == "pong"
            redis_server.start()
            await client.state(BTC.name, "live")
            await publish(trades(6, 8))
            reset = await client.hear_until(lambda told: told.get("type") == "reset")
            assert (reset["ch"], reset["seq"], reset["by"]) == (BTC.name, 0, "bus")
            assert reset["epoch"] != before["epoch"]
            await client.hear_whole(1, 3)
            listing = await client.ask("list")
            assert listing["channels"][0]["epoch"] == reset["epoch"]


@contextlib.asynccontextmanager
async def gateway_through(
    proxy: Proxy, settings: GatewaySettings = QUICK
) -> AsyncIterator[tuple[GatewayServer, Client]]:
    """A gateway on the proxy's Redis, and a client of it who watches a channel from seq 1 on."""
    async with (
        gateway_on(f"redis://127.0.0.1:{proxy.port}", settings) as gateway,
        gateway.client() as client,
    ):
        await client.subscribe(BTC.name)
        yield gateway, client


async def test_what_was_missed_while_the_bus_was_cut_is_read_from_the_stream(
    redis_server: RedisServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with proxy_to(redis_server.socket) as proxy, gateway_through(proxy) as (_, client):
        for first in (2, 102, 202):
            proxy.is_refusing = True
            proxy.cut()
            await client.state(BTC.name, "stale")
            await publish(trades(first, first + 99))
            proxy.is_refusing = False
            await client.state(BTC.name, "live")
        await publish(trades(302, 305))
        await client.hear_until(lambda told: told.get("seq") == 305)
        told = [message for message in client.heard if message.get("ch") == BTC.name]
        seqs = [message["seq"] for message in told if "type" not in message]
        assert seqs == list(range(2, 306))
        assert not [message for message in told if message.get("type") in {"gap", "reset"}]


async def test_what_comes_while_the_history_is_read_waits_for_it(
    redis_server: RedisServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with (
        proxy_to(redis_server.socket) as proxy,
        gateway_through(proxy) as (_, client),
        asyncio.TaskGroup() as group,
    ):
        proxy.answers.delay_s = 0.03
        hearing = group.create_task(client.hear_whole(2, 301))
        for number in range(2, 302):
            await publish(trades(number, number))
            if number % 60 == 0:
                proxy.cut()
            await asyncio.sleep(0.002)
        await hearing


async def test_a_half_open_bus_is_noticed_and_what_it_swallowed_is_repaired(
    redis_server: RedisServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with proxy_to(redis_server.socket) as proxy, gateway_through(proxy) as (_, client):
        proxy.stall()
        await publish(trades(2, 50))
        assert (await client.state(BTC.name, "stale"))["by"] == "bus"
        # The swallowed bytes must not come out after all, out of their time.
        proxy.cut()
        proxy.flow()
        await client.hear_whole(2, 50)
        await publish(trades(51, 60))
        await client.hear_whole(51, 60)


async def test_no_connection_is_left_behind_when_redis_stalls(
    redis_server: RedisServer, redis: Redis, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with proxy_to(redis_server.socket) as proxy:
        impatient = changed(bus_silence_limit_s=1.0)
        async with gateway_through(proxy, impatient) as (gateway, client):
            accepted = proxy.accepted
            proxy.stall()
            await until(lambda: proxy.accepted >= accepted + 4)
            proxy.flow()
            await until(lambda: gateway.worker.is_ready)

            async def is_alone() -> bool:
                return len(await redis.client_list(_type="pubsub")) == 1

            await until_answer(is_alone)
            await publish(trades(2, 20))
            await client.hear_whole(2, 20)
            assert gateway.worker.hub.counts.duplicates == 0


async def test_a_killed_subscription_is_repaired_without_a_gap(
    gateway: GatewayServer, publish: Publishing, redis: Redis
) -> None:
    await publish(trades(1, 1))
    async with gateway.client() as client, asyncio.TaskGroup() as group:
        await client.subscribe(BTC.name)
        hearing = group.create_task(client.hear_whole(2, 801))
        for first in range(2, 802, 40):
            await publish(trades(first, first + 19))
            await redis.client_kill_filter(_type="pubsub")
            await publish(trades(first + 20, first + 39))
        await hearing


async def test_one_who_waits_since_before_the_first_message_gets_it_after_an_outage(
    redis_server: RedisServer, publish: Publishing, redis: Redis
) -> None:
    await redis.sadd(DIRECTORY_KEY, BTC.name)
    async with proxy_to(redis_server.socket) as proxy, gateway_through(proxy) as (_, client):
        proxy.is_refusing = True
        proxy.cut()
        await client.state(BTC.name, "stale")
        await publish(trades(1, 30))
        proxy.is_refusing = False
        await client.hear_whole(1, 30)


async def test_more_than_the_history_holds_is_a_gap_of_the_bus_and_the_newest_come(
    redis_server: RedisServer,
) -> None:
    a_thousand = PublisherSettings(history=HistorySettings(trade_s=0.0))
    async with publishing_on(redis_server.url, a_thousand) as publish:
        await publish(trades(1, 1))
        async with proxy_to(redis_server.socket) as proxy, gateway_through(proxy) as (_, client):
            proxy.is_refusing = True
            proxy.cut()
            await client.state(BTC.name, "stale")
            await publish(trades(2, 3_000))
            proxy.is_refusing = False
            gap = await client.hear_until(lambda told: told.get("type") == "gap")
            assert (gap["from"], gap["by"]) == (2, "bus")
            assert gap["to"] <= 2_000
            await client.hear_whole(gap["to"] + 1, 3_000)


async def test_chopped_bytes_of_redis_are_the_same_messages(
    redis_server: RedisServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    # So many pieces take a while.
    patient = changed(bus_silence_limit_s=20.0, bus_answer_limit_s=20.0)
    async with proxy_to(redis_server.socket) as proxy:
        proxy.answers.piece_bytes = 3
        async with gateway_through(proxy, patient) as (_, client):
            await publish(trades(2, 200))
            await client.hear_whole(2, 200)


async def test_flushing_redis_is_a_reset_and_not_the_end(
    redis_url: str, publish: Publishing, redis: Redis
) -> None:
    await publish(trades(1, 5))
    # The keys are gone, too: long enough believed.
    settings = changed(key_cache_s=60.0)
    async with gateway_on(redis_url, settings) as gateway, gateway.client() as client:
        await client.subscribe(BTC.name)
        await redis.flushall()
        await publish(trades(6, 8))
        reset = await client.hear_until(lambda told: told.get("type") == "reset")
        assert reset["seq"] == 0
        await client.hear_whole(1, 3)


async def test_subscribing_while_redis_stalls_is_refused_for_now_and_works_later(
    redis_server: RedisServer, publish: Publishing
) -> None:
    await publish([*trades(1, 1), *trades(1, 1, ETH)])
    async with (
        proxy_to(redis_server.socket) as proxy,
        gateway_through(proxy) as (gateway, client),
    ):
        proxy.stall()
        for _ in range(2):
            ack = await client.ask("subscribe", channels=[ETH.name, BTC.name])
            assert [one["ch"] for one in ack["ok"]] == [BTC.name]
            (refused,) = ack["err"]
            assert (refused["code"], refused["retry"]) == ("bus_unavailable", True)
        proxy.flow()
        await until(lambda: gateway.worker.is_ready)
        await client.subscribe(ETH.name)
        await publish(trades(2, 5, ETH))
        await client.hear_whole(2, 5)


async def test_asking_for_unknown_channels_while_redis_is_away_ends_nobody(
    redis_server: RedisServer,
) -> None:
    async with publishing_on(redis_server.url) as publish, gateway_on(redis_server.url) as gateway:
        await publish(trades(1, 1))
        async with gateway.client() as client:
            await client.subscribe(BTC.name)
            redis_server.kill()
            ack = await client.ask("subscribe", channels=["trade:sim:NEW-USD"])
            assert ack["err"][0]["retry"] is True
            assert (await client.ask("ping"))["type"] == "pong"
            redis_server.start()


async def test_a_key_that_is_not_known_is_told_to_come_again_while_redis_is_away(
    redis_server: RedisServer, gateway: GatewayServer
) -> None:
    async with gateway.client():
        redis_server.kill()
        # Known a moment ago: believed for a while.
        async with gateway.client():
            pass
    key = {"X-API-Key": "tg_aaaaaaaa_" + "A" * 43}
    status, headers, body = await refusal_of(gateway.url, key)
    assert (status, body["code"]) == (503, "keys_unavailable")
    assert int(headers["Retry-After"]) >= 1


@pytest.mark.parametrize("kind", ["hash", "string"])
async def test_one_spoilt_channel_in_redis_spoils_no_other(
    redis_server: RedisServer, redis: Redis, publish: Publishing, kind: str
) -> None:
    await publish([*trades(1, 1), *trades(1, 1, ETH)])
    spoilt = "tickgate:{trade:sim:ETH-USD}:" + ("head" if kind == "hash" else "log")
    if kind == "hash":
        await redis.hset(spoilt, "seq", "not a number")
    else:
        await redis.set(spoilt, "not a stream")
    async with proxy_to(redis_server.socket) as proxy, gateway_through(proxy) as (_, client):
        await client.ask("subscribe", channels=[ETH.name])
        proxy.cut()
        await client.state(BTC.name, "stale")
        await client.state(BTC.name, "live")
        await publish(trades(2, 3))
        await client.hear_whole(2, 3)


async def test_a_redis_that_takes_subscriptions_but_no_readings_is_not_back(
    redis: Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        publishing_on(redis_url) as publish,
        gateway_on(redis_url) as gateway,
        gateway.client() as client,
    ):
        await publish(trades(1, 5))
        await client.subscribe(BTC.name)
        await redis.execute_command("ACL", "SETUSER", "default", "-smembers")
        connections = gateway.worker.bus.connection
        await redis.client_kill_filter(_type="pubsub")
        await client.state(BTC.name, "stale")
        await until(lambda: gateway.worker.bus.connection >= connections + 4)
        told = [record.getMessage() for record in caplog.records if "redis is" in record.message]
        assert len(told) == 1
        await redis.execute_command("ACL", "SETUSER", "default", "+smembers")
        await client.state(BTC.name, "live")
        assert "redis is back" in [record.getMessage() for record in caplog.records]
        await publish(trades(6, 8))
        await client.hear_whole(6, 8)
