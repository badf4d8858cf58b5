"""Commands of the native protocol: what they do, what they refuse, and their limits."""

import asyncio

import uvloop
from redis.asyncio import Redis

from feeds.market import Channel, SystemClock
from gateway.access.key_store import KeyStore
from tests.gateway_server import GatewayServer, Publishing
from tests.stream_client import seqs
from tests.ticks import BTC, ETH, QUOTES, quote, trades

LOOPS = {"uvloop": uvloop.new_event_loop}


async def test_a_star_subscribes_to_all_that_match(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish([*trades(1, 1), *trades(1, 1, ETH), *quote("1")])
    async with gateway.client() as client:
        accepted = await client.subscribe("trade:sim:*")
        assert [one["ch"] for one in accepted] == [BTC.name, ETH.name]
        await publish([*trades(2, 2), *trades(2, 2, ETH)])
        assert {message["ch"] for message in await client.data(2)} == {BTC.name, ETH.name}
        ended = await client.ask("unsubscribe", channels=["trade:sim:*"])
        assert [one["ch"] for one in ended["ok"]] == [BTC.name, ETH.name]
        assert (await client.ask("list"))["channels"] == []


async def test_one_bad_channel_does_not_fail_the_others(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    bad = ["trade:sim:BTC-USDT", "trade:nobody:BTC-USD", "nonsense", "trade:sim:btc-usd"]
    async with gateway.client() as client:
        ack = await client.ask("subscribe", channels=[*bad, BTC.name, BTC.name])
        assert [one["ch"] for one in ack["ok"]] == [BTC.name]
        told = [(one["ch"], one["code"], one["retry"], one.get("hint")) for one in ack["err"]]
        assert told == [
            ("trade:sim:BTC-USDT", "unknown_symbol", True, "BTC-USD"),
            ("trade:nobody:BTC-USD", "unknown_venue", True, None),
            ("nonsense", "bad_channel", False, None),
            ("trade:sim:btc-usd", "bad_channel", False, None),
        ]
        await publish(trades(2, 2))
        assert seqs(await client.data(1)) == [2]


async def test_a_crowd_of_wrong_symbols_does_not_hold_up_everyone_with_hints(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    wrong = [f"trade:sim:BTC-USD{at}" for at in range(50)]
    async with gateway.client() as client:
        ack = await client.ask("subscribe", channels=wrong)
        assert [one["ch"] for one in ack["err"]] == wrong
        assert 1 <= sum("hint" in one for one in ack["err"]) <= 5


async def test_what_breaks_a_limit_refuses_the_whole_command(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with gateway.client() as client:
        many = [BTC.name, *(f"trade:sim:X{at}" for at in range(50))]
        assert (await client.ask("subscribe", channels=many))["code"] == "too_many_channels"
        assert (await client.ask("unsubscribe", channels=many))["code"] == "too_many_channels"
        assert (await client.ask("subscribe", channels=[]))["code"] == "bad_message"
        refused = await client.ask("subscribe", channels=[BTC.name], rate="7ms")
        assert refused["code"] == "bad_rate"
        assert (await client.ask("list"))["channels"] == []


async def test_a_plan_limits_subscriptions_however_they_are_named(
    gateway: GatewayServer, publish: Publishing, redis: Redis
) -> None:
    _, key = await KeyStore(redis, SystemClock()).create("small", "free")
    channels = [Channel("trade", "sim", f"C{at:03}-USD") for at in range(101)]
    await publish([tick for channel in channels for tick in trades(1, 1, channel)])
    async with gateway.client(headers={"X-API-Key": key}) as client:
        assert client.heard[0]["limits"]["subscriptions"] == 100
        refused = await client.ask("subscribe", channels=["trade:sim:*"])
        assert refused["code"] == "too_many_subscriptions"
        names = [channel.name for channel in channels]
        await client.subscribe(*names[:50])
        await client.subscribe(*names[50:100])
        refused = await client.ask("subscribe", channels=names[100:])
        assert refused["code"] == "too_many_subscriptions"
        # Those that it has already take no more room.
        await client.subscribe(*names[:50])
        await client.ask("unsubscribe", channels=names[:1])
        await client.subscribe(names[100])
        assert len((await client.ask("list"))["channels"]) == 100


async def test_commands_are_limited_and_the_refusal_says_how_long_to_wait(
    gateway: GatewayServer, redis: Redis
) -> None:
    _, key = await KeyStore(redis, SystemClock()).create("small", "free")
    async with gateway.client(headers={"X-API-Key": key}) as client:
        replies = [await client.ask("ping")]
        while replies[-1]["type"] == "pong":
            replies.append(await client.ask("ping"))
        assert len(replies) > 20
        assert (replies[-1]["code"], replies[-1]["retry"]) == ("rate_limited", True)
        assert 0 < replies[-1]["after_ms"] <= 201
        # And a little more: two event loops count in whole milliseconds.
        await asyncio.sleep((replies[-1]["after_ms"] + 10) / 1_000)
        assert (await client.ask("ping"))["type"] == "pong"


async def test_subscriptions_are_listed_changed_and_ended(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish([*trades(1, 1), *quote("1")])
    async with gateway.client() as client:
        await client.subscribe(BTC.name, QUOTES.name)
        listing = await client.ask("list")
        assert [(one["ch"], one["seq"]) for one in listing["channels"]] == [
            (QUOTES.name, 1),
            (BTC.name, 1),
        ]
        await client.subscribe(BTC.name, on_lag="conflate")
        assert len((await client.ask("list"))["channels"]) == 2
        ended = await client.ask("unsubscribe", channels=[BTC.name, "trade:sim:NONE", BTC.name])
        assert ended["ok"] == [{"ch": BTC.name}]
        assert [(one["ch"], one["code"]) for one in ended["err"]] == [
            ("trade:sim:NONE", "not_subscribed")
        ]
        await publish([*trades(2, 2), *quote("2")])
        assert (await client.data(1))[0]["ch"] == QUOTES.name


async def test_subscribing_again_does_not_repeat_what_was_delivered(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(quote("1"))
    async with gateway.client() as client:
        await client.subscribe(QUOTES.name)
        await client.subscribe(QUOTES.name, on_lag="gap")
        await publish(quote("2"))
        await client.hear_until(lambda told: told.get("bid") == "2")
        assert seqs([told for told in client.heard if "type" not in told]) == [1, 2]
