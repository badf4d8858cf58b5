"""Requests that come slowly, by halves, too large or broken: from raw sockets, to a real gateway.

They are answered or cut off in bounded time, and never logged: they are nobody's failure.
"""

import asyncio
import contextlib
import socket
import struct

import pytest
import uvloop

from gateway.server import half_open
from gateway.server.half_open import HalfOpen
from gateway.server.http import RequestProtocol
from tests.gateway_server import GatewayServer
from tests.raw_client import RawClient, raw_client, upgrade
from tests.until import until

LOOPS = {"uvloop": uvloop.new_event_loop}

HALF = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
WHOLE = HALF + b"\r\n"
LONG = "x" * 9_000
CROWD = 64


async def connected(gateway: GatewayServer, stack: contextlib.AsyncExitStack) -> RawClient:
    return await stack.enter_async_context(raw_client(gateway, upgraded=False))


async def trickle(client: RawClient) -> None:
    """A byte now and then, for as long as anyone listens."""
    with contextlib.suppress(OSError):
        while True:
            await client.say(b"x")
            await asyncio.sleep(0.1)


async def test_whoever_does_not_finish_a_request_is_cut_off(gateway: GatewayServer) -> None:
    beginnings = {
        "nothing": b"",
        "half a line": b"GET /hea",
        "half a head": HALF,
        "half an upgrade": upgrade(gateway.key)[:-2],
        "half a body": b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx",
        "half a second request": WHOLE + HALF,
        "less than half a second request": WHOLE + b"\r\n",
    }
    async with gateway.client() as honest, contextlib.AsyncExitStack() as stack:
        clients = [await connected(gateway, stack) for _ in beginnings]
        for client, beginning in zip(clients, beginnings.values(), strict=True):
            await client.say(beginning)
        slow = await connected(gateway, stack)
        await slow.say(HALF + b"X-Slow: ")
        async with asyncio.TaskGroup() as group:
            group.create_task(trickle(slow))
            for client in (*clients, slow):
                assert await client.is_cut_off()
        await until(lambda: gateway.connections == 1)
        assert (await honest.ask("ping"))["type"] == "pong"


async def test_one_that_was_reset_while_it_was_kept_is_done_with(gateway: GatewayServer) -> None:
    async with raw_client(gateway, upgraded=False) as client:
        await client.say(WHOLE)
        assert (await client.head()).startswith(b"HTTP/1.1 200 ")
        (kept,) = gateway.server.server_state.connections
        assert isinstance(kept, RequestProtocol)
        await until(lambda: kept.timeout_keep_alive_task is not None)
        client.plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.plain.close()
        await until(lambda: gateway.connections == 0)
    assert kept.timeout_keep_alive_task is None


async def test_an_address_that_keeps_many_waiting_has_less_time(
    gateway: GatewayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The others' time is not to be over on a slow machine either.
    monkeypatch.setattr(half_open, "_LIMIT_S", 60.0)
    async with contextlib.AsyncExitStack() as stack:
        patient = [await connected(gateway, stack) for _ in range(CROWD)]
        await until(lambda: gateway.connections == CROWD)
        crowd = [await connected(gateway, stack) for _ in range(20)]
        for client in crowd:
            await client.say(HALF)
            assert await client.is_cut_off()
        await until(lambda: gateway.connections == CROWD)
        for client in patient:
            await client.say(WHOLE)
            assert (await client.head()).startswith(b"HTTP/1.1 200 ")


def test_an_address_has_so_many_places_and_others_have_theirs() -> None:
    places = HalfOpen(crowd=1, most=2)
    assert places.enter("10.0.0.1") == 5.0
    assert places.enter("10.0.0.1") == 1.0
    assert places.enter("10.0.0.1") is None
    assert places.enter("10.0.0.2") == 5.0
    places.leave("10.0.0.1")
    assert places.enter("10.0.0.1") == 1.0


def test_an_ipv6_site_has_the_places_of_one_address() -> None:
    places = HalfOpen(crowd=1, most=1)
    assert places.enter("2001:db8:0:1::1") == 5.0
    assert places.enter("2001:db8:0:1:ffff::2") is None
    assert places.enter("2001:db8:0:2::1") == 5.0
    assert places.enter("::ffff:10.0.0.1") == 5.0
    assert places.enter("10.0.0.1") is None


TOO_LARGE = {
    "path": lambda key: upgrade(key, f"/v1/stream?{LONG}"),
    "header": lambda key: upgrade(key, "/v1/stream", f"X-Long: {LONG}"),
    "many headers": lambda key: upgrade(key, "/v1/stream", *["X-Many: 1"] * 200),
    "large in all": lambda key: upgrade(key, "/v1/stream", *[f"X-Many: {'x' * 400}"] * 30),
    "plain path": lambda _: f"GET /{LONG} HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    "endless path": lambda _: b"GET /" + b"x" * 20_000,
    "endless header": lambda _: HALF + b"X-Endless: " + b"x" * 20_000,
    "endless name": lambda _: HALF + b"x" * 20_000,
}
BROKEN = {
    "nothing at all": lambda _: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "path not ASCII": lambda key: upgrade(key, "/v1/stréam"),
    "tunnel": lambda _: b"CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "two lengths": lambda _: HALF + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "length and chunks": lambda _: (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    ),
    "version of nobody": lambda key: upgrade(key).replace(b"Version: 13", b"Version: 12"),
    "no nonce": lambda key: upgrade(key).replace(b"-Key: AAAA", b"-Key: !"),
    "not GET": lambda key: upgrade(key).replace(b"GET", b"PUT"),
}


@pytest.mark.parametrize("name", [*TOO_LARGE, *BROKEN])
async def test_what_is_too_large_or_broken_is_answered_and_cut_off(
    gateway: GatewayServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    request = (TOO_LARGE | BROKEN)[name](gateway.key)
    async with raw_client(gateway, upgraded=False) as client:
        await client.say(request)
        assert (await client.head()).split()[1] in {b"400", b"405"}
        assert await client.is_cut_off()
        await until(lambda: not gateway.connections)
    assert caplog.records == []


async def test_requests_one_after_the_other_are_all_answered(gateway: GatewayServer) -> None:
    async with raw_client(gateway, upgraded=False) as client:
        for _ in range(50):
            await client.say(WHOLE)
            assert (await client.head()).startswith(b"HTTP/1.1 200 ")
            await client.take(len(b'{"status":"alive"}'))
