"""Who is connected, and by what right: ends of many keys at once, what was used when a gateway
stops, and keys of tokens that were taken back."""

import contextlib
from pathlib import Path

import uvloop
from redis.asyncio import Redis

from feeds.market import SystemClock
from gateway.access.admission import Refusal
from gateway.access.key_store import KeyStore
from gateway.access.limit_store import LimitStore
from gateway.metrics import METRICS, observed
from gateway.settings import TokenSettings
from tests.conftest import RedisServer
from tests.gateway_server import GatewayServer, changed, gateway_on
from tests.stream_client import refusal_of
from tests.token_issuer import AUDIENCE, ISSUER, claims_at, jwks, rsa_jwk, signed
from tests.until_answer import until_answer

LOOPS = {"uvloop": uvloop.new_event_loop}
KEYS = 20


async def test_what_was_used_is_written_when_a_gateway_stops(redis_url: str, redis: Redis) -> None:
    """Although the next writing is far away."""
    async with gateway_on(redis_url, changed(usage_interval_s=3_600.0)) as gateway:
        assert gateway.record is not None
        holder_id = gateway.record.id
        async with gateway.client() as client:
            for _ in range(3):
                await client.ask("ping")
    used = await LimitStore(redis, SystemClock()).usage(holder_id)
    assert (used.traffic.commands, used.traffic.connections) == (3, 1)


async def test_many_keys_that_are_revoked_at_once_end_their_sockets_and_no_others(
    gateway: GatewayServer, redis: Redis
) -> None:
    store = KeyStore(redis, SystemClock())
    made = [await gateway.new_key("free") for _ in range(KEYS)]
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(gateway.client(headers={"X-API-Key": key}))
            for _, key in made
        ]
        for record, _ in made[::2]:
            await store.revoke(record.id)
        assert [await client.close_code() for client in clients[::2]] == [4003] * (KEYS // 2)
        for client in clients[1::2]:
            assert (await client.ask("ping"))["type"] == "pong"


async def test_a_token_ends_its_socket_also_while_redis_is_silent(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """However many keys can't be looked at meanwhile."""
    path = tmp_path / "keys.json"
    path.write_bytes(jwks(rsa_jwk()))
    token = TokenSettings(issuer=ISSUER, audience=AUDIENCE, keys=str(path))
    async with gateway_on(redis_server.url, token=token) as gateway:
        made = [await gateway.new_key("free") for _ in range(KEYS)]
        async with contextlib.AsyncExitStack() as stack:
            for _, key in made:
                await stack.enter_async_context(gateway.client(headers={"X-API-Key": key}))
            # Signed last, for a time in which a slow machine gets connected.
            ends_s = SystemClock().now_ns() / 1e9 + 5
            shown = signed(claims_at(ends_s, exp=ends_s))
            headers = {"Authorization": f"Bearer {shown}"}
            client = await stack.enter_async_context(gateway.client(headers=headers))
            assert redis_server.process is not None
            redis_server.process.send_signal(19)
            try:
                assert await client.close_code() == 4003
            finally:
                redis_server.process.send_signal(18)


async def test_a_signing_key_that_was_taken_back_lets_nobody_in_any_more(
    redis_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(jwks(rsa_jwk("first"), rsa_jwk("second")))
    token = TokenSettings(
        issuer=ISSUER, audience=AUDIENCE, keys=str(path), keys_age_max_s=0.1, refresh_s=3_600.0
    )
    async with gateway_on(redis_url, changed(failures_per_minute=10**6), token=token) as gateway:
        admission = gateway.worker.holders.admission
        claims = claims_at(SystemClock().now_ns() / 1e9)

        async def is_admitted(kid: str) -> bool:
            try:
                await admission.holder_of_key(signed(claims, kid), "::1")
            except Refusal:
                return False
            return True

        assert await is_admitted("first")
        path.write_bytes(jwks(rsa_jwk("second")))

        async def is_over() -> bool:
            return not await is_admitted("first")

        assert await until_answer(is_over)
        assert await is_admitted("second")


async def test_an_operator_sees_whether_limits_are_local(redis_server: RedisServer) -> None:
    table = {row.name: row for row in METRICS}
    # The restarted Redis has forgotten the keys: nobody looks at them here.
    async with gateway_on(redis_server.url, changed(key_cache_s=60.0)) as gateway:

        def told(name: str) -> object:
            return table[name].read(observed(gateway.worker, ()))

        async def is_shared() -> bool:
            await client.ask("ping")
            return told("tickgate_limits_local") == 0

        async with gateway.client() as client:
            assert await is_shared()
            redis_server.kill()
            assert not await is_shared()
            redis_server.start()
            assert await until_answer(is_shared)
        assert told("tickgate_usage_dropped_total") == 0


async def test_a_connection_too_many_is_told_how_many_there_may_be(gateway: GatewayServer) -> None:
    _, key = await gateway.new_key("free")
    headers = {"X-API-Key": key}
    async with gateway.client(headers=headers), gateway.client(headers=headers):
        status, told, body = await refusal_of(gateway.url, headers)
    assert (status, body["code"]) == (429, "too_many_connections")
    assert body["message"] == "all 2 connections of the key's plan (free) are in use"
    assert told["RateLimit"] == '"connections";r=0'


async def test_who_shows_too_many_wrong_keys_is_told_the_limit(redis_url: str) -> None:
    async with gateway_on(redis_url, changed(failures_per_minute=1)) as gateway:
        wrong = {"X-API-Key": "none"}
        assert (await refusal_of(gateway.url, wrong))[0] == 401
        status, told, body = await refusal_of(gateway.url, wrong)
    assert (status, body["code"]) == (429, "too_many_failures")
    assert told["RateLimit-Policy"] == '"failures";q=1;w=60'
    assert told["RateLimit"].startswith('"failures";r=0;t=')
    assert int(told["Retry-After"]) > 0
