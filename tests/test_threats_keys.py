"""Strangers at the door, and keys that overreach: shown to a real gateway over a real socket.

What else proves what is required of keys: the table in test_threats.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import itertools
import json
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
import uvloop
from redis.asyncio import Redis
from websockets.exceptions import InvalidStatus

from feeds.market import SystemClock
from gateway.access import holders
from gateway.access.key_store import KeyStore
from gateway.access.limit_store import LimitStore
from gateway.access.plans import PLANS
from gateway.settings import GatewaySettings, TokenSettings
from tests.conftest import RedisServer
from tests.gateway_server import GatewayServer, Publishing, changed, gateway_on
from tests.stream_client import Client, client_of, refusal_of
from tests.ticks import BTC, ETH, trades
from tests.token_issuer import ISSUER, claims_at, joined, jwks, rsa_jwk, rsa_public_pem, signed
from tests.until import until
from tests.until_answer import until_answer

LOOPS = {"uvloop": uvloop.new_event_loop}

NEVER_MADE = "tg_aaaaaaaa_" + "A" * 43


async def refused(url: str, shown: str, header: str = "X-API-Key") -> tuple[int, str]:
    """Status and code of an upgrade."""
    status, _, body = await refusal_of(url, {header: shown})
    return status, body["code"]


async def closed(url: str, shown: str) -> int:
    """The close code that an `auth` with it gets; nothing is heard before."""
    async with client_of(url, welcome=False) as client:
        await client.say({"op": "auth", "id": 1, "key": shown})
        code = await client.close_code()
        assert client.heard == []
        return code


async def test_no_bad_key_gets_further_than_the_door(gateway: GatewayServer) -> None:
    expired_record, expired = await gateway.new_key("pro", expires_in_s=0)
    revoked_record, revoked = await gateway.new_key("pro")
    store = gateway.worker.holders.keys.store
    assert await store.revoke(revoked_record.id)
    other = gateway.key[:-1] + ("A" if gateway.key[-1] != "A" else "B")
    assert expired_record.id in expired
    for bad in (NEVER_MADE, expired, revoked, other):
        assert await refused(gateway.url, bad) == (401, "auth_failed")
        assert await refused(gateway.url, f"Bearer {bad}", "Authorization") == (401, "auth_failed")
    assert not gateway.worker.hub.sessions


async def test_no_bad_key_gets_further_by_auth(gateway: GatewayServer) -> None:
    _, expired = await gateway.new_key("pro", expires_in_s=0)
    for bad in (NEVER_MADE, expired, "", "x" * 60_000):
        assert await closed(gateway.url, bad) == 4002
    assert not gateway.worker.hub.sessions


async def test_a_revocation_ends_live_sockets_within_5_s_as_shipped(redis_url: str) -> None:
    shipped = GatewaySettings()
    assert 2 * shipped.key_cache_s < 5.0
    settings = changed(key_cache_s=shipped.key_cache_s)
    async with gateway_on(redis_url, settings) as gateway, Redis.from_url(redis_url) as redis:
        record, key = await gateway.new_key("pro")
        async with gateway.client(headers={"X-API-Key": key}) as client, gateway.client() as other:
            # As `tickgate keys revoke` does it: by another process, which tells nobody.
            assert await KeyStore(redis, SystemClock()).revoke(record.id)
            assert await client.close_code() == 4003
            assert (await other.ask("ping"))["type"] == "pong"
        assert await refused(gateway.url, key) == (401, "auth_failed")


@contextlib.contextmanager
def trap() -> Iterator[tuple[str, socket.socket]]:
    """Where a forger's keys would be fetched; and what hears if anyone comes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/jwks.json", listening


def forged(now_s: float, trap_url: str) -> dict[str, str]:
    payload = json.dumps(claims_at(now_s)).encode()
    confused = {"alg": "HS256", "typ": "JWT", "kid": "first"}
    unsigned = joined(confused, payload).rstrip(".")
    digest = hmac.new(rsa_public_pem(), unsigned.encode(), hashlib.sha256).digest()
    signature = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return {
        "no algorithm": joined({"alg": "none", "kid": "first"}, payload),
        "the public key as a secret": f"{unsigned}.{signature}",
        "keys of its own": signed(claims_at(now_s), jku=trap_url),
        "keys of its own, forged": signed(claims_at(now_s), "forger", jku=trap_url, x5u=trap_url),
        "another's signature": signed(claims_at(now_s), "forger"),
        "over": signed(claims_at(now_s, exp=now_s - 60)),
        "no end": signed(claims_at(now_s, exp=None)),
        "an end that never comes": signed(claims_at(now_s, exp=now_s + 10**9)),
        "another audience": signed(claims_at(now_s, aud="somebody")),
        "no audience": signed(claims_at(now_s, aud=None)),
        "another issuer": signed(claims_at(now_s, iss="https://evil.example")),
        "no issuer": signed(claims_at(now_s, iss=None)),
        "a plan that is not there": signed(claims_at(now_s, plan="root")),
    }


