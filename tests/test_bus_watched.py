"""A bus that looks well and brings nothing: stopped, demoted, full, deaf, or gone back in time.

The gateway's own heartbeat tells. No feed runs beside these tests, but where one publishes.
"""

import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis

from feeds.market.bus_names import head_key, log_key
from tests.conftest import RedisServer
from tests.gateway_server import GatewayServer, Publishing, changed, gateway_on
from tests.proxy import proxy_to
from tests.stream_client import Client, Message
from tests.ticks import BTC, ETH, trades
from tests.until import until
from tests.until_answer import until_answer

LOOPS = {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def client(gateway: GatewayServer, publish: Publishing) -> AsyncIterator[Client]:
    """Watches a channel from seq 1 on."""
    await publish(trades(1, 1))
    async with gateway.client() as client:
        await client.subscribe(BTC.name)
        yield client


def is_reset(told: Message) -> bool:
    return told.get("type") == "reset"


def round_trips(gateway: GatewayServer) -> int:
    return sum(gateway.worker.bus.counts.round_trip_s.counts)


async def test_a_gateway_without_a_feed_has_a_heartbeat(
    gateway: GatewayServer, redis: Redis
) -> None:
    await until(lambda: round_trips(gateway) >= 3)
    assert gateway.worker.is_ready
    (name,) = await redis.keys("tickgate:{beat:*")
    assert 0 < await redis.ttl(name) <= 60


async def test_each_gateway_hears_its_own_heartbeat(redis_url: str, redis: Redis) -> None:
    async with gateway_on(redis_url) as one, gateway_on(redis_url) as other:
        await until(lambda: round_trips(one) >= 2 and round_trips(other) >= 2)
        assert len(await redis.keys("tickgate:{beat:*")) == 2


async def test_a_stopped_redis_is_noticed_and_nothing_is_lost(
    redis_server: RedisServer, client: Client, publish: Publishing
) -> None:
    assert redis_server.process is not None
    redis_server.process.send_signal(signal.SIGSTOP)
    try:
        assert (await client.state(BTC.name, "stale"))["by"] == "bus"
    finally:
        redis_server.process.send_signal(signal.SIGCONT)
    await client.state(BTC.name, "live")
    await publish(trades(2, 9))
    await client.hear_whole(2, 9)


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        (("REPLICAOF", "127.0.0.1", 1), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "maxmemory", 1), ("CONFIG", "SET", "maxmemory", 0)),
    ],
    ids=["demoted", "full"],
)
async def test_a_redis_that_takes_no_writes_is_away_although_it_answers(
    redis: Redis,
    client: Client,
    gateway: GatewayServer,
    publish: Publishing,
    broken: tuple[Any, ...],
    mended: tuple[Any, ...],
) -> None:
    await redis.execute_command(*broken)
    assert (await client.state(BTC.name, "stale"))["by"] == "bus"
    assert not gateway.worker.is_ready
    # Its other connection is let in, and subscribed; that alone is no return.
    losses = gateway.worker.bus.connection
    await until(lambda: gateway.worker.bus.connection > losses)
    assert not gateway.worker.is_ready
    await redis.execute_command(*mended)
    await client.state(BTC.name, "live")
    await publish(trades(2, 9))
    await client.hear_whole(2, 9)


async def test_a_subscription_that_redis_feeds_no_more_is_noticed(
    redis_server: RedisServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with proxy_to(redis_server.socket) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}"
        async with gateway_on(url) as gateway, gateway.client() as client:
            await client.subscribe(BTC.name)
            proxy.answers.is_dropping = True
            await publish(trades(2, 50))
            assert (await client.state(BTC.name, "stale"))["by"] == "bus"
            proxy.answers.is_dropping = False
            await client.hear_whole(2, 50)
            await publish(trades(51, 60))
            await client.hear_whole(51, 60)


