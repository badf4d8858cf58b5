"""Clients that ask more than their plan allows: each command is answered, or the connection ends;
who goes on is heard less and less often, and then not at all."""

import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest
import uvloop
from websockets.exceptions import ConnectionClosed

from gateway.access.plans import PLANS
from tests.conftest import in_one_task
from tests.gateway_server import GatewayServer, changed, gateway_on
from tests.stream_client import Client

LOOPS = {"uvloop": uvloop.new_event_loop}

PLANS_HERE = PLANS | {
    "three": msgspec.structs.replace(
        PLANS["free"], name="three", commands_per_s=0.01, commands_burst=3
    )
}
REFUSED_MAX = 4
"""So few that none is forgiven while a test counts: each takes 15 s."""


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[GatewayServer]:
    """In the place of the usual one: it loses its patience sooner."""
    settings = changed(refused_commands_max=REFUSED_MAX)
    async with in_one_task(gateway_on(redis_url, settings, plans=PLANS_HERE)) as running:
        yield running


async def answers_of(client: Client, count: int) -> list[str]:
    """What so many commands at once are answered, until the connection ends."""
    try:
        for number in range(count):
            await client.say({"op": "ping", "id": number})
        while sum("id" in one for one in client.heard) < count:
            await client.hear()
    except ConnectionClosed:
        pass
    return [one.get("code", one["type"]) for one in client.heard if "id" in one]


async def test_each_command_of_a_burst_is_answered_in_order(gateway: GatewayServer) -> None:
    _, key = await gateway.new_key("three")
    async with gateway.client(headers={"X-API-Key": key}) as client:
        answers = await answers_of(client, 3 + REFUSED_MAX)
        assert answers == ["pong"] * 3 + ["rate_limited"] * REFUSED_MAX
        assert [one["id"] for one in client.heard if "id" in one] == list(range(3 + REFUSED_MAX))


async def test_a_client_that_goes_on_after_refusals_is_closed_with_4101(
    gateway: GatewayServer,
) -> None:
    _, key = await gateway.new_key("three")
    async with gateway.client(headers={"X-API-Key": key}) as client:
        answers = await answers_of(client, 500)
        assert answers == ["pong"] * 3 + ["rate_limited"] * (REFUSED_MAX + 1)
        assert await client.close_code() == 4101


async def test_what_a_refused_client_says_meanwhile_is_not_read(gateway: GatewayServer) -> None:
    """It waits in the kernels' buffers: a refusal costs the gateway little, however many come."""
    _, key = await gateway.new_key("three")
    async with (
        gateway.client(headers={"X-API-Key": key}) as flooding,
        gateway.client() as honest,
    ):
        with contextlib.suppress(ConnectionClosed):
            for number in range(2_000):
                await flooding.say({"op": "ping", "id": number})
        refusals = gateway.worker.counts.refusals
        assert (await honest.ask("ping"))["type"] == "pong"
        assert refusals["rate_limited"] <= REFUSED_MAX + 1
        assert await flooding.close_code() == 4101
        assert refusals["rate_limited"] == REFUSED_MAX + 1
        assert (await honest.ask("ping"))["type"] == "pong"


async def test_the_key_of_a_closed_flooder_may_come_back(gateway: GatewayServer) -> None:
    _, key = await gateway.new_key("free")
    headers = {"X-API-Key": key}
    async with gateway.client(headers=headers) as client:
        await answers_of(client, 200)
        assert await client.close_code() == 4101
    async with gateway.client(headers=headers) as client:
        assert client.heard[0]["type"] == "welcome"
