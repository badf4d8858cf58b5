"""When a gateway reads the bus and sends what it brought: the join window, over a real Redis."""

import asyncio

import pytest
import uvloop

from tests.gateway_server import changed, gateway_on, publishing_on
from tests.stream_client import seqs
from tests.ticks import BTC, trades
from tests.until import until

LOOPS = {"plain": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
COUNT = 60


async def test_in_a_busy_window_the_bus_is_not_read_and_nothing_is_lost(redis_url: str) -> None:
    async with (
        gateway_on(redis_url, changed(join_window_ms=400.0)) as gateway,
        publishing_on(redis_url) as publish,
        gateway.client() as client,
    ):
        await publish(trades(1, 1))
        await client.subscribe(BTC.name)
        before = gateway.worker.bus.counts.reads
        for number in range(2, COUNT + 2):
            await publish(trades(number, number))
        messages = await client.data(COUNT)
        reads = gateway.worker.bus.counts.reads - before
    assert seqs(messages) == list(range(2, COUNT + 2))
    assert reads < COUNT / 2


@pytest.mark.parametrize("window_ms", [0.0, 50.0])
async def test_after_a_window_without_anything_the_next_message_comes(
    redis_url: str, window_ms: float
) -> None:
    async with (
        gateway_on(redis_url, changed(join_window_ms=window_ms)) as gateway,
        publishing_on(redis_url) as publish,
        gateway.client() as client,
    ):
        await publish(trades(1, 1))
        await client.subscribe(BTC.name)
        for first in (2, 4, 6):
            await publish(trades(first, first))
            await publish(trades(first + 1, first + 1))
            assert seqs(await client.data(2)) == [first, first + 1]
            beat = gateway.worker.bus.counts.reads
            # A ping's answer, in a window that nothing opened.
            await until(lambda beat=beat: gateway.worker.bus.counts.reads > beat)


async def test_a_bus_that_is_lost_within_a_window_is_read_again(redis_url: str) -> None:
    async with (
        gateway_on(redis_url, changed(join_window_ms=300.0)) as gateway,
        publishing_on(redis_url) as publish,
        gateway.client() as client,
    ):
        await publish(trades(1, 1))
        await client.subscribe(BTC.name)
        await publish(trades(2, 2))
        await publish(trades(3, 3))
        gateway.worker.bus.reconnect()
        await publish(trades(4, 41))
        assert seqs(await client.data(40)) == list(range(2, 42))
