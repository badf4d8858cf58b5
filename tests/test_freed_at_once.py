"""What has ended is freed by itself: the garbage collector need not find it, which may take long.

As long as it waits for that, what comes next takes other memory, and a process grows for nothing.
"""

import gc
from collections.abc import Awaitable, Callable, Iterator
from types import FunctionType

import pytest
import uvloop

from gateway.errors import CLOSES
from gateway.fanout.session import Session
from gateway.patience import patience
from gateway.server.hearing import Hearing
from gateway.server.http import RequestProtocol
from gateway.server.sink import FrameSink
from gateway.server.websocket import StreamProtocol
from gateway.transports.listener import StreamListener
from tests.gateway_server import GatewayServer
from tests.raw_client import raw_client, upgrade
from tests.served import asked
from tests.stream_client import refusal_of
from tests.until import until

LOOPS = {"uvloop": uvloop.new_event_loop}

OF_A_CONNECTION = (
    RequestProtocol,
    StreamProtocol,
    FrameSink,
    Hearing,
    StreamListener,
    Session,
)


@pytest.fixture
def uncollected() -> Iterator[None]:
    """The collector is off, with nothing left for it to find."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def say_goodbye(gateway: GatewayServer) -> None:
    async with gateway.client() as client:
        await client.ask("ping")


async def vanish(gateway: GatewayServer) -> None:
    async with gateway.client() as client:
        await client.ask("ping")
        client.transport.abort()


async def be_sent_away(gateway: GatewayServer) -> None:
    async with gateway.client() as client:
        await client.ask("ping")
        next(iter(gateway.worker.hub.sessions)).end(CLOSES["policy"])
        await client.close_code()


async def be_refused(gateway: GatewayServer) -> None:
    await refusal_of(gateway.url, {"X-API-Key": "no key"})


async def ask_by_http(gateway: GatewayServer) -> None:
    await asked(gateway.port, "GET", "/v1/venues", {"X-API-Key": gateway.key})


async def upgrade_badly(gateway: GatewayServer) -> None:
    head = upgrade(gateway.key).replace(b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 1")
    async with raw_client(gateway, upgraded=False) as client:
        await client.say(head)
        await client.is_cut_off()


async def break_the_rules(gateway: GatewayServer) -> None:
    async with raw_client(gateway) as client:
        await client.say(b"\x81\x00")  # not masked
        await client.hear_all()


ENDS = (
    say_goodbye,
    vanish,
    be_sent_away,
    be_refused,
    ask_by_http,
    upgrade_badly,
    break_the_rules,
)


@pytest.mark.parametrize("end", ENDS)
async def test_a_connection_that_has_ended_is_freed_without_the_collector(
    gateway: GatewayServer, uncollected: None, end: Callable[[GatewayServer], Awaitable[None]]
) -> None:
    await end(gateway)
    await until(lambda: not alive(*OF_A_CONNECTION))


async def test_a_wait_that_is_over_is_freed_without_the_collector(uncollected: None) -> None:
    async with patience(60.0):
        pass
    steps = [one for one in alive(FunctionType) if one.__qualname__.startswith("patience.")]
    assert not steps


def alive(*types: type) -> list[object]:
    return [one for one in gc.get_objects() if type(one) in types]
