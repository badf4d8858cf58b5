"""Which sites' pages may connect: by table, and with a real gateway before the upgrade."""

from collections.abc import AsyncIterator

import pytest
import uvloop
from websockets.exceptions import InvalidStatus

from gateway.web.origins import Origins, check_origin
from tests.conftest import in_one_task
from tests.gateway_server import GatewayServer, changed, gateway_on
from tests.raw_client import raw_client, upgrade
from tests.served import asked
from tests.stream_client import client_of

LOOPS = {"uvloop": uvloop.new_event_loop}

DESK = "https://desk.example"


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[GatewayServer]:
    async with in_one_task(gateway_on(redis_url, changed(origins=(DESK,)))) as running:
        yield running


@pytest.mark.parametrize(
    ("origins", "is_allowed"),
    [
        ([], True),
        ([DESK], True),
        (["https://stream.example"], True),
        (["http://stream.example"], False),
        (["https://stream.example:8443"], False),
        (["http://desk.example"], False),
        (["https://desk.example:8443"], False),
        (["https://desk.example.evil.example"], False),
        (["https://evil-desk.example"], False),
        (["https://sub.desk.example"], False),
        (["https://desk.example/"], False),
        (["HTTPS://DESK.EXAMPLE"], False),
        (["null"], False),
        ([""], False),
        (["*"], False),
        ([DESK, DESK], False),
        ([DESK, "https://evil.example"], False),
    ],
)
def test_an_origin_is_compared_as_a_whole(origins: list[str], is_allowed: bool) -> None:
    listed = Origins((DESK,))
    assert listed.allows(origins, "stream.example", is_secure=True) == is_allowed


@pytest.mark.parametrize(
    ("origin", "host", "is_secure"),
    [
        ("http://127.0.0.1:8787", "127.0.0.1:8787", False),
        ("http://[::1]:8787", "[::1]:8787", False),
        ("https://stream.example", "Stream.example:443", True),
        ("http://stream.example", "stream.example:80", False),
        ("https://stream.example:8443", "stream.example:8443", True),
    ],
)
def test_ones_own_pages_may_connect(origin: str, host: str, is_secure: bool) -> None:
    assert Origins().allows([origin], host, is_secure=is_secure)
    assert not Origins().allows([origin], host, is_secure=not is_secure)


def test_any_site_may_be_let_in_but_never_nobody() -> None:
    assert Origins(("*",)).allows(["https://evil.example"], "a", is_secure=True)
    assert not Origins(("*",)).allows(["null"], "a", is_secure=True)


@pytest.mark.parametrize("text", [DESK, "http://localhost:3000", "*", "http://[::1]:3000"])
def test_what_browsers_write_may_be_listed(text: str) -> None:
    check_origin(text)


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "desk.example",
        "https://desk.example/",
        "https://Desk.example",
        "https://desk.example:443",
        "http://desk.example:80",
        "https://*.desk.example",
        "https://user@desk.example",
        "",
    ],
)
def test_what_no_browser_writes_is_a_mistake(text: str) -> None:
    with pytest.raises(ValueError, match=r"origin|sandboxed"):
        check_origin(text)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
async def test_another_sites_page_is_refused_before_the_upgrade_and_keeps_its_ticket(
    gateway: GatewayServer, origin: str
) -> None:
    sold = await asked(gateway.port, "POST", "/v1/tickets", {"X-API-Key": gateway.key})
    url = f"{gateway.url}?ticket={sold.body['ticket']}"
    with pytest.raises(InvalidStatus) as refused:
        async with client_of(url, headers={"Origin": origin}):
            pass
    assert refused.value.response.status_code == 403
    assert b'"origin_not_allowed"' in (refused.value.response.body or b"")
    assert gateway.worker.counts.refused_upgrades["origin_not_allowed"] == 1
    # It was not even looked at.
    async with client_of(url, origin=DESK):
        pass


async def test_a_cross_site_page_with_a_key_of_its_own_is_refused_too(
    gateway: GatewayServer,
) -> None:
    async with raw_client(gateway, upgraded=False) as client:
        await client.say(upgrade(gateway.key, "/v1/stream", "Origin: https://evil.example"))
        assert (await client.head()).startswith(b"HTTP/1.1 403 ")
        assert await client.is_cut_off()


async def test_two_origins_are_none(gateway: GatewayServer) -> None:
    async with raw_client(gateway, upgraded=False) as client:
        lines = (f"Origin: {DESK}", "Origin: https://evil.example")
        await client.say(upgrade(gateway.key, "/v1/stream", *lines))
        assert (await client.head()).startswith(b"HTTP/1.1 400 ")


async def test_the_gateways_own_page_and_programs_may_connect(gateway: GatewayServer) -> None:
    async with gateway.client(origin=f"http://127.0.0.1:{gateway.port}") as page:
        assert (await page.ask("ping"))["type"] == "pong"
    async with gateway.client() as program:
        assert (await program.ask("ping"))["type"] == "pong"


async def test_a_cookie_is_no_key(gateway: GatewayServer) -> None:
    cookie = f"X-API-Key={gateway.key}; key={gateway.key}; ticket={gateway.key}"
    answer = await asked(gateway.port, "GET", "/v1/usage", {"Cookie": cookie})
    assert answer.status == 401


PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "x-api-key",
}


async def test_a_listed_sites_page_may_buy_a_ticket(gateway: GatewayServer) -> None:
    asks = await asked(gateway.port, "OPTIONS", "/v1/tickets", {"Origin": DESK, **PREFLIGHT})
    assert asks.status == 200
    assert asks.headers["access-control-allow-origin"] == DESK
    headers = {"Origin": DESK, "X-API-Key": gateway.key}
    sold = await asked(gateway.port, "POST", "/v1/tickets", headers)
    assert sold.status == 200
    assert sold.headers["access-control-allow-origin"] == DESK
    assert "access-control-allow-credentials" not in sold.headers
    assert "RateLimit" in sold.headers["access-control-expose-headers"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_another_sites_page_may_not(gateway: GatewayServer, origin: str) -> None:
    asks = await asked(gateway.port, "OPTIONS", "/v1/tickets", {"Origin": origin, **PREFLIGHT})
    assert asks.status == 400
    answer = await asked(gateway.port, "GET", "/v1/usage", {"Origin": origin})
    assert "access-control-allow-origin" not in asks.headers | answer.headers


async def test_a_stream_that_is_none_is_not_found(gateway: GatewayServer) -> None:
    for path in ("/", "/v1/streams", "/v1/stream/", "/v2/stream"):
        async with raw_client(gateway, upgraded=False) as client:
            await client.say(upgrade(gateway.key, path))
            assert (await client.head()).startswith(b"HTTP/1.1 404 ")
            assert await client.is_cut_off()
    assert gateway.worker.counts.refused_upgrades["not_found"] == 4