async def test_no_forged_token_gets_in_and_nobody_fetches_its_keys(
    redis_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(rsa_jwk()))
    token = TokenSettings(issuer=ISSUER, keys=str(path), leeway_s=0.1)
    settings = changed(failures_per_minute=1_000)
    with trap() as (trap_url, listening):
        async with gateway_on(redis_url, settings, token=token) as gateway:
            for name, bad in forged(time.time(), trap_url).items():
                told = await refused(gateway.url, f"Bearer {bad}", "Authorization")
                assert told == (401, "auth_failed"), name
                assert await closed(gateway.url, bad) == 4002, name
            good = {"Authorization": f"Bearer {signed(claims_at(time.time()))}"}
            async with gateway.client(headers=good) as client:
                assert (await client.ask("ping"))["type"] == "pong"
        with pytest.raises(BlockingIOError):
            listening.accept()


async def test_a_key_sees_nothing_of_other_channels_whatever_it_asks(
    gateway: GatewayServer, publish: Publishing
) -> None:
    """Nor their history, their newest values, their heads; by name, wildcard, or resume."""
    await publish(trades(1, 5) + trades(1, 5, ETH))
    async with gateway.client() as allowed:
        (stands,) = await allowed.subscribe(ETH.name)
    _, key = await gateway.new_key("pro", channels=(BTC.name,))
    async with gateway.client(headers={"X-API-Key": key}) as client:
        for seq in (0, 3, stands["seq"]):
            since = {ETH.name: [stands["epoch"], seq]}
            ack = await client.ask("subscribe", channels=[ETH.name], since=since)
            assert (ack["ok"], [one["code"] for one in ack["err"]]) == ([], ["not_in_plan"])
            wild = await client.ask("subscribe", channels=["trade:sim:*"], since=since)
            assert [one["ch"] for one in wild["ok"]] == [BTC.name]
        await client.ask("unsubscribe", channels=[ETH.name])
        assert [one["ch"] for one in (await client.ask("list"))["channels"]] == [BTC.name]
        await publish(trades(6, 6, ETH) + trades(6, 6))
        assert [told["ch"] for told in await client.data(1)] == [BTC.name]
        assert ETH.name not in {told.get("ch") for told in client.heard}


RATE_PER_S, BURST = 20.0, 40
LITTLE = msgspec.structs.replace(
    PLANS["unlimited"], name="little", commands_per_s=RATE_PER_S, commands_burst=BURST
)


async def test_many_connections_to_many_gateways_are_one_key(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked at once: no more is carried out than the plan allows in that time."""
    # A Redis that is only slow is not away: each gateway would allow its own share.
    monkeypatch.setattr(holders, "LimitStore", partial(LimitStore, answer_limit_s=20.0))
    plans = PLANS | {"little": LITTLE}
    settings = changed(refused_commands_max=10**6)
    async with contextlib.AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(gateway_on(redis_url, settings, plans=plans))
            for _ in range(2)
        ]
        _, key = await gateways[0].new_key("little")
        named = {"headers": {"X-API-Key": key}}
        began_s = time.monotonic()
        clients = [
            await stack.enter_async_context(gateway.client(**named))
            for gateway in itertools.islice(itertools.cycle(gateways), 6)
        ]

        async def admitted(client: Client) -> int:
            return [(await client.ask("ping"))["type"] for _ in range(50)].count("pong")

        count = sum(await asyncio.gather(*map(admitted, clients)))
        took_s = time.monotonic() - began_s
    assert BURST <= count <= BURST + RATE_PER_S * took_s


async def test_without_redis_known_keys_are_believed_for_a_while_and_then_nobody(
    redis_server: RedisServer,
) -> None:
    assert GatewaySettings().key_grace_s == 60.0
    settings = changed(key_grace_s=3.0)
    async with gateway_on(redis_server.url, settings) as gateway, gateway.client() as client:
        redis_server.kill()
        async with gateway.client():
            pass

        async def is_refused() -> bool:
            try:
                async with gateway.client():
                    return False
            except InvalidStatus as answer:
                return answer.response.status_code == 503

        assert await until_answer(is_refused)
        status, headers, body = await refusal_of(gateway.url, {"X-API-Key": gateway.key})
        assert (status, body["code"]) == (503, "keys_unavailable")
        assert int(headers["Retry-After"]) >= 1
        # Who is in stays in.
        assert (await client.ask("ping"))["type"] == "pong"
        await until(lambda: not gateway.worker.is_ready)
