"""Coming back with `since`: all that was missed, exactly, or none of it; real sockets and Redis."""

import asyncio
import signal
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis

from feeds.market import Channel, Missing, Publication
from feeds.market.bus_names import head_key, log_key, topic
from tests.conftest import RedisServer
from tests.gateway_server import GatewayServer, Publishing, changed, gateway_on, publish_custom
from tests.stream_client import Client, Message, seqs
from tests.ticks import BTC, ETH, QUOTES, quote, trades
from tests.until_answer import until_answer

LOOPS = {"uvloop": uvloop.new_event_loop}
CUSTOM = "custom:desk:BTC-USD"


async def resumed(client: Client, accepted: dict[str, Any], seq: int, **more: Any) -> bool:
    """Subscribes again from a seq: whether all that was missed will come."""
    name = accepted["ch"]
    (again,) = await client.subscribe(name, since={name: [accepted["epoch"], seq]}, **more)
    return bool(again["recovered"])


@pytest.mark.parametrize("seq", [0, 1, 150, 299, 300])
async def test_everything_since_comes_once_and_in_order_and_goes_on(
    gateway: GatewayServer, publish: Publishing, seq: int
) -> None:
    """More than a worker keeps by itself: the rest is in the stream."""
    await publish(trades(1, 300))
    async with gateway.client() as client, gateway.client() as again:
        (accepted,) = await client.subscribe(BTC.name)
        assert await resumed(again, accepted, seq)
        await publish(trades(301, 310))
        await again.hear_whole(seq + 1, 310)


async def test_who_is_the_first_to_come_to_a_gateway_misses_nothing_either(
    redis_url: str, publish: Publishing
) -> None:
    await publish(trades(1, 50))
    async with gateway_on(redis_url) as gateway, gateway.client() as client:
        (accepted,) = await client.subscribe(BTC.name)
    async with gateway_on(redis_url) as gateway, gateway.client() as client:
        publishing = asyncio.ensure_future(publish(trades(51, 250)))
        assert await resumed(client, accepted, 20)
        await publishing
        await client.hear_whole(21, 250)


async def test_a_gap_is_told_again_as_it_was(gateway: GatewayServer, redis: Redis) -> None:
    await publish_custom(redis, b'{"a":1}', b'{"n":2}', b'{"a":3}', channel=CUSTOM)
    async with gateway.client() as client:
        (accepted,) = await client.subscribe(CUSTOM)
    async with gateway.client() as client:
        assert await resumed(client, accepted, 1)
        await client.data(1)
        told = [one for one in client.heard if one.get("type") == "gap"]
    assert told == [{"type": "gap", "ch": CUSTOM, "from": 2, "to": 2, "by": "feed"}]


async def test_a_crowd_that_comes_back_costs_redis_one_reading(
    gateway: GatewayServer, publish: Publishing, redis: Redis
) -> None:
    await publish(trades(1, 400))
    headers = {"X-API-Key": (await gateway.new_key("unlimited"))[1]}
    async with gateway.client() as client:
        (accepted,) = await client.subscribe(BTC.name)
        before = await _readings(redis)

        async def come_back() -> None:
            async with gateway.client(headers=headers) as one:
                assert await resumed(one, accepted, 7)
                await one.hear_whole(8, 400)

        started_s = asyncio.get_running_loop().time()
        await asyncio.gather(*(come_back() for _ in range(40)))
        lasted_s = asyncio.get_running_loop().time() - started_s
        assert await _readings(redis) - before <= 1 + lasted_s / 0.1


async def test_a_crowd_that_comes_to_a_new_gateway_has_it_read_redis_ten_times_a_second_at_most(
    redis_url: str, publish: Publishing, redis: Redis
) -> None:
    """As after the death of the one before: it has heard nothing yet, and all come at once."""
    await publish([*trades(1, 400), *trades(1, 400, ETH)])
    async with gateway_on(redis_url) as before, before.client() as client:
        told = await client.subscribe(BTC.name, ETH.name)
    since = {accepted["ch"]: [accepted["epoch"], 360] for accepted in told}
    # Two hundred take their time, and each is to be answered within its own.
    async with gateway_on(redis_url, changed(bus_answer_limit_s=15.0)) as gateway:
        headers = {"X-API-Key": (await gateway.new_key("unlimited"))[1]}
        readings = await _readings(redis)

        async def come_back() -> None:
            async with gateway.client(headers=headers) as one:
                again = await one.subscribe(BTC.name, ETH.name, since=since)
                assert [accepted["recovered"] for accepted in again] == [True, True]
                heard = await one.data(80)
                for channel in (BTC, ETH):
                    of_it = [message for message in heard if message["ch"] == channel.name]
                    assert seqs(of_it) == list(range(361, 401))

        started_s = asyncio.get_running_loop().time()
        await asyncio.gather(*(come_back() for _ in range(200)))
        lasted_s = asyncio.get_running_loop().time() - started_s
        # Of two channels; once when they were opened.
        assert await _readings(redis) - readings <= 2 * (1 + lasted_s / 0.1)


