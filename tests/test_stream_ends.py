"""How connections end: keys revoked, floods, readers that stall, and a gateway that stops.

Every end comes in bounded time, whatever the other side does or doesn't do.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
import uvloop
from redis.asyncio import Redis
from websockets.exceptions import ConnectionClosed

from feeds.market import SystemClock
from gateway.access.key_store import KeyStore
from gateway.settings import GatewaySettings
from tests.gateway_server import (
    GatewayServer,
    Publishing,
    changed,
    gateway_on,
    publish_custom,
)
from tests.proxy import proxy_to
from tests.stream_client import Client, client_of, refusal_of
from tests.ticks import BTC, trades
from tests.until import until

LOOPS = {"uvloop": uvloop.new_event_loop}

BULKY = "custom:desk:BULKY"
BULK = b'{"x":"' + b"x" * 50_000 + b'"}'
GONE_LIMIT_S = 4.0
"""A close frame, and 3 s later the socket is really gone."""


@contextlib.asynccontextmanager
async def stalled(gateway: GatewayServer, redis: Redis) -> AsyncIterator[Client]:
    """A client of the bulky channel that has stopped reading, with more waiting for it than fits.

    The kernels' buffers take 4 MiB before the gateway sees that anything is wrong.
    """
    await publish_custom(redis, b"{}", channel=BULKY)
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    small.setblocking(False)
    await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", gateway.port))
    headers = {"X-API-Key": gateway.key}
    async with client_of(gateway.url, headers=headers, sock=small) as client:
        await client.subscribe(BULKY)
        client.transport.pause_reading()
        yield client
        client.transport.abort()


async def overfill(redis: Redis, count: int = 200) -> None:
    for _ in range(count // 20):
        await publish_custom(redis, *[BULK] * 20, channel=BULKY)


async def flood(client: Client, *messages: str | bytes) -> None:
    """Says it all, unless the other side has had enough."""
    with contextlib.suppress(ConnectionClosed):
        for message in messages:
            await client.say(message)


async def gone(gateway: GatewayServer, left: int = 0) -> None:
    """Waits until the server holds no more than `left` sockets; longer where all is slow."""
    await until(lambda: gateway.connections <= left, 4 * GONE_LIMIT_S)


@pytest.mark.parametrize("end", ["revoke", "forget"])
async def test_a_key_that_is_taken_back_ends_its_sockets_and_no_others(
    gateway: GatewayServer, redis: Redis, end: str
) -> None:
    store = KeyStore(redis, SystemClock())
    record, key = await store.create("other", "free")
    async with gateway.client(headers={"X-API-Key": key}) as client, gateway.client() as other:
        await (store.revoke if end == "revoke" else store.forget)(record.id)
        assert await client.close_code() == 4003
        assert (await other.ask("ping"))["type"] == "pong"


async def test_a_flood_of_malformed_messages_ends_the_connection(gateway: GatewayServer) -> None:
    async with gateway.client() as client, gateway.client() as other:
        await flood(client, *['{"op":"fly"}'] * 30)
        assert await client.close_code() == 1008
        errors = [told["code"] for told in client.heard if told["type"] == "error"]
        assert errors == ["bad_message"] * len(errors)
        assert 10 <= len(errors) <= 11
        assert (await other.ask("ping"))["type"] == "pong"


async def test_malformed_messages_now_and_then_end_nothing(gateway: GatewayServer) -> None:
    async with gateway.client() as client:
        for _ in range(9):
            assert (await client.ask("fly"))["code"] == "bad_message"
        assert (await client.ask("ping"))["type"] == "pong"


@pytest.mark.parametrize("size", [65_537, 1_000_000])
async def test_a_message_of_more_than_64_kib_ends_the_connection(
    gateway: GatewayServer, size: int
) -> None:
    async with gateway.client() as client, gateway.client() as other:
        await flood(client, "x" * size)
        assert await client.close_code() == 1009
        assert (await other.ask("ping"))["type"] == "pong"


async def test_a_message_of_64_kib_is_read(gateway: GatewayServer) -> None:
    async with gateway.client() as client:
        command_id = "x" * (65_536 - len('{"op":"ping","id":""}'))
        await client.say(f'{{"op":"ping","id":"{command_id}"}}')
        assert (await client.hear())["id"] == command_id


async def test_a_reader_that_stalls_is_closed_and_slows_no_other(
    gateway: GatewayServer, publish: Publishing, redis: Redis
) -> None:
    await publish(trades(1, 1))
    async with gateway.client() as other, stalled(gateway, redis) as client:
        await other.subscribe(BTC.name)
        await overfill(redis)
        for seq in range(2, 42):
            await publish(trades(seq, seq))
            assert (await other.data(1))[0]["seq"] == seq
        await until(lambda: len(gateway.worker.hub.sessions) == 1)
        await gone(gateway, left=1)
        assert (await other.ask("ping"))["type"] == "pong"
        # What the kernel had taken comes, and after it the close.
        client.transport.resume_reading()
        assert await client.close_code() in {4105, 1006}
        seqs = [told["seq"] for told in client.heard if told.get("ch") == BULKY]
        assert seqs == list(range(1, len(seqs) + 1))


async def test_a_reader_that_was_slow_for_a_moment_gets_everything_or_is_told(
    redis_url: str, redis: Redis
) -> None:
    async with (
        gateway_on(redis_url, changed(slow_limit_s=60.0)) as gateway,
        stalled(gateway, redis) as client,
    ):
        await overfill(redis)
        (session,) = gateway.worker.hub.sessions
        await until(lambda: session.outbox.full_since_s is not None)
        client.transport.resume_reading()
        reached = 0
        while reached < 201:
            told = await client.hear()
            if told.get("type") == "gap":
                assert (told["from"], told["by"]) == (reached + 1, "slow")
                reached = told["to"]
            elif "seq" in told and told["seq"] > 1:
                assert told["seq"] == max(reached, 1) + 1
                reached = told["seq"]
        if not any(told.get("type") == "lag" for told in client.heard):
            await client.hear_until(lambda told: told.get("type") == "lag")


async def test_a_reader_that_stalls_while_it_talks_costs_a_bounded_memory(
    redis_url: str, redis: Redis
) -> None:
    patient = changed(slow_limit_s=60.0)
    async with gateway_on(redis_url, patient) as gateway, stalled(gateway, redis) as client:
        await overfill(redis)
        (session,) = gateway.worker.hub.sessions
        await until(lambda: session.outbox)
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(40):
                while session.closing is None:
                    await client.say('{"op":"ping","id":"%s"}' % ("x" * 60_000))
        assert session.closing is not None


NO_FRAME = b"\xff\xff\xff\xff"
"""Reserved bits and a reserved opcode."""
CLOSE_FRAME = b"\x88\x82\x00\x00\x00\x00\x03\xe8"
"""Masked, with code 1000."""


async def test_a_stalled_readers_socket_is_gone_whatever_its_last_words(
    redis_url: str, redis: Redis
) -> None:
    patient = changed(slow_limit_s=60.0, ping_interval_s=0.5, pong_limit_s=0.3)
    async with gateway_on(redis_url, patient) as gateway, contextlib.AsyncExitStack() as stack:
        parting = [await stack.enter_async_context(stalled(gateway, redis)) for _ in range(3)]
        await overfill(redis)
        await until(lambda: all(one.outbox for one in gateway.worker.hub.sessions))
        for client, last_words in zip(parting, (NO_FRAME, CLOSE_FRAME, b""), strict=True):
            client.transport.write(last_words)
        await gone(gateway)
        assert not gateway.worker.hub.sessions


async def test_a_client_that_answers_no_ping_is_told_to_come_back(redis_url: str) -> None:
    settings = changed(ping_interval_s=0.1, pong_limit_s=0.1)
    async with gateway_on(redis_url, settings) as gateway, gateway.client() as client:
        client.transport.pause_reading()
        await until(lambda: not gateway.worker.hub.sessions)
        client.transport.resume_reading()
        assert await client.close_code() == 4203


async def test_a_client_that_is_gone_without_a_word_is_forgotten(redis_url: str) -> None:
    """Half open: nothing comes from it, and nothing tells that nothing arrives there."""
    settings = changed(ping_interval_s=1.0, pong_limit_s=1.0)
    async with gateway_on(redis_url, settings) as gateway, proxy_to(gateway.port) as line:
        url, headers = f"ws://127.0.0.1:{line.port}/v1/stream", {"X-API-Key": gateway.key}
        async with client_of(url, headers=headers) as client:
            assert (await client.ask("ping"))["type"] == "pong"
            line.requests.is_dropping = line.answers.is_dropping = True
            await until(lambda: not gateway.worker.hub.sessions)
            await until(lambda: gateway.connections == 0)
            client.transport.abort()


def test_a_client_that_is_gone_is_noticed_within_45_seconds() -> None:
    usual = GatewaySettings()
    assert usual.ping_interval_s + usual.pong_limit_s + GONE_LIMIT_S <= 45.0


async def test_a_gateway_that_stops_says_when_and_then_goodbye(redis_url: str) -> None:
    async with (
        gateway_on(redis_url, changed(shutdown_limit_s=10.0)) as gateway,
        gateway.client() as client,
        gateway.client(encoding="msgpack") as binary,
    ):
        gateway.server.should_exit = True
        for one in (client, binary):
            assert await one.close_code() == 4200
            assert one.heard[-1]["type"] == "drain"
            assert 0 <= one.heard[-1]["within_ms"] <= 10_000


async def test_a_gateway_that_stops_serves_each_until_its_turn(
    redis_url: str, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    settings = changed(shutdown_limit_s=20.0)
    async with gateway_on(redis_url, settings) as gateway, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(gateway.client()) for _ in range(8)]
        for client in clients:
            await client.subscribe(BTC.name)
        gateway.server.should_exit = True
        told = [await client.hear_until(lambda one: one["type"] == "drain") for client in clients]
        assert not gateway.worker.is_ready
        turns_ms = [one["within_ms"] for one in told]
        assert len(set(turns_ms)) > 1
        last = clients[turns_ms.index(max(turns_ms))]
        await publish(trades(2, 2))
        await last.hear_whole(2, 2)
        assert {await client.close_code() for client in clients} == {4200}


async def test_a_gateway_that_stops_waits_for_no_stalled_reader(
    redis_url: str, redis: Redis
) -> None:
    settings = changed(slow_limit_s=60.0, shutdown_limit_s=5.0)
    async with (
        gateway_on(redis_url, settings) as gateway,
        stalled(gateway, redis),
        stalled(gateway, redis) as parting,
    ):
        await overfill(redis)
        await until(lambda: all(one.outbox for one in gateway.worker.hub.sessions))
        parting.transport.write(CLOSE_FRAME)
        await until(lambda: len(gateway.worker.hub.sessions) == 1)
        gateway.server.should_exit = True
        await until(lambda: gateway.connections == 0)


async def test_a_gateway_that_stops_waits_for_no_one_without_a_key(
    gateway: GatewayServer,
) -> None:
    async with client_of(gateway.url, welcome=False) as client:
        gateway.server.should_exit = True
        assert await client.close_code() in {1012, 4200}


async def test_a_client_that_vanishes_is_forgotten(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with gateway.client() as client:
        await client.subscribe(BTC.name)
        client.transport.abort()
        await until(lambda: not gateway.worker.hub.sessions)
        await publish(trades(2, 3))
        assert not gateway.worker.hub.topics[BTC.name].sessions


async def test_a_crowd_that_comes_and_goes_leaves_nothing_behind(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    headers = {"X-API-Key": (await gateway.new_key("unlimited"))[1]}
    before = len(asyncio.all_tasks())
    for _ in range(5):
        async with contextlib.AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(gateway.client(headers=headers)) for _ in range(20)
            ]
            for client in clients:
                await client.subscribe(BTC.name)
    await gone(gateway)
    assert not gateway.worker.hub.sessions
    await until(lambda: len(asyncio.all_tasks()) <= before)


async def test_ends_are_counted_by_their_codes(gateway: GatewayServer) -> None:
    async with gateway.client():
        pass
    async with gateway.client() as client:
        await flood(client, "x" * 65_537)
        assert await client.close_code() == 1009
    async with gateway.client() as client:
        await flood(client, *['{"op":"fly"}'] * 30)
        assert await client.close_code() == 1008
    # A connection may be gone before all that it said has been heard, and its end.
    await until(lambda: gateway.worker.counts.closes == {1000: 1, 1009: 1, 1008: 1})


async def test_refused_upgrades_are_counted_by_their_codes(gateway: GatewayServer) -> None:
    for headers in ({"X-API-Key": "wrong"}, {"X-API-Key": "wrong"}, {"Authorization": "Basic x"}):
        await refusal_of(gateway.url, headers)
    assert gateway.worker.counts.refused_upgrades == {"auth_failed": 3}
