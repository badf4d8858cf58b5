"""What a key may do on the stream, and what happens over it; real gateways on one real Redis."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from websockets.exceptions import InvalidStatus

from gateway.access.plans import PLANS, Plan
from gateway.settings import TokenSettings
from tests.conftest import in_one_task
from tests.gateway_server import GatewayServer, Publishing, changed, gateway_on
from tests.served import Answer, asked
from tests.stream_client import Client, client_of, refusal_of
from tests.ticks import BTC, ETH, QUOTES, quote, trades
from tests.token_issuer import ISSUER, claims_at, jwks, rsa_jwk, signed
from tests.until import until
from tests.until_answer import until_answer

LOOPS = {"uvloop": uvloop.new_event_loop}


def plan(name: str, **fields: Any) -> dict[str, Plan]:
    return {name: msgspec.structs.replace(PLANS["unlimited"], name=name, **fields)}


PLANS_HERE = (
    PLANS
    | plan("two", connections_max=2)
    | plan("newest", connections_max=2, over_limit="kick_oldest")
    | plan("slowly", commands_per_s=0.01, commands_burst=3)
    | plan("little", messages_per_s=10)
    | plan("kraken", channels=("trade:sim:*", "*:kraken:*"))
    | plan("short", connection_age_max_s=1)
    | plan("brief", history_max=5)
)


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[GatewayServer]:
    """In the place of the usual one: it has more plans."""
    async with in_one_task(gateway_on(redis_url, plans=PLANS_HERE)) as running:
        yield running


Joining = Callable[..., "contextlib.AbstractAsyncContextManager[Client]"]


async def headers_of(gateway: GatewayServer, plan_name: str, **named: Any) -> dict[str, str]:
    """Those that show a new key."""
    return {"X-API-Key": (await gateway.new_key(plan_name, **named))[1]}


def rest(gateway: GatewayServer, method: str, path: str, headers: dict[str, str]) -> Any:
    return asked(gateway.port, method, path, headers)


async def test_a_connection_too_many_is_refused_before_the_upgrade(gateway: GatewayServer) -> None:
    headers = await headers_of(gateway, "two")
    async with gateway.client(headers=headers):
        async with gateway.client(headers=headers):
            status, told, body = await refusal_of(gateway.url, headers)
        assert (status, body["code"]) == (429, "too_many_connections")
        assert told["RateLimit-Policy"] == '"connections";q=2;qu="concurrent-requests"'
        assert told["RateLimit"] == '"connections";r=0'
        assert told["Retry-After"] == "1"
        await until(lambda: len(gateway.worker.holders.slots) == 1)

        async def is_let_in() -> bool:
            with contextlib.suppress(InvalidStatus):
                async with gateway.client(headers=headers):
                    return True
            return False

        await until_answer(is_let_in)


async def test_a_connection_too_many_that_shows_its_key_late_is_closed(
    gateway: GatewayServer,
) -> None:
    headers = await headers_of(gateway, "two")
    async with (
        gateway.client(headers=headers),
        gateway.client(headers=headers),
        client_of(gateway.url, welcome=False) as late,
    ):
        await late.say({"op": "auth", "key": headers["X-API-Key"]})
        assert await late.close_code() == 4100


async def test_connections_count_over_all_gateways(redis_url: str, gateway: GatewayServer) -> None:
    headers = await headers_of(gateway, "two")
    async with (
        gateway_on(redis_url, plans=PLANS_HERE) as other,
        gateway.client(headers=headers),
        other.client(headers=headers),
    ):
        assert (await refusal_of(gateway.url, headers))[0] == 429
        assert (await refusal_of(other.url, headers))[0] == 429


async def test_the_oldest_connection_makes_room_on_whatever_gateway_it_is(
    redis_url: str, gateway: GatewayServer
) -> None:
    headers = await headers_of(gateway, "newest")
    async with (
        gateway_on(redis_url, plans=PLANS_HERE) as other,
        gateway.client(headers=headers) as oldest,
        other.client(headers=headers) as second,
        other.client(headers=headers),
    ):
        assert await oldest.close_code() == 4100
        assert (await second.ask("ping"))["type"] == "pong"


async def test_commands_of_one_key_are_limited_together(gateway: GatewayServer) -> None:
    headers = await headers_of(gateway, "slowly")
    async with gateway.client(headers=headers) as one, gateway.client(headers=headers) as two:
        replies = [await (one, two)[n % 2].ask("ping") for n in range(5)]
    assert [reply["type"] for reply in replies] == ["pong"] * 3 + ["error"] * 2
    assert replies[3]["code"] == "rate_limited"
    assert 50_000 < replies[3]["after_ms"] <= 100_001


async def test_a_key_sees_the_channels_of_its_plan_and_no_others(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1) + trades(1, 1, ETH) + quote("1"))
    async with gateway.client(headers=await headers_of(gateway, "kraken")) as client:
        ack = await client.ask("subscribe", channels=[BTC.name, QUOTES.name])
        assert [one["ch"] for one in ack["ok"]] == [BTC.name]
        (refused,) = ack["err"]
        assert (refused["ch"], refused["code"], refused["retry"]) == (
            QUOTES.name,
            "not_in_plan",
            False,
        )


async def test_a_wildcard_stands_for_what_the_key_may_see(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1) + trades(1, 1, ETH))
    headers = await headers_of(gateway, "pro", channels=("trade:*:BTC-USD",))
    async with gateway.client(headers=headers) as client:
        accepted = await client.subscribe("trade:sim:*")
        assert [one["ch"] for one in accepted] == [BTC.name]
        ack = await client.ask("subscribe", channels=["trade:sim:ETH-USD"])
        assert [one["code"] for one in ack["err"]] == ["not_in_plan"]


async def test_a_faster_rate_than_the_plans_is_slowed_and_the_ack_says_so(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with gateway.client(headers=await headers_of(gateway, "free")) as client:
        for asked_for, served in (("all", "1s"), ("100ms", "1s"), ("5s", "5s")):
            (accepted,) = await client.subscribe(BTC.name, rate=asked_for)
            assert accepted["rate"] == served


async def test_more_messages_than_the_plan_allows_are_announced_as_missing(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with gateway.client(headers=await headers_of(gateway, "little")) as client:
        await client.subscribe(BTC.name)
        # In one call of the script, and so at one time.
        await publish(trades(2, 151))
        missing = await client.hear_until(lambda told: told.get("type") == "gap")
        assert (missing["to"], missing["by"]) == (151, "plan")
        assert [one["seq"] for one in client.heard if "px" in one] == list(
            range(2, missing["from"])
        )
        assert missing["from"] <= 1 + 2 * 10


async def test_more_quotes_than_the_plan_allows_are_conflated(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(quote("1"))
    async with gateway.client(headers=await headers_of(gateway, "little")) as client:
        await client.subscribe(QUOTES.name)
        await publish([one for bid in range(2, 200) for one in quote(str(bid))])
        await client.hear_until(lambda told: told.get("bid") == "199")
        heard = [one for one in client.heard if "bid" in one]
        assert len(heard) < 198
        before = 0
        for one in heard:
            assert one["seq"] - one.get("n", 1) == before
            before = one["seq"]


async def test_history_is_as_deep_as_the_plan_says(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 20))
    async with gateway.client(headers=await headers_of(gateway, "brief")) as client:
        (accepted,) = await client.subscribe(BTC.name)
        await client.ask("unsubscribe", channels=[BTC.name])
        told = []
        for seq in (15, 14):
            since = {BTC.name: [accepted["epoch"], seq]}
            told += await client.subscribe(BTC.name, since=since)
            await client.ask("unsubscribe", channels=[BTC.name])
        assert [one["recovered"] for one in told] == [True, False]


async def test_a_connection_as_old_as_the_plan_allows_is_asked_to_come_back(
    gateway: GatewayServer,
) -> None:
    async with gateway.client(headers=await headers_of(gateway, "short")) as client:
        assert await client.close_code() == 4201


async def test_a_key_that_expires_or_is_rotated_away_ends_its_sockets(
    gateway: GatewayServer,
) -> None:
    rotated, old = await gateway.new_key("pro")
    _, expiring = await gateway.new_key("pro", expires_in_s=4)
    async with (
        gateway.client(headers={"X-API-Key": expiring}) as one,
        gateway.client(headers={"X-API-Key": old}) as two,
    ):
        answer = await gateway.worker.holders.keys.store.rotate(rotated.id, 0)
        assert answer is not None
        async with gateway.client(headers={"X-API-Key": answer[1]}) as new:
            assert await two.close_code() == 4003
            assert await one.close_code() == 4003
            assert (await new.ask("ping"))["type"] == "pong"


async def test_usage_is_the_same_by_command_and_by_rest_and_counts_everything(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    headers = await headers_of(gateway, "pro")
    async with gateway.client(headers=headers) as client:
        await client.subscribe(BTC.name)
        await publish(trades(2, 11))
        await client.data(10)
        told = await client.ask("usage")
        told_by_rest = (await rest(gateway, "GET", "/v1/usage", headers)).body
    usage = told["usage"]
    # welcome, ack, state or none, ten trades
    assert usage["messages"] >= 12
    assert usage["bytes"] > 10 * 100
    assert usage["commands"] == 2
    assert usage["connections"] == {"open": 1, "limit": 10}
    assert usage["connections_opened"] == 1
    # By REST the reply to the command is counted too, and the call itself.
    later = {name: told_by_rest.pop(name) for name in ("messages", "bytes", "rest")}
    assert told_by_rest.items() <= usage.items()
    assert later["messages"] == usage["messages"] + 1
    assert later["bytes"] > usage["bytes"]
    assert later["rest"] == {"used": 1, "limit": 1_000_000}


async def test_what_a_session_used_is_counted_when_it_is_over(gateway: GatewayServer) -> None:
    record, key = await gateway.new_key("pro")
    async with gateway.client(headers={"X-API-Key": key}) as client:
        await client.ask("ping")
    await until(lambda: not gateway.worker.hub.sessions)
    month = await gateway.worker.holders.usage(record.id)
    assert (month.traffic.messages, month.traffic.commands) == (2, 1)
    assert month.open_connections == 0 or await until_answer(lambda: none_open(gateway, record.id))


async def none_open(gateway: GatewayServer, holder_id: str) -> bool:
    return (await gateway.worker.holders.usage(holder_id)).open_connections == 0


async def test_a_ticket_bought_with_a_key_opens_the_stream_once(
    gateway: GatewayServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    headers = await headers_of(gateway, "pro")
    sold: Answer = await rest(gateway, "POST", "/v1/tickets", headers)
    ticket = sold.body["ticket"]
    url = f"{gateway.url}?ticket={ticket}"
    async with client_of(url) as client:
        assert (await client.ask("ping"))["type"] == "pong"
    status, _, body = await refusal_of(url)
    assert (status, body["code"]) == (401, "auth_failed")
    assert ticket not in "".join(
        record.getMessage() for record in caplog.records if not record.name.startswith("websockets")
    )


async def test_guessing_keys_ends_in_429_for_a_while(redis_url: str) -> None:
    wrong = {"X-API-Key": "tg_aaaaaaaa_" + "A" * 43}
    async with gateway_on(redis_url, changed(failures_per_minute=3)) as gateway:
        statuses = [(await refusal_of(gateway.url, wrong))[0] for _ in range(2)]
        async with client_of(gateway.url, welcome=False) as client:
            await client.say({"op": "auth", "key": wrong["X-API-Key"]})
            assert await client.close_code() == 4002
        status, headers, body = await refusal_of(gateway.url, wrong)
        assert statuses == [401] * 2
        assert (status, body["code"]) == (429, "too_many_failures")
        assert 1 <= int(headers["Retry-After"]) <= 20
        async with client_of(gateway.url, welcome=False) as client:
            await client.say({"op": "auth", "key": wrong["X-API-Key"]})
            assert await client.close_code() == 4101
        assert (await rest(gateway, "GET", "/v1/usage", wrong)).status == 429


async def test_a_token_is_as_good_as_a_key_until_it_ends(redis_url: str, tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(rsa_jwk()))
    # Sockets end with their token: with a leeway one might come back a moment after that.
    token = TokenSettings(issuer=ISSUER, keys=str(path), leeway_s=0.0)
    async with gateway_on(redis_url, changed(), token=token) as gateway:
        now_s = gateway.worker.clock.now_ns() / 1e9
        said = signed(claims_at(now_s, exp=now_s + 4, channels=["trade:*:*"]))
        async with gateway.client(headers={"Authorization": f"Bearer {said}"}) as client:
            assert client.heard[0]["limits"]["connections"] == 10
            assert (await client.ask("usage"))["usage"]["plan"] == "pro"
            assert await client.close_code() == 4003
        assert (await refusal_of(gateway.url, {"Authorization": f"Bearer {said}"}))[0] == 401
