"""No secret is ever logged, however much is logged: every logger there is tells all that it can."""

import contextlib
import logging

import pytest
import uvloop
from websockets.exceptions import InvalidStatus

from tests.gateway_server import GatewayServer
from tests.served import asked
from tests.stream_client import client_of

LOOPS = {"uvloop": uvloop.new_event_loop}

WRONG = "tg_aaaaaaaa_" + "Canary" * 7 + "A"


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Of all loggers but the tests' own client, which tells what it sends."""
    caplog.set_level(logging.WARNING, "websockets")
    names = [name for name in logging.root.manager.loggerDict if "websockets" not in name]
    for name in (None, "uvicorn.error", *names):
        caplog.set_level(1, name)
    return caplog


async def show(gateway: GatewayServer, key: str) -> None:
    """In every way there is."""
    with contextlib.suppress(InvalidStatus):
        async with client_of(gateway.url, headers={"X-API-Key": key}) as client:
            await client.ask("auth", key=key)
    async with client_of(gateway.url, welcome=False) as client:
        await client.say({"op": "auth", "id": 1, "key": key})
        await client.say({"op": "auth", "id": 1, "key": key})
        with contextlib.suppress(TimeoutError):
            await client.hear_until(lambda told: told.get("code") == "already_authenticated")
    with contextlib.suppress(InvalidStatus):
        async with client_of(f"{gateway.url}?api_key={key}", welcome=False):
            pass
    for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
        await asked(gateway.port, "GET", "/v1/usage", headers)
    await asked(gateway.port, "GET", f"/v1/usage?token={key}", {})
    await asked(gateway.port, "GET", f"/{key}", {})


async def test_no_key_is_logged_however_much_is_logged(
    gateway: GatewayServer, everything: pytest.LogCaptureFixture
) -> None:
    await show(gateway, gateway.key)
    bought = await asked(gateway.port, "POST", "/v1/tickets", {"X-API-Key": gateway.key})
    ticket = bought.body["ticket"]
    async with client_of(f"{gateway.url}?ticket={ticket}") as client:
        await client.ask("ping")
    assert '"WebSocket /v1/stream?…" 400' in everything.text
    for secret in (gateway.key.split("_", 2)[2], ticket.split("_", 1)[1]):
        assert secret not in everything.text


async def test_no_wrong_key_is_logged_however_much_is_logged(
    gateway: GatewayServer, everything: pytest.LogCaptureFixture
) -> None:
    with contextlib.suppress(Exception):
        await show(gateway, WRONG)
    assert gateway.worker.counts.refused_upgrades["auth_failed"] >= 1
    assert "CanaryCanary" not in everything.text
