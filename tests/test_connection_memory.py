"""What an idle connection leaves in the gateway's memory: objects are counted, not bytes of RSS.

The clients are plain sockets, so that nearly all that is new in this process is the gateway's.
"""

import contextlib
import gc
import sys
from collections.abc import AsyncIterator

import pytest
import uvloop
from redis.asyncio import Redis
from starlette.websockets import WebSocket
from websockets.frames import Frame

from gateway.fanout.session import Session
from gateway.server.sink import FrameSink
from gateway.server.websocket import StreamProtocol
from gateway.transports.listener import StreamListener
from tests.conftest import in_one_task
from tests.gateway_server import GatewayServer, gateway_on, publish_custom
from tests.raw_client import TEXT, RawClient, framed, raw_client
from tests.until import until

LOOPS = {"uvloop": uvloop.new_event_loop}

CHANNEL = "custom:desk:IDLE"
SUBSCRIBE = framed(TEXT, b'{"op":"subscribe","channels":["%b"]}' % CHANNEL.encode())
CLIENTS = 20
OBJECTS_MAX = 60
BYTES_MAX = 9_216
"""Measured: 51 objects that the garbage collector sees, of 7.8 KiB in all (Python 3.11)."""


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[GatewayServer]:
    """With a key that may have a crowd of connections."""
    async with in_one_task(gateway_on(redis_url, plan="unlimited")) as running:
        yield running


def tracked() -> list[object]:
    gc.collect()
    return gc.get_objects()


async def connect(gateway: GatewayServer, stack: contextlib.AsyncExitStack) -> RawClient:
    client = await stack.enter_async_context(raw_client(gateway))
    await client.say(SUBSCRIBE)
    while b'"ack"' not in (await client.hear()).payload:
        pass
    return client


async def is_at_rest(gateway: GatewayServer) -> None:
    """No task of a connection runs any more."""
    await until(lambda: not gateway.server.server_state.tasks)


async def test_an_idle_connection_keeps_few_objects_and_no_task(
    gateway: GatewayServer, redis: Redis
) -> None:
    await publish_custom(redis, b"{}", channel=CHANNEL)
    async with contextlib.AsyncExitStack() as stack:
        await connect(gateway, stack)
        await is_at_rest(gateway)
        known = set(map(id, tracked()))
        for _ in range(CLIENTS):
            await connect(gateway, stack)
        await is_at_rest(gateway)
        new = [one for one in tracked() if id(one) not in known and one is not known]
        assert len(new) / CLIENTS <= OBJECTS_MAX
        assert sum(map(sys.getsizeof, new)) / CLIENTS <= BYTES_MAX
        assert not [one for one in new if isinstance(one, WebSocket)]
        assert len(gateway.worker.hub.sessions) == CLIENTS + 1


async def test_the_largest_message_is_not_kept_until_the_next(gateway: GatewayServer) -> None:
    async with raw_client(gateway) as client:
        await client.say(framed(TEXT, b'{"op":"ping","id":"%b"}' % (b"x" * 60_000)))
        assert len((await client.hear()).payload) > 60_000
        await is_at_rest(gateway)
        kept = [one for one in tracked() if isinstance(one, Frame)]
        assert kept
        assert not any(len(one.data) for one in kept)


async def test_a_crowd_that_has_left_leaves_nothing(gateway: GatewayServer) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(CLIENTS):
            await stack.enter_async_context(raw_client(gateway))
    await until(lambda: not gateway.connections)
    await is_at_rest(gateway)
    kinds = (StreamProtocol, FrameSink, Session, StreamListener)
    # The last passes of the loop may still hold one.
    await until(lambda: not [one for one in tracked() if isinstance(one, kinds)])
