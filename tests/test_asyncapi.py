"""The AsyncAPI document: valid by the published schema, whole, and true of what is really said."""

import gzip
from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import pytest
from redis.asyncio import Redis

from feeds.market import Channel, Status
from feeds.market.channel import KINDS
from gateway.docs.asyncapi import asyncapi
from gateway.errors import CLOSES, ERRORS
from gateway.fanout.sent import PAYLOADS
from gateway.protocol import SUBPROTOCOLS, Announcement, Command
from tests.gateway_server import GatewayServer, Publishing, changed, gateway_on, publish_custom
from tests.rest_client import rest
from tests.ticks import quote, trades

DOCUMENT = asyncapi()
CHANNEL = DOCUMENT["channels"]["stream"]
MESSAGES = DOCUMENT["components"]["messages"]
PUBLISHED = Path(__file__).with_name("asyncapi") / "3.0.0.json.gz"


def holds(value: object, name: str) -> None:
    """Raises where the document says otherwise of a message."""
    whole = {"allOf": [MESSAGES[name]["payload"]], "components": DOCUMENT["components"]}
    jsonschema.Draft7Validator(whole).validate(value)


def name_of(message: dict[str, Any]) -> str:
    """Under which it stands in the document."""
    tag = message.get("type")
    if tag in ("list", "usage"):
        return f"{tag}_reply"
    if tag is not None:
        return str(tag)
    if "buy_sz" in message:
        return "TradesMessage"
    kind = Channel.parse(message["ch"]).promises.name
    return f"{PAYLOADS[kind].__name__}Message"


def test_it_is_valid_by_the_published_schema() -> None:
    schema = msgspec.json.decode(gzip.decompress(PUBLISHED.read_bytes()))
    assert [
        error.message for error in jsonschema.Draft7Validator(schema).iter_errors(DOCUMENT)
    ] == []
    assert msgspec.json.decode(msgspec.json.encode(DOCUMENT)) == DOCUMENT


def test_every_command_announcement_and_kind_of_data_stands_in_it() -> None:
    titles = {one["title"] for one in MESSAGES.values()}
    expected = {one.__name__ for one in (*get_args(Command), *get_args(Announcement))}
    expected |= {f"{PAYLOADS[kind].__name__}Message" for kind in KINDS} | {"TradesMessage"}
    assert titles == expected
    assert CHANNEL["messages"].keys() == MESSAGES.keys()
    received = [one for one in DOCUMENT["operations"].values() if one["action"] == "receive"]
    assert len(received) == len(get_args(Command))
    assert all("reply" in one for one in received)


def test_every_code_and_subprotocol_stands_in_it() -> None:
    assert [one["code"] for one in CHANNEL["x-closes"]] == [row.code for row in CLOSES.values()]
    assert [one["code"] for one in CHANNEL["x-errors"]] == list(ERRORS)
    headers = CHANNEL["bindings"]["ws"]["headers"]["properties"]
    assert headers["Sec-WebSocket-Protocol"]["enum"] == list(SUBPROTOCOLS)


async def test_what_is_said_is_as_it_says(
    gateway: GatewayServer, redis: Redis, publish: Publishing
) -> None:
    await publish([*trades(1, 3), *quote("1")])
    await publish.status("sim", Status("live", 5))
    await publish_custom(redis, b'{"mood":"bull"}', channel="custom:desk:A")
    names = ["trade:sim:*", "quote:sim:*", "custom:desk:*", "status:sim:*", "trade:sim:X"]
    async with gateway.client() as client:
        first = await client.ask("subscribe", channels=names, since={"trade:sim:BTC-USD": ["x", 1]})
        assert [len(first[part]) > 0 for part in ("ok", "err")] == [True, True]
        for op in ("list", "ping", "usage", "unknown"):
            await client.ask(op)
        await client.say({"op": "nameless"})
        nameless = await client.hear_until(lambda told: told.get("type") == "error")
        assert nameless["id"] is None
        await publish([*trades(4, 4), *quote("2")])
        await client.hear_until(lambda told: told.get("id") == "4" and "px" in told)
        await redis.delete("tickgate:{quote:sim:BTC-USD}:head")
        await publish(quote("3"))
        await client.hear_until(lambda told: told.get("bid") == "3")
    heard = {name_of(message) for message in client.heard}
    assert heard >= {
        *("welcome", "ack", "list_reply", "pong", "usage_reply", "error", "reset"),
        *("TradeMessage", "QuoteMessage", "CustomMessage", "StatusMessage"),
    }
    for message in client.heard:
        holds(message, name_of(message))
        with pytest.raises(jsonschema.ValidationError):
            holds({}, name_of(message))


async def test_what_stands_for_several_is_as_it_says(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with gateway.client() as client:
        await client.ask("subscribe", channels=["trade:sim:BTC-USD"], rate="200ms")
        await publish(trades(2, 9))
        several = await client.hear_until(lambda told: told.get("n", 0) > 1)
    holds(several, "TradesMessage")


async def test_what_is_said_at_the_end_is_as_it_says(redis_url: str) -> None:
    settings = changed(heartbeat_ms=50)
    async with gateway_on(redis_url, settings) as gateway, gateway.client() as client:
        heartbeat = await client.hear_until(lambda told: told["type"] == "heartbeat")
        gateway.server.should_exit = True
        drain = await client.hear_until(lambda told: told["type"] == "drain")
    holds(heartbeat, "heartbeat")
    holds(drain, "drain")


async def test_it_is_served_without_a_key(gateway: GatewayServer) -> None:
    assert (await rest(gateway, "asyncapi.json", key="")).body == DOCUMENT
