"""Who is let in to the stream, and what those get who should not be; real sockets."""

import contextlib

import msgspec
import pytest
import uvloop
from redis.asyncio import Redis
from websockets.exceptions import ConnectionClosed

from feeds.market import SystemClock
from gateway.access.key_store import KeyStore
from tests.gateway_server import GatewayServer, changed, gateway_on
from tests.stream_client import client_of, refusal_of

LOOPS = {"uvloop": uvloop.new_event_loop}


@pytest.mark.parametrize(
    "header", ["X-API-Key: {}", "Authorization: Bearer {}", "authorization: bearer  {}"]
)
async def test_a_key_in_a_header_is_welcome(gateway: GatewayServer, header: str) -> None:
    name, _, value = header.format(gateway.key).partition(": ")
    async with client_of(gateway.url, headers={name: value}) as client:
        (welcome,) = client.heard
    assert welcome.pop("session")
    assert welcome == {
        "type": "welcome",
        "protocol": 1,
        "heartbeat_ms": 600_000,
        "limits": {
            "connections": 10,
            "subscriptions": 1_024,
            "commands_per_s": 20,
            "commands_burst": 100,
            "messages_per_s": 20_000,
        },
    }


WRONG_KEYS = (
    {"X-API-Key": ""},
    {"X-API-Key": "tg_aaaaaaaa_" + "A" * 43},
    {"X-API-Key": "not a key"},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer tg_aaaaaaaa_" + "A" * 43},
    {"Authorization": "Basic dXNlcjpwYXNz"},
)


async def test_a_wrong_key_is_refused_before_the_upgrade(
    gateway: GatewayServer, caplog: pytest.LogCaptureFixture
) -> None:
    for headers in WRONG_KEYS:
        status, _, body = await refusal_of(gateway.url, headers)
        assert (status, body["code"]) == (401, "auth_failed")
    assert caplog.records == [], "a wrong key is nobody's failure"


async def test_a_revoked_key_is_refused_before_the_upgrade(
    gateway: GatewayServer, redis: Redis
) -> None:
    assert gateway.record is not None
    await KeyStore(redis, SystemClock()).revoke(gateway.record.id)
    status, _, _ = await refusal_of(gateway.url, {"X-API-Key": gateway.key})
    assert status == 401


KEY_QUERIES = ("key={}", "api_key={}", "token={}", "a=1&access_token={}", "API_KEY={}", "%6bey={}")


async def test_a_key_in_the_url_is_refused_even_if_it_is_valid(gateway: GatewayServer) -> None:
    for query in KEY_QUERIES:
        url = f"{gateway.url}?{query.format(gateway.key)}"
        status, _, body = await refusal_of(url, {"X-API-Key": gateway.key})
        assert (status, body["code"]) == (400, "key_in_url")
        assert gateway.key not in msgspec.json.encode(body).decode()


async def test_an_unknown_subprotocol_is_refused_with_the_known_ones(
    gateway: GatewayServer,
) -> None:
    headers = {"X-API-Key": gateway.key}
    status, _, body = await refusal_of(gateway.url, headers, encoding="xml")
    assert (status, body["code"]) == (400, "unknown_subprotocol")
    assert "tickgate.v1.json, tickgate.v1.msgpack" in body["message"]


async def test_a_key_may_come_as_the_first_command(gateway: GatewayServer) -> None:
    async with client_of(gateway.url, welcome=False) as client:
        ack = await client.ask("auth", key=gateway.key)
        assert [told["type"] for told in client.heard] == ["welcome", "ack"]
        assert ack == {"type": "ack", "id": 1, "ok": [], "err": []}
        again = await client.ask("auth", key=gateway.key)
        assert again["code"] == "already_authenticated"


async def test_before_the_key_nothing_else_is_heard(gateway: GatewayServer) -> None:
    async with client_of(gateway.url, welcome=False) as client:
        for op in ("ping", "list"):
            assert (await client.ask(op))["code"] == "auth_required"
        refused = await client.ask("subscribe", channels=["trade:sim:*"])
        assert refused["code"] == "auth_required"
        assert (await client.ask("fly"))["code"] == "bad_message"
        assert (await client.ask("auth", key=gateway.key))["type"] == "ack"


async def test_a_wrong_key_in_a_command_ends_the_connection(gateway: GatewayServer) -> None:
    async with client_of(gateway.url, welcome=False) as client:
        await client.say({"op": "auth", "key": "tg_aaaaaaaa_" + "A" * 43})
        assert await client.close_code() == 4002


async def test_whoever_shows_no_key_in_time_is_closed(redis_url: str) -> None:
    async with (
        gateway_on(redis_url, changed(auth_limit_s=1.0)) as gateway,
        client_of(gateway.url, welcome=False) as client,
    ):
        with contextlib.suppress(ConnectionClosed):  # Where all stood still, it is late already.
            await client.ask("ping")
        assert await client.close_code() == 4001


HOSTILE: tuple[str | bytes, ...] = (
    '{"op":"ping","id":18446744073709551616}',
    '{"op":"fly","id":18446744073709551616}',
    '{"op":"ping","id":"\\ud800"}',
    '{"op":"subscribe","channels":["\\ud800"]}',
    '{"op":"subscribe","channels":[],"since":' + "[" * 20_000,
    b"\xff" * 100,
    b"\x81" * 10_000,
    "",
    b"",
)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_no_message_of_a_client_is_our_failure(gateway: GatewayServer, encoding: str) -> None:
    async with gateway.client(encoding=encoding) as client:
        for said in HOSTILE:
            await client.say(said)
            assert (await client.ask("ping"))["type"] == "pong", said
    async with client_of(gateway.url, encoding=encoding, welcome=False) as client:
        for said in HOSTILE:
            await client.say(said)
        assert (await client.ask("auth", key=gateway.key))["type"] == "ack"
