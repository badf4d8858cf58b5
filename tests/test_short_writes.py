"""The fast path under pressure: kernels that take a part, replies and pings between, ends midway.

Whatever a socket takes, its stream stays valid WebSocket (the client library sees to that), and
every seq comes once in order or inside an announced gap.
"""

import asyncio
import contextlib
import random
import socket

import pytest
import uvloop
from redis.asyncio import Redis

from gateway.settings import GatewaySettings
from tests.gateway_server import GatewayServer, gateway_on, publish_custom
from tests.stream_client import Client, Message, client_of

LOOPS = {"uvloop": uvloop.new_event_loop}

CHANNEL = "custom:desk:FAST"
CLIENTS = 12
BURSTS = 60
BURST = 20
MESSAGES = BURSTS * BURST
# However long the machine lets them wait.
ROOM_FOR_ALL = GatewaySettings(
    outbox_messages_max=100_000, outbox_bytes_max=1 << 28, outbox_age_max_s=60.0, slow_limit_s=60.0
)
ROOM_FOR_FEW = GatewaySettings(outbox_messages_max=60, outbox_age_max_s=60.0, slow_limit_s=60.0)


def small_socket(gateway: GatewayServer) -> socket.socket:
    """Connected to the gateway, with so small a buffer that every burst is a short write."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    small.connect(("127.0.0.1", gateway.port))
    small.setblocking(False)
    return small


def payloads(chance: random.Random) -> list[bytes]:
    """Of many sizes: around the lengths at which a frame's header changes, and large ones."""
    sizes = [chance.choice((1, 40, 60, 70, 120, 2_000, 9_000)) for _ in range(BURST)]
    return [b'{"x":"%b"}' % (b"x" * size) for size in sizes]


async def publish_all(redis: Redis, chance: random.Random) -> None:
    for _ in range(BURSTS):
        await publish_custom(redis, *payloads(chance), channel=CHANNEL)


async def hear_to_the_end(client: Client, chance: random.Random) -> None:
    """Reads, stops, goes on, asks and pings between, until the last seq is accounted for."""
    last = 0
    while last < MESSAGES:
        if chance.random() < 0.02:
            client.transport.pause_reading()
            await asyncio.sleep(chance.random() * 0.01)
            client.transport.resume_reading()
        if chance.random() < 0.01:
            await client.say({"op": "ping", "id": last})
            await client.connection.ping()
        last = max(last, last_of(await client.hear()))


def last_of(told: Message) -> int:
    if told.get("ch") != CHANNEL or told.get("type") == "state":
        return 0
    return int(told["to"] if told.get("type") == "gap" else told["seq"])


def spans(client: Client) -> list[tuple[int, int]]:
    """First and last seq of each message and each gap, in the order of the wire."""
    of_channel = [told for told in client.heard if last_of(told)]
    return [(told.get("from", last_of(told)), last_of(told)) for told in of_channel]


@pytest.mark.parametrize("settings", [ROOM_FOR_ALL, ROOM_FOR_FEW], ids=["kept", "announced"])
async def test_every_stream_is_whole_under_short_writes(
    redis: Redis, redis_url: str, settings: GatewaySettings
) -> None:
    crowded = gateway_on(redis_url, settings, plan="unlimited")
    async with crowded as gateway, contextlib.AsyncExitStack() as stack:
        await publish_custom(redis, b"{}", channel=CHANNEL)
        clients: list[Client] = []
        for number in range(CLIENTS):
            named = {"sock": small_socket(gateway)} if number % 2 else {}
            client = await stack.enter_async_context(
                client_of(gateway.url, headers={"X-API-Key": gateway.key}, **named)
            )
            [accepted] = await client.subscribe(CHANNEL)
            assert accepted["seq"] == 1
            clients.append(client)
        async with asyncio.timeout(50), asyncio.TaskGroup() as group:
            for number, client in enumerate(clients):
                group.create_task(hear_to_the_end(client, random.Random(number)))
            group.create_task(publish_all(redis, random.Random(7)))
        for client in clients:
            heard = spans(client)[1:]  # the newest message comes first, with the ack
            ends = [1, *(last for _, last in heard)]
            assert [first for first, _ in heard] == [end + 1 for end in ends[:-1]]
            if settings is ROOM_FOR_ALL:
                assert all(first == last for first, last in heard)


async def test_clients_that_leave_amid_a_burst_disturb_nobody_who_stays(
    redis: Redis, redis_url: str
) -> None:
    async with gateway_on(redis_url, ROOM_FOR_ALL) as gateway, gateway.client() as stays:
        await publish_custom(redis, b"{}", channel=CHANNEL)
        await stays.subscribe(CHANNEL)
        async with asyncio.timeout(50), asyncio.TaskGroup() as group:
            group.create_task(publish_all(redis, random.Random(7)))
            hearing = group.create_task(hear_to_the_end(stays, random.Random(1)))
            number = 0
            while not hearing.done():
                number += 1
                async with gateway.client(sock=small_socket(gateway)) as leaves:
                    await leaves.subscribe(CHANNEL)
                    await leaves.hear()
                    if number % 2:
                        leaves.transport.abort()
        assert [last for _, last in spans(stays)] == list(range(1, MESSAGES + 1))
