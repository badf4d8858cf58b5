"""Subscriptions at a rate: one message for several, none of them lost; real sockets."""

from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis

from feeds.market import Tick, Trade
from tests.gateway_server import GatewayServer, Publishing, publish_custom
from tests.stream_client import Client, Message, seqs
from tests.ticks import BTC, ETH, QUOTES, quote, trades

LOOPS = {"uvloop": uvloop.new_event_loop}
CUSTOM = "custom:desk:BTC-USD"


def at(rate: str) -> dict[str, Any]:
    return {"rate": rate}


async def up_to(client: Client, seq: int) -> list[Message]:
    """Data, until what is up to `seq` has come."""
    told: list[Message] = []
    while not told or told[-1]["seq"] < seq:
        told += await client.data(1)
    return told


def are_whole(messages: list[Message], first: int) -> bool:
    """Whether each begins where the one before it ended."""
    before = first - 1
    for message in messages:
        if message["seq"] - message.get("n", 1) != before:
            return False
        before = message["seq"]
    return True


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_a_rate_joins_trades_and_loses_no_volume(
    gateway: GatewayServer, publish: Publishing, encoding: str
) -> None:
    await publish(trades(1, 1))
    async with gateway.client(encoding=encoding) as client:
        (accepted,) = await client.subscribe(BTC.name, **at("200ms"))
        assert (accepted["rate"], accepted["seq"]) == ("200ms", 1)
        made = [
            Tick(BTC, Trade(px, sz, side, str(n), n, 6))
            for n, (px, sz, side) in enumerate(
                [("10.5", "1.25", "buy"), ("11", "2", "sell"), ("9.25", "0.050", "buy")]
            )
        ]
        await publish(made * 10)
        messages = await up_to(client, 31)
    assert are_whole(messages, first=2)
    assert len(messages) <= 2, "30 messages, published at once, end in one interval or two"
    volume = sum(float(message["sz"]) for message in messages)
    assert volume == pytest.approx(33.0)
    newest = messages[-1]
    assert (newest["px"], newest["lo"], newest["t"]) == ("9.25", "9.25", 2)
    assert {"n", "vwap", "hi", "lo", "sz", "buy_sz", "tx", "gw"} < newest.keys()
    assert {"side", "id"}.isdisjoint(newest)


async def test_everyone_at_a_rate_gets_the_same_and_one_at_all_gets_everything(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with gateway.client() as one, gateway.client() as other, gateway.client() as whole:
        for client, rate in ((one, "100ms"), (other, "100ms"), (whole, "all")):
            await client.subscribe(BTC.name, **at(rate))
        for first in range(2, 52, 10):
            await publish(trades(first, first + 9))
        assert await up_to(one, 51) == await up_to(other, 51)
        await whole.hear_whole(2, 51)


@pytest.mark.parametrize("rate", ["latest", "50ms", "1s"])
async def test_a_conflated_channel_ends_on_the_newest(
    gateway: GatewayServer, publish: Publishing, rate: str
) -> None:
    await publish(quote("1.00"))
    async with gateway.client() as client:
        (accepted,) = await client.subscribe(QUOTES.name, **at(rate))
        assert [newest["bid"] for newest in await client.data(1)] == ["1.00"]
        await publish([tick for n in range(2, 42) for tick in quote(f"{n}.00")])
        messages = await up_to(client, accepted["seq"] + 40)
    assert messages[-1]["bid"] == "41.00"
    assert are_whole(messages, first=accepted["seq"] + 1)


async def test_who_joins_within_an_interval_stands_where_it_began(
    gateway: GatewayServer, publish: Publishing
) -> None:
    """So that its message, which is the same for everybody, is nobody's second time."""
    await publish(quote("1.00"))
    async with gateway.client() as early, gateway.client() as late, gateway.client() as whole:
        await early.subscribe(QUOTES.name, **at("1s"))
        await whole.subscribe(QUOTES.name)
        await publish([*quote("2.00"), *quote("3.00")])
        await whole.hear_until(lambda told: told.get("bid") == "3.00")
        (accepted,) = await late.subscribe(QUOTES.name, **at("1s"))
        # So that something comes after, should the interval end between these lines.
        await publish(quote("4.00"))
        newest, after = await late.data(2)
    assert newest["seq"] == accepted["seq"]
    assert after["seq"] - after.get("n", 1) == accepted["seq"]


async def test_who_changes_its_rate_misses_nothing(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with gateway.client() as client, gateway.client() as whole:
        await client.subscribe(BTC.name, **at("1s"))
        await whole.subscribe(BTC.name)
        await publish(trades(2, 9))
        await whole.hear_whole(2, 9)
        (accepted,) = await client.subscribe(BTC.name)
        assert (accepted["rate"], accepted["seq"]) == ("all", 9)
        await publish(trades(10, 12))
        told = [message for message in client.heard if message.get("ch") == BTC.name]
        messages = [message for message in told if "type" not in message]
        messages += await up_to(client, 12)
    assert are_whole(messages, first=2)
    assert seqs(messages)[-3:] == [10, 11, 12]


async def test_channels_at_different_rates_go_by_one_connection(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish([*trades(1, 1), *trades(1, 1, ETH)])
    async with gateway.client() as client:
        await client.subscribe(BTC.name, **at("100ms"))
        await client.subscribe(ETH.name)
        await publish([*trades(2, 21), *trades(2, 21, ETH)])
        heard: dict[str, list[Message]] = {BTC.name: [], ETH.name: []}
        while [messages[-1]["seq"] if messages else 0 for messages in heard.values()] != [21, 21]:
            (message,) = await client.data(1)
            heard[message["ch"]].append(message)
    assert seqs(heard[ETH.name]) == list(range(2, 22))
    assert are_whole(heard[BTC.name], first=2)


async def test_a_publishers_own_channel_can_be_had_at_a_rate(
    gateway: GatewayServer, redis: Redis
) -> None:
    await publish_custom(redis, b'{"mood":0}', channel=CUSTOM)
    async with gateway.client() as client:
        await client.subscribe(CUSTOM, **at("100ms"))
        moods = [b'{"mood":%d}' % number for number in range(1, 9)]
        await publish_custom(redis, *moods, channel=CUSTOM)
        messages = await up_to(client, 9)
    assert messages[-1]["mood"] == 8
    assert are_whole(messages[1:], first=2)


async def test_a_rate_that_there_is_not_is_refused_with_those_that_there_are(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with gateway.client() as client:
        refusal = await client.ask("subscribe", channels=[BTC.name], rate="7ms")
    assert refusal["code"] == "bad_rate"
    assert "100ms" in refusal["message"]
