"""Who is believed about whose request it is: by table, and with a real gateway behind a "proxy"."""

import contextlib
from collections.abc import AsyncIterator

import pytest
import uvloop

from gateway.web.proxies import Proxies, check_proxy
from tests.conftest import in_one_task
from tests.gateway_server import GatewayServer, changed, gateway_on
from tests.raw_client import RawClient, raw_client, upgrade
from tests.served import asked
from tests.stream_client import client_of, refusal_of
from tests.until import until

LOOPS = {"uvloop": uvloop.new_event_loop}

LISTED = Proxies(("10.0.0.0/8", "192.0.2.7", "2001:db8::/32"))
FAILURES = 2
"""So few that one more is not forgiven before half a minute."""
REFUSALS = [401] * FAILURES + [429]


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[GatewayServer]:
    """Behind a proxy on this machine."""
    settings = changed(trusted_proxies=("127.0.0.1",), failures_per_minute=FAILURES)
    async with in_one_task(gateway_on(redis_url, settings)) as running:
        yield running


@pytest.mark.parametrize(
    ("peer", "told", "client"),
    [
        ("198.51.100.1", ["203.0.113.9"], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9, 10.2.3.4,192.0.2.7"], "203.0.113.9"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["203.0.113.9, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["203.0.113.9:5678"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:470::1]:5678"], "2001:470::1"),
        ("10.0.0.1", ["2001:470::1"], "2001:470::1"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("2001:db8::9", ["203.0.113.9"], "203.0.113.9"),
        ("", ["203.0.113.9"], ""),
    ],
)
def test_the_nearest_hop_that_is_no_listed_proxy_is_the_client(
    peer: str, told: list[str], client: str
) -> None:
    assert LISTED.client_of(peer, told) == client


@pytest.mark.parametrize(
    ("peer", "told", "is_secure"),
    [
        ("198.51.100.1", ["https"], False),
        ("10.0.0.1", ["https"], True),
        ("10.0.0.1", ["wss"], True),
        ("10.0.0.1", ["http, https"], True),
        ("10.0.0.1", ["https", "http"], False),
        ("10.0.0.1", ["gopher"], False),
        ("10.0.0.1", [], False),
    ],
)
def test_a_listed_proxy_says_whether_its_client_speaks_tls(
    peer: str, told: list[str], is_secure: bool
) -> None:
    assert LISTED.is_secure(peer, told, default=False) == is_secure


@pytest.mark.parametrize("text", ["10.0.0.7/8", "10.0.0.300", "proxy.example", "0.0.0.0/0", "::/0"])
def test_what_is_no_address_or_everyones_is_a_mistake(text: str) -> None:
    with pytest.raises(ValueError, match=f"{text} is "):
        check_proxy(text)


def forwarded(address: str, proto: str = "http") -> dict[str, str]:
    return {"X-Forwarded-For": address, "X-Forwarded-Proto": proto}


async def wrong_key(gateway: GatewayServer, headers: dict[str, str]) -> int:
    """The status that a wrong key gets."""
    return (await refusal_of(gateway.url, headers={"X-API-Key": "tg_wrong"} | headers))[0]


async def test_clients_of_a_listed_proxy_have_limits_of_their_own(gateway: GatewayServer) -> None:
    assert [await wrong_key(gateway, forwarded("203.0.113.1")) for _ in REFUSALS] == REFUSALS
    assert await wrong_key(gateway, forwarded("203.0.113.2")) == 401
    # What the client wrote itself stands before what the proxy appended.
    assert await wrong_key(gateway, forwarded("198.51.100.7, 203.0.113.1")) == 429
    usage = await asked(
        gateway.port, "GET", "/v1/usage", {"X-API-Key": "tg_wrong", **forwarded("203.0.113.1")}
    )
    assert usage.status == 429


async def test_whoever_is_no_listed_proxy_can_not_say_that_it_is_another_one(
    redis_url: str,
) -> None:
    settings = changed(trusted_proxies=("192.0.2.1",), failures_per_minute=FAILURES)
    async with gateway_on(redis_url, settings) as gateway:
        told = [await wrong_key(gateway, forwarded(f"203.0.113.{n}")) for n in range(3)]
    assert told == REFUSALS


async def test_without_listed_proxies_nobody_is_believed(redis_url: str) -> None:
    async with gateway_on(redis_url, changed(failures_per_minute=FAILURES)) as gateway:
        told = [await wrong_key(gateway, forwarded(f"203.0.113.{n}")) for n in range(3)]
    assert told == REFUSALS


async def test_a_page_behind_a_proxy_that_ends_tls_is_our_own(gateway: GatewayServer) -> None:
    headers = {"X-API-Key": gateway.key}
    own = f"https://127.0.0.1:{gateway.port}"
    async with client_of(
        gateway.url, headers=headers | forwarded("203.0.113.1", "https"), origin=own
    ):
        pass
    status, _, body = await refusal_of(
        gateway.url, headers=headers | forwarded("203.0.113.1"), origin=own
    )
    assert (status, body["code"]) == (403, "origin_not_allowed")


POST = "POST /v1/tickets HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {}\r\nContent-Length: 9\r\n\r\n"


async def unfinished(client: RawClient, address: str) -> None:
    await client.say(POST.format(address).encode())


async def test_a_proxys_clients_have_half_open_places_of_their_own(
    gateway: GatewayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 of one client wait long, its next for 1 s; another client's and the proxy's long."""
    monkeypatch.setattr("gateway.server.half_open._LIMIT_S", 600.0)
    async with contextlib.AsyncExitStack() as stack:

        async def connected() -> RawClient:
            return await stack.enter_async_context(raw_client(gateway, upgraded=False))

        for _ in range(64):
            await unfinished(await connected(), "203.0.113.1")
        fresh = [await connected() for _ in range(3)]
        await unfinished(fresh[1], "203.0.113.2")
        await until(lambda: gateway.connections == 67)
        crowd = [await connected() for _ in range(5)]
        for client in crowd:
            await unfinished(client, "203.0.113.1")
        for client in crowd:
            assert await client.is_cut_off()
        await until(lambda: gateway.connections == 67)


async def test_a_stream_that_came_by_a_proxy_is_handed_over_as_its_clients(
    gateway: GatewayServer,
) -> None:
    async with raw_client(gateway, upgraded=False) as client:
        await client.say(upgrade(gateway.key, "/v1/stream", "X-Forwarded-For: 203.0.113.1"))
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        [protocol] = gateway.server.server_state.connections
        assert protocol.client == ("203.0.113.1", 0)
