"""What subscribers of the native protocol get: data, newest values, positions; real sockets."""

from typing import Any

import msgspec
import pytest
import uvloop
from redis.asyncio import Redis

from feeds.market import Channel
from feeds.market.bus_names import DIRECTORY_KEY, topic
from tests.gateway_server import GatewayServer, Publishing, changed, gateway_on, publish_custom
from tests.stream_client import refusal_of, seqs
from tests.ticks import BTC, QUOTES, quote, trades
from tests.until_answer import until_answer

LOOPS = {"uvloop": uvloop.new_event_loop}

CUSTOM = "custom:desk:BTC-USD"


async def test_a_subscriber_gets_every_trade_from_its_ack_on(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 10))
    async with gateway.client() as client:
        (accepted,) = await client.subscribe(BTC.name)
        assert accepted.pop("epoch").isalnum()
        assert accepted == {"ch": BTC.name, "seq": 10, "rate": "all", "state": "live"}
        await publish(trades(11, 40))
        messages = await client.data(30)
    assert seqs(messages) == list(range(11, 41))
    first = messages[0]
    assert 6 < first.pop("tx") <= first.pop("gw")
    assert first == {
        "ch": BTC.name,
        "seq": 11,
        "px": "68900.50",
        "sz": "2",
        "side": "buy",
        "id": "11",
        "t": 5,
        "rx": 6,
    }


async def test_a_subscriber_before_the_first_trade_waits_and_is_told_when_it_goes_live(
    gateway: GatewayServer, publish: Publishing, redis: Redis
) -> None:
    publish.publisher.register([BTC])
    await until_answer(lambda: _is_listed(redis, BTC.name))
    async with gateway.client() as client:
        (accepted,) = await client.subscribe(BTC.name)
        assert accepted == {"ch": BTC.name, "rate": "all", "state": "waiting"}
        await publish(trades(1, 3))
        assert seqs(await client.data(3)) == [1, 2, 3]
        told = [message.get("state") for message in client.heard if message.get("type") == "state"]
        assert told == ["live"]


async def test_what_is_published_can_be_found_at_once(publish: Publishing, redis: Redis) -> None:
    await redis.ping()  # It is connected, and the publisher is not: who is in a hurry comes first.
    await publish(trades(1, 1))
    assert await _is_listed(redis, BTC.name)


async def _is_listed(redis: Redis, name: str) -> bool:
    """Whether the directory of channels has it: it is written a moment later."""
    return bool(await redis.sismember(DIRECTORY_KEY, name))


