"""Final candles are published once more: into a list that keeps them longer than streams do."""

import pytest
import uvloop
from redis.asyncio import Redis

from feeds.market import Channel
from feeds.market.bus_names import finals_key, head_key
from feeds.settings import PublisherSettings
from tests.conftest import RedisServer
from tests.proxy import proxy_to
from tests.publishing import (
    BTC,
    MINUTE,
    candle,
    drained,
    finals_of,
    ids,
    log_of,
    publishing,
    starts,
    ticks,
)
from tests.until_answer import until_answer

LOOPS = {"uvloop": uvloop.new_event_loop}


@pytest.mark.parametrize("interval", ["1m", "5m", "15m", "1h", "4h", "1d"])
async def test_final_candles_and_their_corrections_are_kept_as_they_were_published(
    redis_url: str, redis: Redis, interval: str
) -> None:
    channel = Channel(f"candle.{interval}", "kraken", "BTC-USD")
    of = {"channel": channel}
    ticks_ = [candle(1, final=False, **of), candle(1, **of), candle(2, final=False, **of)]
    async with publishing(redis_url) as publisher:
        publisher.offer([*ticks_, candle(1, 2, **of), candle(2, **of)])
        await drained(publisher)
    log = await log_of(redis, channel)
    assert await finals_of(redis, channel) == [log[1], log[3], log[4]]


async def test_of_nothing_else_is_there_such_a_list(redis_url: str, redis: Redis) -> None:
    second = Channel.parse("candle.1s:agg:BTC-USD")
    signal = Channel.parse("signal:trend:BTC-USD")
    async with publishing(redis_url) as publisher:
        publisher.offer([candle(1, channel=one) for one in (second, signal, BTC)])
        publisher.offer([candle(1, final=False)])
        await drained(publisher)
    assert len(await log_of(redis, second)) == len(await log_of(redis, MINUTE)) == 1
    assert not [key async for key in redis.scan_iter("*finals")]


async def test_a_thousand_final_candles_are_kept_whatever_the_stream_keeps(
    redis_url: str, redis: Redis
) -> None:
    async with publishing(redis_url, PublisherSettings()) as publisher:
        for start in range(1, 1_301):
            publisher.offer([candle(start, final=False), candle(start, final=False), candle(start)])
        await drained(publisher)
    assert starts(await finals_of(redis)) == list(range(301, 1_301))
    assert len(await log_of(redis, MINUTE)) < 1_300


async def test_final_candles_are_kept_once_though_their_batch_was_sent_again(
    redis_server: RedisServer, redis: Redis
) -> None:
    async with (
        proxy_to(redis_server.socket) as proxy,
        publishing(f"redis://127.0.0.1:{proxy.port}") as publisher,
    ):
        publisher.offer([candle(1)])
        await drained(publisher)
        proxy.answers.is_dropping = True
        publisher.offer(candle(start) for start in range(2, 8))

        async def are_there() -> bool:
            return len(await finals_of(redis)) == 7

        await until_answer(are_there)
        proxy.answers.is_dropping = False
        proxy.cut()
        await drained(publisher)
        assert publisher.counts.retried_batches >= 1
    assert starts(await finals_of(redis)) == list(range(1, 8))


async def test_final_candles_outlive_the_epochs_in_which_they_were_told(
    redis_url: str, redis: Redis
) -> None:
    async with publishing(redis_url) as publisher:
        for start in range(1, 13, 3):
            publisher.offer(candle(at) for at in range(start, start + 3))
            await drained(publisher)
            await redis.hset(head_key(MINUTE.name), "seq", "1")
            # On a new connection Redis is asked what it still knows.
            await redis.client_kill_filter(_type="normal", skipme=True)
    kept = await finals_of(redis)
    assert starts(kept) == list(range(1, 13))
    assert len({one.epoch for one in kept}) == 4
    assert starts(await log_of(redis, MINUTE)) == [10, 11, 12]


async def test_a_list_of_another_type_keeps_its_own_channel_out(
    redis_url: str, redis: Redis
) -> None:
    await redis.set(finals_key(MINUTE.name), "something else")
    async with publishing(redis_url) as publisher:
        publisher.offer([candle(1, final=False), candle(1), *ticks(1, 5)])
        await drained(publisher)
        assert publisher.counts.dropped == 2
        assert ids(await log_of(redis)) == list(range(1, 6))
        await redis.delete(finals_key(MINUTE.name))
        publisher.offer([candle(2)])
        await drained(publisher)
    (only,) = await finals_of(redis)
    assert (starts([only]), only.missing) == ([2], ("feed", 2))
