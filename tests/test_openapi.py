"""The OpenAPI document: valid, whole, and true of what a running gateway answers."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import jsonschema
import msgspec
import pytest
from openapi_spec_validator import validate
from redis.asyncio import Redis
from starlette.routing import Route

from feeds.market import (
    Candle,
    Channel,
    Price,
    Quote,
    Reference,
    Share,
    Signal,
    Status,
    Tick,
    TrackRecord,
)
from feeds.market.bus_names import TRACK_RECORDS_KEY
from gateway.app import create_app
from gateway.docs.openapi import openapi
from gateway.rest.routes import REST
from gateway.settings import GatewaySettings
from gateway.web.problems import PROBLEMS
from tests.conftest import in_one_task
from tests.gateway_server import GatewayServer, Publishing, gateway_on
from tests.rest_client import got, rest
from tests.ticks import trades

DOCUMENT = openapi()
PAGES = ("/", "/assets", "/docs")
"""For people, and of no use to programs."""


def holds(value: object, schema: object) -> None:
    """Raises where the document says otherwise."""
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [schema]}
    jsonschema.Draft202012Validator(whole | {"components": DOCUMENT["components"]}).validate(value)


def test_it_is_a_valid_document() -> None:
    validate(DOCUMENT)
    assert DOCUMENT["openapi"] == "3.1.0"
    assert msgspec.json.decode(msgspec.json.encode(DOCUMENT)) == DOCUMENT


def test_every_route_stands_in_it_and_nothing_else() -> None:
    app = create_app(GatewaySettings(), "redis://localhost")
    routed = {
        (route.path, method.lower())
        for route in app.routes
        if isinstance(route, Route) and not any(_is_at(route.path, page) for page in PAGES)
        for method in (route.methods or ()) - {"HEAD"}
    }
    told = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert told == routed


def _is_at(path: str, page: str) -> bool:
    return path == page or (page != "/" and path.startswith(page + "/"))


def test_every_refusal_stands_in_it() -> None:
    assert set(_codes(DOCUMENT)) == PROBLEMS.keys() - {"method_not_allowed"}


def _codes(value: Any) -> Iterator[str]:
    match value:
        case {"properties": {"code": {"enum": codes}}}:
            yield from codes
        case dict():
            for one in value.values():
                yield from _codes(one)
        case list():
            for one in value:
                yield from _codes(one)


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[GatewayServer]:
    async with in_one_task(gateway_on(redis_url, plan="unlimited")) as running:
        yield running


async def test_what_is_answered_is_as_it_says(
    gateway: GatewayServer, redis: Redis, publish: Publishing
) -> None:
    reference = Reference("price:agg:BTC-USD", "50000", 5, "e1", 7)
    signal = Signal("i", "trend", 1, "bull", 0.5, 5, 300, 9, reference, {"macd": 1.5}, 0.1, 0.6)
    share = Share(6, 10, 0.6, 0.31, 0.83)
    await publish(
        [
            *trades(1, 3),
            Tick(Channel.parse("quote:sim:BTC-USD"), Quote("1", "2")),
            Tick(
                Channel.parse("candle.1m:agg:BTC-USD"),
                Candle(0, "1", "2", "1", "2", "3", "4", "1.5", "1", 2, True, received_us=3),
            ),
            Tick(
                Channel.parse("price:agg:BTC-USD"),
                Price("live", "median-v1", 1, 3, 2, 50, 10_000, (), 9, "50100", "1"),
            ),
            Tick(Channel.parse("signal:trend:BTC-USD"), signal),
        ]
    )
    await publish.status("sim", Status("live", 5))
    record = TrackRecord("trend", 1, False, 12, 2, 10, 0, share, 0.1, 0.1, (), "x", False)
    await redis.hset(TRACK_RECORDS_KEY, "trend", msgspec.json.encode(record))
    everything = "trade:sim:*,quote:sim:*,candle.1m:agg:*,price:agg:*,status:sim:*,trade:sim:X"
    asked: dict[str, dict[str, Any]] = {
        "latest": {"channels": everything},
        "candles": {"channel": "candle.1m:agg:BTC-USD"},
        "trades": {"channel": "trade:sim:BTC-USD", "limit": 2},
        "signals": {"model": "trend"},
        "track-record": {"model": "trend"},
        "symbols": {},
        "venues": {},
        "usage": {},
    }
    assert {f"/v1/{path}" for path in asked} == {row.path for row in REST if row.method == "GET"}
    for path, query in asked.items():
        answer = await got(gateway, path, **query)
        assert all(answer.get(part) != [] for part in ("messages", "records", "symbols", "venues"))
        told = DOCUMENT["paths"][f"/v1/{path}"]["get"]["responses"]["200"]
        holds(answer, told["content"]["application/json"]["schema"])
        with pytest.raises(jsonschema.ValidationError):
            holds({}, told["content"]["application/json"]["schema"])


async def test_what_is_refused_is_as_it_says(gateway: GatewayServer) -> None:
    answer = await rest(gateway, "trades", channel="x")
    told = DOCUMENT["paths"]["/v1/trades"]["get"]["responses"][str(answer.status)]
    holds(answer.body, told["content"]["application/problem+json"]["schema"])


async def test_it_is_served_without_a_key_and_kept(gateway: GatewayServer) -> None:
    answer = await rest(gateway, "openapi.json", key="")
    assert answer.body == DOCUMENT
    known = {"If-None-Match": answer.headers["etag"]}
    assert (await rest(gateway, "openapi.json", key="", headers=known)).status == 304
