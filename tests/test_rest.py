"""What keys ask by plain HTTP, and what every answer tells of their limits; real sockets."""

import re
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette

from feeds.market import SystemClock
from gateway.access.admission import Admission
from gateway.access.key_store import KeyStore, KnownKeys
from gateway.access.keys import Holder
from gateway.access.limit_store import LimitStore
from gateway.access.plans import PLANS
from gateway.access.tickets import Tickets
from gateway.access.usage import Ledger, Month
from gateway.bus.directory import Directory
from gateway.rest import EXCEPTION_HANDLERS, REST_ROUTES, Rest, Sources
from gateway.rest.readings import Readings
from tests.conftest import RedisServer, in_one_task
from tests.served import Answer, Served, asked

PLANS_HERE = PLANS | {
    "tight": msgspec.structs.replace(
        PLANS["free"], name="tight", rest_per_minute=2, rest_per_month=3
    )
}


class Gateway:
    """One that serves no stream."""

    def __init__(self, redis: Redis) -> None:
        clock = SystemClock()
        self.store = KeyStore(redis, clock)
        self.tickets = Tickets(redis)
        self.ledger = Ledger()
        known = KnownKeys(self.store, clock, cache_s=0.0, grace_s=60.0)
        limits = LimitStore(redis, clock, answer_limit_s=20.0)
        self.admission = Admission(
            known, self.tickets, None, limits, PLANS_HERE, failures_per_minute=10
        )

        async def usage_of(holder_id: str) -> Month:
            await limits.write(self.ledger)
            return await limits.usage(holder_id)

        async def look_up(_: Sequence[str]) -> None: ...

        sources = Sources(
            Directory(),
            look_up,
            Readings(redis),
            self.tickets,
            usage_of,
            3.0,
            clock,
        )
        self.app = Starlette(routes=list(REST_ROUTES), exception_handlers=EXCEPTION_HANDLERS)
        self.app.state.rest = Rest(self.admission, limits, sources)
        self.port = 0

    async def ask(self, method: str, path: str, key: str) -> Answer:
        return await asked(self.port, method, path, {"X-API-Key": key} if key else {})


@pytest.fixture
async def gateway(redis: Redis) -> AsyncIterator[Gateway]:
    running = Gateway(redis)
    async with in_one_task(Served(running.app)) as running.port:
        yield running


async def test_a_ticket_is_sold_to_who_shows_a_key(gateway: Gateway) -> None:
    record, key = await gateway.store.create("bot", "pro")
    sold = await gateway.ask("POST", "/v1/tickets", key)
    assert (sold.status, sold.headers["cache-control"]) == (200, "no-store")
    assert sold.body.keys() == {"ticket", "expires_ms"}
    assert sold.body["expires_ms"] == 30_000
    assert await gateway.tickets.take(sold.body["ticket"]) == record.holder(key)


@pytest.mark.parametrize(("key", "code"), [("", "auth_required"), ("wrong", "auth_failed")])
async def test_nobody_else_gets_anything(gateway: Gateway, key: str, code: str) -> None:
    for method, path in (("POST", "/v1/tickets"), ("GET", "/v1/usage")):
        answer = await gateway.ask(method, path, key)
        assert (answer.status, answer.body["code"]) == (401, code)
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_ticket_buys_no_ticket(gateway: Gateway) -> None:
    ticket = await gateway.tickets.sell(Holder("aaaaaaaa", "pro"))
    assert (await gateway.ask("POST", f"/v1/tickets?ticket={ticket}", "")).status == 401


async def test_usage_tells_what_was_counted_a_moment_ago(gateway: Gateway) -> None:
    record, key = await gateway.store.create("bot", "pro")
    gateway.ledger.of(record.id).messages += 41
    usage = (await gateway.ask("GET", "/v1/usage", key)).body
    assert usage.pop("month")
    assert usage == {
        "plan": "pro",
        "connections": {"open": 0, "limit": 10},
        "rest": {"used": 1, "limit": 1_000_000},
        "messages": 41,
        "bytes": 0,
        "commands": 0,
        "connections_opened": 0,
    }


async def test_every_answer_tells_what_is_left_and_a_refusal_until_when(gateway: Gateway) -> None:
    _, key = await gateway.store.create("bot", "tight")
    first, second, third = [await gateway.ask("GET", "/v1/usage", key) for _ in range(3)]
    assert first.headers["ratelimit-policy"].startswith('"minute";q=2;w=60, "month";q=3;w=2')
    assert first.headers["ratelimit"].startswith('"minute";r=1;t=30, "month";r=2;t=')
    assert "retry-after" not in first.headers
    # Full again a minute after the first of them: a little of that may be over.
    left = re.match(r'"minute";r=0;t=(\d+), "month";r=1;t=', second.headers["ratelimit"])
    assert left is not None
    assert 30 < int(left[1]) <= 60
    assert (third.status, third.body["code"]) == (429, "rate_limited")
    assert 1 <= int(third.headers["retry-after"]) <= 30
    assert third.headers["ratelimit"].startswith('"minute";r=0;t=')


async def test_an_unlimited_plan_has_nothing_to_tell(gateway: Gateway) -> None:
    _, key = await gateway.store.create("bot", "unlimited")
    answer = await gateway.ask("GET", "/v1/usage", key)
    assert answer.status == 200
    assert not any(name.startswith("ratelimit") for name in answer.headers)


async def test_without_redis_a_known_key_is_told_to_come_back(
    redis_server: RedisServer, gateway: Gateway
) -> None:
    _, key = await gateway.store.create("bot", "pro")
    await gateway.ask("GET", "/v1/usage", key)
    redis_server.kill()
    for method, path in (("POST", "/v1/tickets"), ("GET", "/v1/usage")):
        answer = await gateway.ask(method, path, key)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