async def test_a_redis_that_is_only_slow_to_answer_is_not_away(
    redis_server: RedisServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with proxy_to(redis_server.socket) as proxy:
        settings = changed(bus_silence_limit_s=3.0, bus_answer_limit_s=2.0)
        url = f"redis://127.0.0.1:{proxy.port}"
        async with gateway_on(url, settings) as gateway:
            proxy.answers.delay_s = 0.2
            before = round_trips(gateway)
            await until(lambda: round_trips(gateway) >= before + 2)
            assert gateway.worker.bus.connection == 0


async def test_flushing_redis_is_told_to_everybody_as_a_new_epoch(
    redis_url: str, redis: Redis, publish: Publishing
) -> None:
    await publish([*trades(1, 5), *trades(1, 3, ETH)])
    # The keys are gone, too: long enough believed.
    settings = changed(key_cache_s=60.0)
    async with (
        gateway_on(redis_url, settings) as one,
        gateway_on(redis_url, settings) as other,
        one.client() as client,
        other.client(encoding="msgpack") as binary,
    ):
        for each in (client, binary):
            await each.subscribe(BTC.name, ETH.name)
        await redis.flushall()
        await publish([*trades(6, 6), *trades(4, 4, ETH)])
        for each in (client, binary):
            resets = [await each.hear_until(is_reset) for _ in range(2)]
            assert {told["ch"] for told in resets} == {BTC.name, ETH.name}
            await each.hear_until(lambda told: told.get("seq") == 1 and "type" not in told)
            (now, _) = await each.subscribe(BTC.name, ETH.name)
            # The epoch and the seq are of one reading.
            assert [now["epoch"].encode(), b"%d" % now["seq"]] == await redis.hmget(
                head_key(BTC.name), ["epoch", "seq"]
            )


async def test_a_redis_that_came_back_with_an_older_memory_is_a_new_epoch(
    redis_url: str, redis: Redis, publish: Publishing
) -> None:
    """Its seqs are given out a second time: they are no repetitions."""
    await publish(trades(1, 5))
    keys = head_key(BTC.name), log_key(BTC.name)
    older = [await redis.dump(key) for key in keys]
    await publish(trades(6, 9))
    async with gateway_on(redis_url) as one, gateway_on(redis_url) as other:
        async with one.client() as client, other.client() as second:
            for each in (client, second):
                (before,) = await each.subscribe(BTC.name)
                assert before["seq"] == 9
            for key, memory in zip(keys, older, strict=True):
                assert memory is not None
                await redis.restore(key, 0, memory, replace=True)
            await redis.client_kill_filter(_type="pubsub")
            resets = [await each.hear_until(is_reset) for each in (client, second)]
            await publish(trades(6, 7))
            for each in (client, second):
                await each.hear_whole(6, 7)
        assert len({told["epoch"] for told in resets} - {before["epoch"]}) == 1
        async with one.client() as client:
            # A position of before is one of an epoch that is over.
            since = {BTC.name: [before["epoch"], 6]}
            (again,) = await client.subscribe(BTC.name, since=since)
            assert again["recovered"] is False


async def test_a_publisher_that_went_on_after_an_older_memory_goes_on_in_the_new_epoch(
    gateway: GatewayServer, redis: Redis, client: Client, publish: Publishing
) -> None:
    await publish(trades(2, 9))
    await client.hear_whole(2, 9)
    await redis.hset(head_key(BTC.name), "seq", "3")
    await redis.xtrim(log_key(BTC.name), maxlen=0, approximate=False)
    await redis.execute_command("XSETID", log_key(BTC.name), "3-0")
    await publish(trades(4, 6))
    await redis.client_kill_filter(_type="pubsub")
    reset = await client.hear_until(is_reset)
    assert reset["seq"] == 6

    async def is_the_new_one() -> bool:
        return await redis.hget(head_key(BTC.name), "epoch") == reset["epoch"].encode()

    await until_answer(is_the_new_one)
    await publish(trades(7, 8))
    await client.hear_whole(7, 8)
