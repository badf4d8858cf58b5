"""The wall clock is set back while derivations run: prices go on, nothing is final twice."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis

from feeds.derived.candles import CANDLES
from feeds.derived.price import PRICE
from feeds.derived.settings import CandleSettings, DerivedSettings
from feeds.deriving import heard
from feeds.deriving.derived_feed import DerivedFeed
from feeds.deriving.heard import Heard
from feeds.deriving.wall_clock import SetBackError, WallClock
from feeds.market import Channel, Quote, SystemClock, Tick, Trade
from feeds.settings import HistorySettings, PublisherSettings
from tests.gateway_server import publishing_on
from tests.manual_clock import ManualClock
from tests.test_derived_feed import published
from tests.until_answer import until_answer

LOOPS = {"uvloop": uvloop.new_event_loop}

PRICES = "price:agg:BTC-USD"
SECONDS = "candle.1s:agg:BTC-USD"
MINUTES = "candle.1m:agg:BTC-USD"
QUOTES, TRADES = Channel.parse("quote:sim:BTC-USD"), Channel.parse("trade:sim:BTC-USD")

ALL_OF_IT = PublisherSettings(history=HistorySettings(newest=10_000, candle=10_000))

Message = dict[str, Any]


class SetClock(SystemClock):
    """The machine's, and somebody sets the wall clock."""

    def __init__(self) -> None:
        self.back_s = 0.0

    def now_ns(self) -> int:
        return super().now_ns() - round(self.back_s * 1e9)

    def now_us(self) -> int:
        return self.now_ns() // 1_000


async def move(feed: DerivedFeed, clock: SetClock) -> None:
    """A market whose stamps are by the same clock."""
    for number in range(100_000):
        at_us = clock.now_us()
        quote = Quote("100", f"101.{number % 10}", "1", "1", at_us, at_us)
        trade = Trade(f"10{number % 10}", "1", "buy", str(number), at_us, at_us)
        feed.offer([Tick(QUOTES, quote), Tick(TRADES, trade)])
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def deriving(redis: Redis, redis_url: str, clock: SetClock) -> AsyncIterator[DerivedFeed]:
    settings = DerivedSettings(simulated=True, candle=CandleSettings(lateness_ms=200))
    async with (
        publishing_on(redis_url, ALL_OF_IT) as publish,
        asyncio.timeout(60),
        asyncio.TaskGroup() as group,
    ):
        feed = DerivedFeed(
            (PRICE, CANDLES), settings, ["sim"], publish.publisher, redis, clock=clock
        )
        feed.register([QUOTES, TRADES])
        await feed.load()
        running = group.create_task(feed.run())
        moving = group.create_task(move(feed, clock))
        await until_answer(lambda: messages(redis, PRICES))
        yield feed
        running.cancel()
        moving.cancel()


async def messages(redis: Redis, channel: str) -> list[Message]:
    return [payload for _, payload in await published(redis, channel)]


async def finals(redis: Redis) -> list[Message]:
    return [one for one in await messages(redis, SECONDS) if one["final"]]


async def are_finals(redis: Redis, count: int) -> bool:
    return len(await finals(redis)) >= count


def said(log: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in log.records if "set back" in one.getMessage()]


async def test_a_clock_set_back_by_an_hour_stops_no_price(
    redis: Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SetClock()
    async with deriving(redis, redis_url, clock) as feed:
        before_us = clock.now_us()
        clock.back_s = 3_600.0

        async def is_told_again() -> bool:
            told = await messages(redis, PRICES)
            return any(one["state"] == "live" and one["at"] < before_us - 10**9 for one in told)

        await until_answer(is_told_again, 40.0)
        status = feed.status()
        assert status.state == "live"
        assert "the clock was set back by 3600.0 s: " in (status.reason or "")
    assert said(caplog) == [
        "the clock was set back by 3600.0 s; derivations begin again from what is published"
    ]


async def test_what_is_final_is_so_once_and_its_corrections_come_in_order(
    redis: Redis, redis_url: str
) -> None:
    clock = SetClock()
    async with deriving(redis, redis_url, clock) as feed:
        await until_answer(lambda: are_finals(redis, 4))
        newest = (await finals(redis))[-1]["start"]
        clock.back_s = 2.0

        async def goes_on() -> bool:
            return any(one["start"] > newest + 2_000_000 for one in await finals(redis))

        await until_answer(goes_on, 40.0)
        assert feed.counts.restarts == 1
        assert "clock" not in (feed.status().reason or "")
        told = await finals(redis)
    firsts = [one["start"] for one in told if "correction" not in one]
    assert firsts == list(range(firsts[0], firsts[-1] + 1, 1_000_000))
    versions: dict[int, list[int]] = {}
    for one in told:
        versions.setdefault(one["start"], []).append(one.get("version", 1))
    assert any(len(one) > 1 for one in versions.values())
    assert all(older < newer for one in versions.values() for older, newer in pairwise(one))


async def test_a_small_step_back_changes_nothing(redis: Redis, redis_url: str) -> None:
    clock = SetClock()
    async with deriving(redis, redis_url, clock) as feed:
        before_us = clock.now_us()
        clock.back_s = 0.5

        async def goes_on() -> bool:
            return (await messages(redis, PRICES))[-1]["at"] > before_us + 1_000_000

        await until_answer(goes_on, 40.0)
        assert feed.counts.restarts == 0


def test_only_a_step_of_more_than_a_second_back_is_one() -> None:
    clock = ManualClock()
    clock.advance(1_000.0)
    wall = WallClock(clock)
    wall.begin()
    for _ in range(10_000):
        clock.advance(0.1)
        clock.set_back(0.001)
        wall.expect_onward()
    clock.set_back(-3_600.0)
    wall.expect_onward()
    clock.set_back(1.5)
    with pytest.raises(SetBackError, match=r"set back by 1\.5 s"):
        wall.expect_onward()
    wall.expect_onward()


def test_it_is_said_until_it_is_as_late_again() -> None:
    clock = ManualClock()
    wall = WallClock(clock)
    wall.begin()
    told_until_us = clock.now_ns() // 1_000
    clock.set_back(60.0)
    with pytest.raises(SetBackError):
        wall.expect_onward()
    assert (wall.lack(told_until_us - 1) or "").startswith("the clock was set back by 60.0 s: ")
    assert wall.lack(told_until_us) is None


class Halting(ManualClock):
    """Between two readings nothing runs for a while."""

    halt_s = 0.0

    def now_ns(self) -> int:
        self.advance(self.halt_s)
        now_ns = super().now_ns()
        self.advance(self.halt_s)
        return now_ns


def test_to_stand_still_between_two_readings_is_no_step() -> None:
    clock = Halting()
    wall = WallClock(clock)
    for halt_s in (0.0, 90.0, 0.0, 30.0, 30.0, 0.0):
        clock.halt_s = halt_s
        wall.begin() if not halt_s else wall.expect_onward()
        clock.halt_s = 0.0
        wall.expect_onward()


def test_what_waits_is_as_old_as_the_clock_says_and_no_more_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heard, "_TICKS_MAX", 10)
    waiting, tick = Heard(), Tick(TRADES, Trade("1", "1", "buy", "1"))
    waiting.add(7_000_000, [tick] * 4)
    waiting.add(1_000_000, [tick] * 4)
    assert waiting.since_us(["sim"], 1_000_000) == 1_000_000
    assert waiting.next_us == 1_000_000
    for number in range(1, 20):
        waiting.add(1_000_000 + number, [tick] * 4)
        assert waiting.ticks <= 16
    assert waiting.overran
