"""Final candles are kept longer than a stream keeps them, and restarts go on from them."""

from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from feeds import recall
from feeds.derived.candles import CANDLES as CANDLES_ROW
from feeds.derived.candles import Candles
from feeds.market import AGGREGATE, Candle, Channel, Payload, Tick
from feeds.market.bus_names import finals_key, head_key, keeps_finals, log_key
from feeds.settings import PublisherSettings
from tests.candle_market import (
    LENGTHS_US,
    NOON_US,
    SECOND_US,
    candles,
    newest,
    played,
    status,
    trade,
)
from tests.model_market import CANDLES, Shape, candle, walk
from tests.publishing import drained, has_channels, publishing
from tests.until_answer import until_answer

LONGER = [name for name in LENGTHS_US if name != "1s"]
END_US = NOON_US + 4_215 * SECOND_US
CUT_US = NOON_US + 3_017 * SECOND_US
TRADES = [
    trade(NOON_US + 1 + number * 7_000_000, f"{100 + number % 17}.5", "0.1")
    for number in range(600)
]
BEFORE = [tick for tick in TRADES if (tick.payload.received_us or 0) < CUT_US]
AFTER = TRADES[len(BEFORE) :]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start waits two seconds at most for an answer; a busy machine may need more."""
    monkeypatch.setattr(recall, "_ANSWER_LIMIT_S", 15.0)


async def published(redis: Redis, url: str, ticks: Sequence[Tick]) -> None:
    channels = {tick.channel for tick in ticks}
    async with publishing(url, PublisherSettings()) as publisher:
        publisher.register(channels)
        publisher.offer(ticks)
        await until_answer(lambda: has_channels(redis, len(channels)))
        await drained(publisher)


async def recalled(redis: Redis, modelled: str = "candle.1m") -> dict[str, list[Payload]]:
    return (await recall.recall_histories(redis, CANDLES_ROW.history, ["kraken"], modelled)).told


async def end_epochs(redis: Redis, kinds: Sequence[str]) -> None:
    for venue in ("kraken", AGGREGATE):
        for kind in kinds:
            name = f"candle.{kind}:{venue}:BTC-USD"
            assert await redis.delete(head_key(name), log_key(name)) == 2


async def restarted(redis: Redis) -> Candles:
    one = candles(None)
    one.restore(await recalled(redis), CUT_US)
    return one


async def test_after_an_epochs_end_a_restart_in_mid_interval_goes_on_where_it_was(
    redis_url: str, redis: Redis
) -> None:
    whole = played(candles(), TRADES, END_US)
    told = played(candles(), BEFORE, CUT_US)
    await published(redis, redis_url, [*told, *BEFORE, status("live", CUT_US)])
    await end_epochs(redis, LONGER)
    told += played(await restarted(redis), AFTER, END_US)
    assert [name for name in LENGTHS_US if newest(told, name) != newest(whole, name)] == []
    assert [one.partial for one in newest(told, "1h").values()] == [False]


async def test_where_even_the_seconds_are_gone_longer_ones_go_on_and_are_partial(
    redis_url: str, redis: Redis
) -> None:
    told = played(candles(), BEFORE, CUT_US)
    await published(redis, redis_url, [*told, *BEFORE[-1:], status("live", CUT_US)])
    await end_epochs(redis, ["1s", *LONGER])
    again = played(await restarted(redis), AFTER, END_US)
    minute_us = NOON_US + 50 * 60 * SECOND_US
    lost = [tick for tick in BEFORE[:-1] if (tick.payload.received_us or 0) >= minute_us]
    assert lost
    (hour,) = newest(again, "1h").values()
    assert (hour.start_us, hour.open, hour.partial) == (NOON_US, "100.5", True)
    within = [tick for tick in TRADES if (tick.payload.received_us or 0) < NOON_US + 3_600_000_000]
    assert hour.trades == len(within) - len(lost)
    assert newest(again, "1m")[minute_us].partial
    assert not any(one.partial for start, one in newest(again, "1m").items() if start > minute_us)


async def test_a_model_hears_all_that_are_kept_and_the_rest_enough(
    redis_url: str, redis: Redis
) -> None:
    rows = walk(1_200, seed=1)
    running = candle(1_200, Shape(0.0, 1.0, 0.5), final=False)
    five = Channel("candle.5m", AGGREGATE, "BTC-USD")
    await published(redis, redis_url, [Tick(CANDLES, one) for one in [*rows, running]])
    await published(redis, redis_url, [Tick(five, one) for one in rows])
    histories = await recalled(redis, CANDLES.kind)
    assert histories == {CANDLES.name: rows[-1_000:], five.name: rows[-60:]}


async def test_what_is_no_candle_among_them_is_left_out(redis_url: str, redis: Redis) -> None:
    rows = walk(3, seed=1)
    await published(redis, redis_url, [Tick(CANDLES, one) for one in rows])
    await redis.rpush(finals_key(CANDLES.name), "nonsense", 'e 4 - {"final":true}')
    histories = await recalled(redis)
    assert histories == {CANDLES.name: rows}
    assert all(isinstance(one, Candle) for one in histories[CANDLES.name])
    await redis.delete(finals_key(CANDLES.name))
    await redis.set(finals_key(CANDLES.name), "something else")
    assert await recalled(redis) == {CANDLES.name: []}


@pytest.mark.parametrize("name", [*LENGTHS_US])
def test_candles_of_a_minute_and_longer_are_kept(name: str) -> None:
    assert keeps_finals(f"candle.{name}") == (name != "1s")
    assert not keeps_finals("trade")