async def _readings(redis: Redis) -> int:
    stats = await redis.info("commandstats")
    row = stats.get("cmdstat_xrevrange")
    return int(row["calls"]) if row else 0


async def test_at_a_rate_what_was_missed_comes_as_one_message(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish([tick for n in range(1, 31) for tick in quote(f"{n}.00")])
    async with gateway.client() as client, gateway.client() as again:
        (accepted,) = await client.subscribe(QUOTES.name)
        assert await resumed(again, accepted, accepted["seq"] - 12, rate="1s")
        (message,) = await again.data(1)
    assert (message["seq"], message["n"], message["bid"]) == (accepted["seq"], 12, "30.00")


async def test_of_two_channels_each_is_recovered_by_itself(
    gateway: GatewayServer, publish: Publishing, redis: Redis
) -> None:
    await publish([*trades(1, 300), *trades(1, 300, ETH)])
    async with gateway.client() as client:
        told = await client.subscribe(BTC.name, ETH.name)
    await redis.xtrim(log_key(BTC.name), maxlen=10, approximate=False)
    since = {accepted["ch"]: [accepted["epoch"], 20] for accepted in told}
    async with gateway.client() as client:
        again = await client.subscribe(BTC.name, ETH.name, since=since)
        assert {one["ch"]: one["recovered"] for one in again} == {BTC.name: False, ETH.name: True}
        # The newest is told to one who could not resume.
        messages = await client.data(281)
    assert seqs([one for one in messages if one["ch"] == BTC.name]) == [300]
    assert seqs([one for one in messages if one["ch"] == ETH.name]) == list(range(21, 301))


async def test_what_is_lost_on_the_bus_is_fetched_from_the_stream(
    gateway: GatewayServer, publish: Publishing, redis: Redis
) -> None:
    """Appended, but never heard by pub/sub: nobody notices but by the next seq."""
    await publish(trades(1, 3))
    async with gateway.client() as client:
        await client.subscribe(BTC.name)
        epoch, kept = await redis.hmget(head_key(BTC.name), "epoch", "seq")
        assert epoch is not None
        assert kept == b"3"
        payload = b'{"px":"1","sz":"1","side":"buy","id":"x"}'
        for seq in (4, 5, 6):
            lost = Publication(epoch.decode(), seq, payload, None)
            await redis.xadd(log_key(BTC.name), {"m": lost.encode()}, id=f"{seq}-0")
            await redis.hset(head_key(BTC.name), "seq", seq)
        await redis.publish(topic(BTC.name), lost.encode())
        await client.hear_whole(4, 6)


async def test_what_nobody_ever_sent_is_not_waited_for(
    gateway: GatewayServer, publish: Publishing, redis: Redis
) -> None:
    await publish(trades(1, 3))
    async with gateway.client() as client:
        await client.subscribe(BTC.name)
        epoch = await redis.hget(head_key(BTC.name), "epoch")
        assert isinstance(epoch, bytes)
        made = Publication(epoch.decode(), 9, b'{"px":"1"}', Missing("venue", 2))
        await redis.publish(topic(BTC.name), made.encode())
        (message,) = await client.data(1)
        told = [(one["from"], one["to"], one["by"]) for one in client.heard if "from" in one]
    assert message["seq"] == 9
    assert told == [(4, 6, "bus"), (7, 8, "venue")]


async def test_a_replay_is_whole_however_much_the_socket_takes_at_once(
    gateway: GatewayServer, publish: Publishing
) -> None:
    """Three thousand messages are more than may wait for a slow client."""
    channels = (BTC, ETH, Channel.parse("trade:sim:SOL-USD"))
    await publish([tick for channel in channels for tick in trades(1, 1_000, channel)])
    async with gateway.client() as client:
        told = await client.subscribe(*(channel.name for channel in channels))
        since = {accepted["ch"]: [accepted["epoch"], 0] for accepted in told}
    async with gateway.client() as client:
        again = await client.subscribe(*since, since=since)
        assert [accepted["recovered"] for accepted in again] == [True] * 3
        messages = await client.data(3_000)
        assert {one.get("type") for one in client.heard} <= {None, "welcome", "ack", "state"}
    for name in since:
        assert seqs([one for one in messages if one["ch"] == name]) == list(range(1, 1_001))


async def test_what_is_too_much_for_one_command_comes_with_the_next(
    redis_url: str, publish: Publishing
) -> None:
    channels = [Channel.parse(f"trade:sim:S{number}-USD") for number in range(7)]
    await publish([tick for channel in channels for tick in trades(1, 1_000, channel)])
    heard = 0
    async with (
        gateway_on(redis_url, changed(bus_answer_limit_s=15.0)) as gateway,
        gateway.client() as client,
    ):
        told = await client.subscribe(*(channel.name for channel in channels))
        since = {accepted["ch"]: [accepted["epoch"], 0] for accepted in told}
        await client.ask("unsubscribe", channels=[channel.name for channel in channels])
        while since:
            ack = await client.ask("subscribe", channels=list(since), since=since)
            assert all(accepted["recovered"] for accepted in ack["ok"])
            assert {one["code"] for one in ack["err"]} <= {"replay_later"}
            assert ack["ok"]
            assert all(one["retry"] for one in ack["err"])
            messages = await client.data(1_000 * len(ack["ok"]))
            assert seqs(messages) == list(range(1, 1_001)) * len(ack["ok"])
            heard += len(ack["ok"])
            since = {one["ch"]: since[one["ch"]] for one in ack["err"]}
    assert heard == 7


async def test_a_redis_that_gives_no_answer_is_no_loss(
    gateway: GatewayServer, publish: Publishing, redis_server: RedisServer
) -> None:
    await publish(trades(1, 300))
    async with gateway.client() as client:
        (accepted,) = await client.subscribe(BTC.name)
        since = {BTC.name: [accepted["epoch"], 5]}
        async with gateway.client() as again:
            assert redis_server.process is not None
            redis_server.process.send_signal(signal.SIGSTOP)
            try:
                ack = await again.ask("subscribe", channels=[BTC.name], since=since)
            finally:
                redis_server.process.send_signal(signal.SIGCONT)
            assert ack["ok"] == []
            assert [(one["code"], one["retry"]) for one in ack["err"]] == [("replay_later", True)]

            async def accepted_again() -> list[Message]:
                told = await again.ask("subscribe", channels=[BTC.name], since=since)
                # A refusal of one who has asked too often names none.
                ok: list[Message] = told.get("ok", [])
                return ok

            (recovered,) = await until_answer(accepted_again)
            assert recovered["recovered"]
            await again.hear_whole(6, 300)


async def test_one_with_a_part_of_the_running_interval_gets_the_rest_of_it(
    gateway: GatewayServer, publish: Publishing
) -> None:
    """As one who comes from another gateway has."""
    await publish(quote("1.00"))
    async with gateway.client() as early, gateway.client() as whole, gateway.client() as again:
        await early.subscribe(QUOTES.name, rate="5s")
        (accepted,) = await whole.subscribe(QUOTES.name)
        await publish([tick for n in range(2, 9) for tick in quote(f"{n}.00")])
        await whole.hear_until(lambda told: told.get("bid") == "8.00")
        assert await resumed(again, accepted, accepted["seq"] + 3, rate="5s")
        (message,) = await again.data(1)
        assert (message["seq"] - message["n"], message["bid"]) == (accepted["seq"] + 3, "8.00")


async def test_a_change_of_rate_tells_nothing_twice(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    async with gateway.client() as early, gateway.client() as client:
        await early.subscribe(BTC.name, rate="5s")
        await client.subscribe(BTC.name)
        await publish(trades(2, 6))
        await client.hear_whole(2, 6)
        (accepted,) = await client.subscribe(BTC.name, rate="5s")
        assert accepted["seq"] == 6
        await publish(trades(7, 9))
        (message,) = await client.data(1)
        assert message["seq"] - message.get("n", 1) >= 6
