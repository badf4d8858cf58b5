"""The reference client after it lost its gateway: what it went on from, and what it has missed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from feeds.market.bus_names import DIRECTORY_KEY
from gateway.client import (
    Ack,
    Drain,
    Gap,
    Missed,
    Position,
    Reconnecting,
    Reset,
    Welcome,
)
from gateway.settings import GatewaySettings
from tests.client_gateway import Publisher, gateway
from tests.client_streams import (
    QUOTES,
    TRADES,
    connected,
    is_ack,
    is_data,
    is_reconnecting,
    line_to_gateway,
    read,
    read_until,
)
from tests.conftest import in_one_task
from tests.proxy import Proxy, proxy_to


@pytest.fixture
async def publisher(redis: Redis) -> Publisher:
    """Its channels are known before the gateway starts: it asks for new ones 4 times a second."""
    publisher = Publisher(redis)
    await publisher.announce(TRADES, QUOTES)
    return publisher


@pytest.fixture
async def network(redis_url: str, publisher: Publisher) -> AsyncIterator[Proxy]:
    """A gateway, and the line to it."""
    async with in_one_task(line_to_gateway(redis_url)) as line:
        yield line


async def test_what_was_published_while_away_comes_after_the_return(
    network: Proxy, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    await publisher.trades(TRADES, "1")
    async with connected(network.port, key) as stream:
        await stream.subscribe(TRADES)
        network.is_refusing = True
        network.cut()
        (lost,) = await read_until(stream, is_reconnecting)
        await publisher.trades(TRADES, "2", "3", "4")
        network.is_refusing = False
        told = await read_until(stream, is_data)
        await publisher.trades(TRADES, "5")
        after = [told[-1], *await read(stream, 3)]
    assert isinstance(lost, Reconnecting)
    assert lost.attempt == 1
    assert [type(message) for message in told][-3:-1] == [Welcome, Ack]
    assert [(row["seq"], row["px"]) for row in after] == [(n, f"{n}") for n in (2, 3, 4, 5)]


async def test_what_the_stream_no_longer_has_is_missed_by_name(
    redis_url: str, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    await publisher.trades(TRADES, "1")
    async with gateway(redis_url) as port, connected(port, key) as stream:
        await stream.subscribe(TRADES)
        kept = stream.positions
    await publisher.trades(TRADES, "2", "3", "4")
    await publisher.trim(TRADES, 2)
    async with gateway(redis_url) as port, connected(port, key) as stream:
        ack = await stream.subscribe(TRADES, since=kept)
        told = await read_until(stream, is_data)
    assert ack.ok[0].recovered is False
    # The newest is told to one who could not resume.
    assert told[0] == Missed(TRADES, 2, 3, "away")
    assert told[1]["seq"] == 4


async def test_nothing_is_missed_where_nothing_was_published(
    network: Proxy, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    async with connected(network.port, key) as stream:
        await stream.subscribe(TRADES)
        # The channel began after the ack, which so could not tell its epoch: its state did.
        await publisher.trades(TRADES, "1", "2")
        await read(stream, 2)
        network.cut()
        told = await read_until(stream, is_ack)
        await publisher.trades(TRADES, "3")
        await read(stream, 1)
    ack = told[-1]
    assert isinstance(ack, Ack)
    assert ack.ok[0].recovered is True


async def test_a_redis_that_forgot_everything_while_we_were_away_is_a_reset(
    network: Proxy, publisher: Publisher, redis: Redis
) -> None:
    _, key = await publisher.key()
    await publisher.trades(TRADES, "1", "2")
    async with connected(network.port, key) as stream:
        ack = await stream.subscribe(TRADES)
        network.is_refusing = True
        network.cut()
        await read_until(stream, is_reconnecting)
        await redis.delete("tickgate:{trade:sim:BTC-USD}:head", "tickgate:{trade:sim:BTC-USD}:log")
        await publisher.trades(TRADES, "3", "4", "5")
        network.is_refusing = False
        told = await read_until(stream, lambda message: isinstance(message, Reset))
        await publisher.trades(TRADES, "6")
        after = await read(stream, 2)
    assert isinstance(told[-1], Reset)
    assert told[-1].epoch != ack.ok[0].epoch
    assert told[-1].seq == 3
    assert [(row["seq"], row["px"]) for row in after] == [(3, "5"), (4, "6")]


async def test_a_position_that_was_kept_takes_a_later_run_on_from_there(
    network: Proxy, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    await publisher.trades(TRADES, "1", "2")
    async with connected(network.port, key) as stream:
        await stream.subscribe(TRADES)
        kept = stream.positions
    await publisher.trades(TRADES, "3", "4")
    async with connected(network.port, key) as stream:
        ack = await stream.subscribe("trade:sim:*", since=kept)
        told = await read(stream, 2)
    assert kept == {TRADES: Position(str(ack.ok[0].epoch), 2)}
    assert ack.ok[0].recovered is True
    assert [row["seq"] for row in told] == [3, 4]


async def test_a_gap_that_is_announced_is_passed_on_and_is_no_hole(
    network: Proxy, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    await publisher.trades(TRADES, "1")
    async with connected(network.port, key) as stream:
        await stream.subscribe(TRADES)
        await publisher.trades(TRADES, "5", missing="venue:3")
        told = await read_until(stream, is_data)
    assert told[0] == Gap(TRADES, 2, 4, "venue")
    assert len(told) == 2


async def test_a_stopping_gateway_is_left_and_the_next_one_is_found(
    redis_url: str, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    await publisher.trades(TRADES, "1")
    async with contextlib.AsyncExitStack() as stack, contextlib.AsyncExitStack() as first:
        port = await first.enter_async_context(gateway(redis_url))
        line = await stack.enter_async_context(proxy_to(port))
        stream = await stack.enter_async_context(connected(line.port, key))
        await stream.subscribe(TRADES)
        async with asyncio.TaskGroup() as group:
            leaving = group.create_task(read_until(stream, is_reconnecting))
            line.is_refusing = True
            await first.aclose()
        line.target = await stack.enter_async_context(gateway(redis_url))
        line.is_refusing = False
        await read_until(stream, is_ack)
        await publisher.trades(TRADES, "2")
        after = await read(stream, 1)
    told = leaving.result()
    assert isinstance(told[0], Drain)
    assert "4200" in getattr(told[-1], "reason", "")
    assert after[0]["seq"] == 2


async def test_a_gateway_that_falls_silent_is_left(redis_url: str, publisher: Publisher) -> None:
    _, key = await publisher.key()
    settings = GatewaySettings(heartbeat_ms=100)
    async with (
        gateway(redis_url, settings) as port,
        proxy_to(port) as network,
        connected(network.port, key) as stream,
    ):
        await stream.subscribe(TRADES)
        network.answers.is_dropping = True
        lost = await read_until(stream, is_reconnecting)
        network.answers.is_dropping = False
        await read_until(stream, is_ack)
    assert "silent" in getattr(lost[-1], "reason", "")


async def test_a_channel_that_is_refused_on_return_is_asked_for_until_it_is_there(
    redis_url: str, redis: Redis, publisher: Publisher
) -> None:
    _, key = await publisher.key()
    await publisher.trades(TRADES, "1")
    async with contextlib.AsyncExitStack() as stack, contextlib.AsyncExitStack() as first:
        port = await first.enter_async_context(gateway(redis_url))
        line = await stack.enter_async_context(proxy_to(port))
        stream = await stack.enter_async_context(connected(line.port, key))
        await stream.subscribe(TRADES)
        await first.aclose()
        # The next gateway knows of no channels: nobody has published yet.
        await redis.delete(DIRECTORY_KEY)
        line.target = await stack.enter_async_context(gateway(redis_url))
        refused = await read_until(stream, is_ack)
        await publisher.announce(TRADES)
        accepted = await read_until(stream, is_ack)
        await publisher.trades(TRADES, "2")
        assert (await read(stream, 1))[0]["px"] == "2"
    assert isinstance(refused[-1], Ack)
    assert [row.code for row in refused[-1].err] == ["unknown_venue"]
    assert isinstance(accepted[-1], Ack)
    assert [row.ch for row in accepted[-1].ok] == [TRADES]
