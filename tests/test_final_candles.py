"""Final candles are kept for models, longer than a channel's stream keeps them, over a restart."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
from redis.asyncio import Redis

from feeds.derived.settings import CandleSettings, DerivedChoices
from feeds.derived.signal_settings import SignalSettings
from feeds.final_candles import KEPT, FinalCandles
from feeds.market import Candle, Channel, Tick
from feeds.market.bus_names import finals_key
from feeds.settings import FeedSettings, LedgerSettings, SimSettings
from tests.conftest import RedisServer
from tests.model_market import CANDLES, Shape, candle, walk
from tests.test_feeds_run import running
from tests.until_answer import until_answer

OTHERS = [Channel("candle.5m", "agg", "BTC-USD"), Channel("candle.1m", "kraken", "BTC-USD")]


@contextlib.asynccontextmanager
async def keeping(redis: Redis) -> AsyncIterator[FinalCandles]:
    finals = FinalCandles(redis, "candle.1m")
    running = asyncio.create_task(finals.run())
    try:
        yield finals
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def reach(redis: Redis, count: int) -> None:
    async def is_there() -> bool:
        return await redis.llen(finals_key(CANDLES.name)) == count

    await until_answer(is_there, 15.0)


async def test_what_is_final_comes_back_and_nothing_else(redis: Redis) -> None:
    rows = walk(40, seed=1)
    running = candle(40, Shape(0.0, 1.0, 0.5), final=False)
    corrected = candle(39, Shape(0.0, 1.0, 0.5), correction=True, version=2)
    async with keeping(redis) as finals:
        finals.take([Tick(channel, rows[0]) for channel in OTHERS])
        finals.take([Tick(CANDLES, each) for each in [*rows, running, corrected]])
        await reach(redis, 40)
        histories = {CANDLES.name: [], OTHERS[0].name: [rows[0]]}
        await finals.complete(histories)
    assert histories == {CANDLES.name: rows, OTHERS[0].name: [rows[0]]}


async def test_a_stream_that_knows_later_ones_goes_on_from_there(redis: Redis) -> None:
    rows = walk(40, seed=1)
    async with keeping(redis) as finals:
        finals.take([Tick(CANDLES, each) for each in rows[:30]])
        await reach(redis, 30)
        histories = {CANDLES.name: rows[20:]}
        await finals.complete(histories)
    assert histories == {CANDLES.name: rows}


async def test_the_oldest_are_forgotten(redis: Redis) -> None:
    rows = walk(KEPT + 700, seed=1)
    async with keeping(redis) as finals:
        finals.take([Tick(CANDLES, each) for each in rows])
        await until_newest(redis, rows[-1].start_us)
        histories = {CANDLES.name: []}
        await finals.complete(histories)
    assert histories == {CANDLES.name: rows[-KEPT:]}


async def until_newest(redis: Redis, start_us: int) -> None:
    async def is_there() -> bool:
        newest = await redis.lindex(finals_key(CANDLES.name), -1)
        return newest is not None and str(start_us).encode() in newest

    await until_answer(is_there, 15.0)


async def test_what_redis_missed_is_written_when_it_is_back(redis_server: RedisServer) -> None:
    rows = walk(3, seed=1)
    async with Redis.from_url(redis_server.url) as redis, keeping(redis) as finals:
        finals.take([Tick(CANDLES, rows[0])])
        await reach(redis, 1)
        redis_server.kill()
        finals.take([Tick(CANDLES, rows[1])])
        histories = {CANDLES.name: [rows[2]]}
        await finals.complete(histories)
        assert histories == {CANDLES.name: [rows[2]]}
        redis_server.start()
        await reach(redis, 1)
        histories = {CANDLES.name: []}
        await finals.complete(histories)
    assert histories == {CANDLES.name: [rows[1]]}


async def test_a_feeds_process_keeps_what_it_tells(redis: Redis, redis_url: str) -> None:
    """Of a generated market, whose models read seconds."""
    derived = DerivedChoices(
        candle=CandleSettings(lateness_ms=200), signal=SignalSettings(models=("trend",))
    )
    settings = FeedSettings(
        venues=("sim",),
        sim=SimSettings(symbols=1, ticks_per_s=200.0),
        ledger=LedgerSettings(path=""),
        derived=derived,
    )
    key = finals_key("candle.1s:agg:BTC-USD")

    async def is_kept() -> bool:
        return await redis.llen(key) >= 2

    async with running(settings, redis_url):
        await until_answer(is_kept, 20.0)
    kept = [msgspec.json.decode(text, type=Candle) for text in await redis.lrange(key, 0, -1)]
    assert all(each.final for each in kept)
    assert [each.start_us for each in kept] == sorted({each.start_us for each in kept})
