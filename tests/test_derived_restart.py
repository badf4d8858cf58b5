"""Derived channels when feeds processes die: candles go on where they were, nothing twice."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis

from feeds.derived.settings import CandleSettings, DerivedChoices
from feeds.derived.signal_settings import SignalSettings
from feeds.market import Publication
from feeds.market.bus_names import log_key
from feeds.settings import FeedSettings, PublisherSettings, SimSettings
from tests.conftest import RedisServer
from tests.test_feeds_run import Run, running
from tests.test_standing_by import feeds_on
from tests.until_answer import until_answer

SECONDS = "candle.1s:agg:BTC-USD"
MINUTES = "candle.1m:sim:BTC-USD"
PRICES = "price:agg:BTC-USD"

Message = dict[str, Any]


async def messages(redis: Redis, channel: str) -> list[Message]:
    entries: Any = await redis.xrange(log_key(channel))
    found = [Publication.decode(fields[b"m"]) for _, fields in entries]
    assert len({one.epoch for one in found}) <= 1
    seqs = [one.seq for one in found]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)) if seqs else ())
    return [msgspec.json.decode(one.payload) for one in found]


async def reach(redis: Redis, channel: str, enough: Callable[[list[Message]], bool]) -> None:
    async def is_enough() -> bool:
        return enough(await messages(redis, channel))

    await until_answer(is_enough, 40.0)


def finals(told: list[Message]) -> list[Message]:
    return [one for one in told if one["final"]]


SETTINGS = FeedSettings(
    venues=("sim",),
    sim=SimSettings(symbols=1, ticks_per_s=200.0),
    publisher=PublisherSettings(lease_s=0.5),
    derived=DerivedChoices(
        candle=CandleSettings(lateness_ms=200), signal=SignalSettings(models=("trend",))
    ),
)


async def test_candles_go_on_where_a_process_was_killed(
    redis_server: RedisServer, redis: Redis, tmp_path: Path
) -> None:
    async with feeds_on(redis_server, tmp_path, SETTINGS.sim.seed) as one:
        await reach(redis, MINUTES, lambda told: bool(told) and told[-1]["n"] >= 20)
        one.signal(signal.SIGKILL)
    before = await messages(redis, MINUTES)
    async with running(SETTINGS, redis_server.url):
        await reach(redis, MINUTES, lambda told: len(told) >= len(before) + 2)
    after = (await messages(redis, MINUTES))[len(before) :]
    goes_on = [one for one in after if one["start"] == before[-1]["start"]]
    assert all(one["n"] >= before[-1]["n"] for one in goes_on)
    assert all(one["partial"] for one in goes_on)
    assert all(one["open"] == before[-1]["open"] for one in goes_on)


async def test_who_takes_over_tells_no_final_candle_twice_and_leaves_none_out(
    redis: Redis, redis_url: str
) -> None:
    first, second = Run(SETTINGS, redis_url), Run(SETTINGS, redis_url)
    holding = asyncio.create_task(first())
    await reach(redis, SECONDS, lambda told: len(finals(told)) >= 1)
    waiting = asyncio.create_task(second())
    # It has stood by for long enough to see finals told that it did not make.
    await reach(redis, SECONDS, lambda told: len(finals(told)) >= 5)
    try:
        # As if killed: nothing is said, nothing is drained, no lease is given up.
        holding.cancel()
        await asyncio.wait([holding])
        told = len(finals(await messages(redis, SECONDS)))
        prices = (await messages(redis, PRICES))[-1]["at"]
        await reach(redis, SECONDS, lambda all_: len(finals(all_)) >= told + 3)
        await reach(redis, PRICES, lambda all_: all_[-1]["at"] > prices)
    finally:
        second.stopping.set()
        await waiting
    firsts = [one for one in finals(await messages(redis, SECONDS)) if "correction" not in one]
    starts = [one["start"] for one in firsts]
    assert starts == list(range(starts[0], starts[-1] + 1, 1_000_000))