async def test_the_newest_quote_comes_with_the_subscription_and_no_trade_does(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish([*quote("1.00"), *quote("2.00"), *trades(1, 2)])
    async with gateway.client() as client:
        quotes, _ = await client.subscribe(QUOTES.name, BTC.name)
        (newest,) = await client.data(1)
        assert (newest["ch"], newest["bid"], newest["seq"]) == (QUOTES.name, "2.00", quotes["seq"])
        await client.ask("ping")
        await publish(trades(3, 3))
        assert seqs(await client.data(1)) == [3]


async def test_both_encodings_say_the_same(gateway: GatewayServer, publish: Publishing) -> None:
    async with gateway.client() as text, gateway.client(encoding="msgpack") as binary:
        await publish(trades(1, 1))
        accepted = [await client.subscribe(BTC.name) for client in (text, binary)]
        assert accepted[0] == accepted[1]
        await publish(trades(2, 21))
        assert await text.data(20) == await binary.data(20)
        assert text.connection.subprotocol is None
    async with gateway.client(encoding="json") as text:
        assert text.connection.subprotocol == "tickgate.v1.json"


async def test_whoever_missed_nothing_is_told_so(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish([*trades(1, 3), *quote("1")])
    async with gateway.client() as client:
        accepted = await client.subscribe(BTC.name, QUOTES.name)
    since = {one["ch"]: [one["epoch"], one["seq"]] for one in accepted}
    async with gateway.client() as client:
        again = await client.subscribe(BTC.name, QUOTES.name, since=since)
        assert [one["recovered"] for one in again] == [True, True]
        await publish([*trades(4, 4), *quote("2")])
        assert {(told["ch"], told["seq"]) for told in await client.data(2)} == {
            (BTC.name, 4),
            (QUOTES.name, 2),
        }


FORGED_POSITIONS: tuple[Any, ...] = (
    ["k0", 3],
    ["EPOCH", 4],
    ["EPOCH", -1],
    ["EPOCH", 2**63],
    ["EPOCH", 10**40],
    ["EPOCH", 3.0],
    ["EPOCH", "3"],
    ["EPOCH", 3, 3],
    ["EPOCH"],
    [],
    {},
    None,
    "EPOCH",
    3,
    [["EPOCH"], 3],
)


async def test_any_other_position_gets_the_newest_and_no_guess(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 3))
    async with gateway.client() as client:
        (accepted,) = await client.subscribe(BTC.name)
        for forged in FORGED_POSITIONS:
            await client.ask("unsubscribe", channels=[BTC.name])
            text = msgspec.json.encode(forged).decode().replace("EPOCH", accepted["epoch"])
            since = {BTC.name: msgspec.json.decode(text), "trade:sim:OTHER": forged}
            (again,) = await client.subscribe(BTC.name, since=since)
            assert again["recovered"] is False, forged
            assert seqs(await client.data(1)) == [3]


async def test_a_channel_of_any_program_is_one_like_any_other(
    gateway: GatewayServer, redis: Redis
) -> None:
    await publish_custom(redis, b'{"v": 1, "name": "Z\xc3\xbcrich"}', channel=CUSTOM)
    async with gateway.client() as client, gateway.client(encoding="msgpack") as binary:
        (accepted,) = await client.subscribe(CUSTOM)
        assert (accepted["seq"], accepted["state"]) == (1, "live")
        await binary.subscribe(CUSTOM)
        await publish_custom(
            redis, b"{ }", b'{"deep":{"er":[1,2.5,null,"\xe2\x9c\x93"]}}', channel=CUSTOM
        )
        heard = await client.data(3)
        assert heard == await binary.data(3)
    assert [one.pop("gw") > 0 for one in heard] == [True] * 3
    assert heard == [
        {"ch": CUSTOM, "seq": 1, "v": 1, "name": "Zürich"},
        {"ch": CUSTOM, "seq": 2},
        {"ch": CUSTOM, "seq": 3, "deep": {"er": [1, 2.5, None, "✓"]}},
    ]


async def test_an_unsound_message_of_a_stranger_is_a_gap_and_harms_nobody(
    gateway: GatewayServer, redis: Redis, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    await publish_custom(redis, b'{"v":1}', channel=CUSTOM)
    async with gateway.client() as client, gateway.client(encoding="msgpack") as binary:
        for one in (client, binary):
            await one.subscribe(CUSTOM, BTC.name)
        unsound = (b"{nope}", b'{"seq":9}', b'{"v":18446744073709551616}')
        await publish_custom(redis, *unsound, b'{"v":5}', channel=CUSTOM)
        await redis.publish(topic(CUSTOM), b"not a publication")
        await redis.publish(topic(CUSTOM), b"k1 99999999999999999999 - {}")
        await publish(trades(2, 2))
        for one in (client, binary):
            assert seqs(await one.data(3)) == [1, 5, 2]
            gaps = [told for told in one.heard if told.get("type") == "gap"]
            assert [(gap["ch"], gap["from"], gap["to"], gap["by"]) for gap in gaps] == [
                (CUSTOM, number, number, "feed") for number in (2, 3, 4)
            ]


@pytest.mark.filterwarnings("ignore:.*deprecated", "ignore::DeprecationWarning")
@pytest.mark.parametrize("stock_protocol", ["websockets", "websockets-sansio"])
async def test_it_works_on_a_server_that_is_not_ours(
    redis_url: str, publish: Publishing, stock_protocol: Any
) -> None:
    await publish([*trades(1, 1), *quote("1")])
    async with gateway_on(redis_url, stock_protocol=stock_protocol) as gateway:
        async with gateway.client() as client, gateway.client(encoding="msgpack") as binary:
            for one in (client, binary):
                await one.subscribe(BTC.name, QUOTES.name)
            await publish(trades(2, 500))
            for one in (client, binary):
                assert seqs(await one.data(500)) == [1, *range(2, 501)]
                assert (await one.ask("ping"))["type"] == "pong"
        status, _, _ = await refusal_of(gateway.url, {"X-API-Key": "wrong"})
        assert status == 401


async def test_hundreds_of_channels_are_opened_by_one_command(
    redis_url: str, publish: Publishing
) -> None:
    channels = [Channel("trade", "sim", f"C{at:04}-USD") for at in range(1_010)]
    await publish([tick for channel in channels for tick in trades(1, 1, channel)])
    async with (
        gateway_on(redis_url, changed(bus_answer_limit_s=15.0)) as gateway,
        gateway.client() as client,
    ):
        accepted = await client.subscribe("trade:sim:*")
        assert len(accepted) == 1_010
        assert {one["seq"] for one in accepted} == {1}
        await publish([tick for channel in channels for tick in trades(2, 2, channel)])
        messages = await client.data(1_010)
    assert {message["ch"] for message in messages} == {channel.name for channel in channels}
    assert {message["seq"] for message in messages} == {2}
