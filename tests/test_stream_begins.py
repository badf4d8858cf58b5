"""Who subscribes to a channel before its first message is told its epoch then, and can resume."""

import pytest
from redis.asyncio import Redis

from feeds.market.bus_names import DIRECTORY_KEY
from tests.gateway_server import GatewayServer, publish_custom
from tests.stream_client import seqs

NAME = "signal:desk:BTC-USD"


@pytest.mark.parametrize("rate", ["all", "latest", "50ms"])
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_who_subscribed_before_the_first_message_can_come_back(
    gateway: GatewayServer, redis: Redis, rate: str, encoding: str
) -> None:
    await redis.sadd(DIRECTORY_KEY, NAME)
    async with gateway.client(encoding=encoding) as client:
        (accepted,) = await client.subscribe("signal:desk:*", rate=rate)
        assert "epoch" not in accepted
        await publish_custom(redis, b'{"a":1}', channel=NAME)
        begins = await client.state(NAME, "live")
        (first,) = await client.data(1)
    await publish_custom(redis, b'{"a":2}', b'{"a":3}', channel=NAME)
    async with gateway.client(encoding=encoding) as client:
        since = {NAME: [begins["epoch"], first["seq"]]}
        (again,) = await client.subscribe(NAME, since=since)
        assert again["recovered"] is True
        assert again["epoch"] == begins["epoch"]
        assert seqs(await client.data(2)) == [2, 3]


async def test_the_epoch_is_told_once_and_not_to_who_has_it_from_the_ack(
    gateway: GatewayServer, redis: Redis
) -> None:
    await redis.sadd(DIRECTORY_KEY, NAME)
    async with gateway.client() as early, gateway.client() as late:
        await early.subscribe(NAME)
        await publish_custom(redis, b'{"a":1}', channel=NAME)
        await early.data(1)
        (accepted,) = await late.subscribe(NAME)
        await publish_custom(redis, b'{"a":2}', b'{"a":3}', channel=NAME)
        await early.data(2)
        await late.data(2)
    told = [one["epoch"] for one in early.heard if one.get("type") == "state"]
    assert told == [accepted["epoch"]]
    assert [one for one in late.heard if "epoch" in one] == []
