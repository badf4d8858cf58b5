"""The feeds process, whole: venues on loopback, a real Redis, statuses, and a prompt end."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis

from feeds.derived.settings import DerivedChoices
from feeds.derived.signal_settings import SignalSettings
from feeds.errors import BusUnreachableError, FeedError, SettingError, UnknownVenueError
from feeds.market import Publication, SystemClock
from feeds.market.bus_names import DIRECTORY_KEY, log_key
from feeds.run import run_feeds, run_replay
from feeds.settings import (
    ConnectionSettings,
    FeedSettings,
    PublisherSettings,
    SimSettings,
    VenueSettings,
)
from tests.conftest import RedisServer
from tests.venue_server import DEADLINE_S, VenueServer, binance_trade, until

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

NOWHERE = "redis://127.0.0.1:1"

LIGHT = DerivedChoices(signal=SignalSettings(models=("trend",)))
"""The other models load libraries for seconds, during which hardly anything else has a turn."""


def only_sim(**sim: Any) -> FeedSettings:
    return FeedSettings(venues=("sim",), sim=SimSettings(**sim), derived=LIGHT)


def now_ms() -> int:
    return SystemClock().now_ns() // 1_000_000


def trade_of_now(number: int) -> str:
    return binance_trade(number, now_ms())


def binance_at(url: str, *others: str) -> FeedSettings:
    return FeedSettings(
        venues=("binance", *others),
        venue={"binance": VenueSettings(url=url, symbols=("BTC-USDT",))},
        connection=ConnectionSettings(backoff_first_s=0.001, backoff_max_s=0.05),
        # Longer than a machine stands still: nobody takes over from one that is at work.
        publisher=PublisherSettings(lease_s=10.0),
        derived=LIGHT,
    )


class Run:
    """A feeds process, in this one."""

    def __init__(self, settings: FeedSettings, redis_url: str) -> None:
        self.stopping = asyncio.Event()
        self._settings = settings
        self._redis_url = redis_url

    async def __call__(self) -> None:
        await run_feeds(
            self._settings,
            self._redis_url,
            clock=SystemClock(),
            random=Random(7),
            stopping=self.stopping,
        )


@contextlib.asynccontextmanager
async def running(settings: FeedSettings, redis_url: str) -> AsyncIterator[None]:
    run = Run(settings, redis_url)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(run())
        try:
            yield
        finally:
            run.stopping.set()


async def messages(redis: Redis, channel: str) -> list[dict[str, Any]]:
    entries = await redis.xrange(log_key(channel))
    return [json.loads(Publication.decode(fields[b"m"]).payload) for _, fields in entries]


async def reach(
    redis: Redis, channel: str, enough: Callable[[list[dict[str, Any]]], bool]
) -> list[dict[str, Any]]:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            found = await messages(redis, channel)
            if enough(found):
                return found
            await asyncio.sleep(0.005)


async def test_the_generated_market_reaches_the_bus(redis: Redis, redis_url: str) -> None:
    async with running(only_sim(symbols=2, ticks_per_s=500.0), redis_url):
        trades = await reach(redis, "trade:sim:BTC-USD", lambda found: len(found) >= 20)
        quotes = await reach(redis, "quote:sim:ETH-USD", lambda found: len(found) >= 20)
        statuses = await reach(redis, "status:sim:VENUE", lambda found: len(found) >= 2)
        known = {name.decode() for name in await redis.smembers(DIRECTORY_KEY)}
    assert known >= {"trade:sim:BTC-USD", "quote:sim:ETH-USD", "status:sim:VENUE"}
    assert [trade["id"] for trade in trades[:3]] == ["1", "2", "3"]
    assert all(quote["rx"] >= quote["t"] for quote in quotes)
    assert [status["state"] for status in statuses[:2]] == ["waiting", "live"]


async def test_a_status_is_told_again_and_again_though_nothing_changes(
    redis: Redis, redis_url: str
) -> None:
    async with running(only_sim(), redis_url):
        statuses = await reach(
            redis, "status:sim:VENUE", lambda found: len([*filter(is_plain, found)]) >= 3
        )
    told = [*filter(is_plain, statuses)]
    assert len({status["since"] for status in told}) == 1
    assert len({status["rx"] for status in told}) == len(told)


def is_plain(status: dict[str, Any]) -> bool:
    """Live, and not behind: that would be told at once, as any change is."""
    return status["state"] == "live" and "reason" not in status


async def test_a_venue_streams_from_its_socket_to_the_bus_and_its_fate_is_told(
    redis: Redis, redis_url: str
) -> None:
    async with VenueServer() as server, running(binance_at(server.url), redis_url):
        side = await server.next_side()
        await side.send(trade_of_now(995))
        [trade] = await reach(redis, "trade:binance:BTC-USDT", lambda found: len(found) == 1)
        await reach(redis, "status:binance:VENUE", lambda found: found[-1]["state"] == "live")
        await server.refuse()
        statuses = await reach(
            redis, "status:binance:VENUE", lambda found: "refused" in found[-1].get("reason", "")
        )
    assert (trade["px"], trade["sz"], trade["side"]) == ("61000.10000000", "0.00100000", "sell")
    assert trade["rx"] <= trade["tx"]
    assert statuses[0]["state"] == "waiting"
    last = statuses[-1]
    assert (last["state"], last["by"]) == ("stale", "venue")
    assert last["reason"] == "can't be reached (connection refused)"


async def test_a_venue_out_of_reach_does_not_keep_others_waiting(
    redis: Redis, redis_url: str
) -> None:
    async with running(binance_at("ws://127.0.0.1:1", "sim"), redis_url):
        await reach(redis, "trade:sim:BTC-USD", lambda found: len(found) > 1)
        statuses = await reach(
            redis, "status:binance:VENUE", lambda found: bool(found) and "reason" in found[-1]
        )
    assert (statuses[-1]["state"], statuses[-1]["by"]) == ("waiting", "venue")


async def test_stopping_tells_subscribers_and_publishes_what_is_held(
    redis: Redis, redis_url: str
) -> None:
    async with VenueServer() as server:
        async with running(binance_at(server.url), redis_url):
            side = await server.next_side()
            await side.send(*[trade_of_now(number) for number in range(500)])
            await reach(redis, "trade:binance:BTC-USDT", lambda found: len(found) >= 1)
        await side.is_left()
    [*_, last] = await messages(redis, "status:binance:VENUE")
    assert (last["state"], last["by"], last["reason"]) == ("closed", "feed", "the feed was stopped")


async def test_a_second_one_stands_by_and_takes_over_when_the_first_is_stopped(
    redis: Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with VenueServer() as server:
        async with running(binance_at(server.url), redis_url):
            first = await server.next_side()
            await first.send(trade_of_now(1))
            await reach(redis, "trade:binance:BTC-USDT", lambda found: len(found) == 1)
            second_run = Run(binance_at(server.url), redis_url)
            waiting = asyncio.create_task(second_run())
            await until(lambda: "standing by for binance" in caplog.text)
        try:
            second = await server.next_side()
            assert server.accepted == 2
            await second.send(trade_of_now(2))
            trades = await reach(redis, "trade:binance:BTC-USDT", lambda found: len(found) == 2)
            statuses = await messages(redis, "status:binance:VENUE")
        finally:
            second_run.stopping.set()
            await waiting
    assert [trade["id"] for trade in trades] == ["1", "2"]
    assert "closed" in [status["state"] for status in statuses]
    assert await redis.hget("tickgate:{trade:binance:BTC-USDT}:head", "seq") == b"2"


async def test_who_comes_after_repeats_nothing_and_tells_what_nobody_heard(
    redis: Redis, redis_url: str
) -> None:
    """The same after a restart as after a take-over: the bus is what is remembered."""
    at_ms = now_ms()
    async with VenueServer() as server:
        for numbers in ((1, 2, 3), (2, 3, 6, 7), (7, 8)):
            async with running(binance_at(server.url), redis_url):
                side = await server.next_side()
                await side.send(*[binance_trade(number, at_ms) for number in numbers])
                await reach(
                    redis,
                    "trade:binance:BTC-USDT",
                    lambda found: bool(found) and found[-1]["id"] == str(numbers[-1]),  # noqa: B023
                )
    entries = await redis.xrange(log_key("trade:binance:BTC-USDT"))
    log = [Publication.decode(fields[b"m"]) for _, fields in entries]
    told = [(json.loads(one.payload)["id"], one.seq, one.missing) for one in log]
    assert told == [
        ("1", 1, None),
        ("2", 2, None),
        ("3", 3, None),
        ("6", 6, ("feed", 2)),
        ("7", 7, None),
        ("8", 8, None),
    ]


async def test_it_ends_soon_though_redis_and_the_venue_are_gone(
    redis_server: RedisServer,
) -> None:
    async with VenueServer() as server:
        async with running(binance_at(server.url, "sim"), redis_server.url):
            side = await server.next_side()
            await side.send(trade_of_now(1))
            side.stop_reading()
            redis_server.kill()
        # `running` waits no longer than a minute: whoever waited for these two never ended.
        side.cut()


async def test_ticks_held_while_redis_is_away_arrive_when_it_is_back(
    redis_server: RedisServer,
) -> None:
    async with VenueServer() as server, running(binance_at(server.url), redis_server.url):
        side = await server.next_side()
        await side.send(trade_of_now(1))
        async with Redis.from_url(redis_server.url) as redis:
            await reach(redis, "trade:binance:BTC-USDT", lambda found: len(found) == 1)
        redis_server.kill()
        await side.send(trade_of_now(2))
        redis_server.start()
        await side.send(trade_of_now(3))
        async with Redis.from_url(redis_server.url) as redis:
            trades = await reach(redis, "trade:binance:BTC-USDT", lambda found: len(found) >= 2)
    assert [trade["id"] for trade in trades] == ["2", "3"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            FeedSettings(venues=("sim", "nasdaq")),
            "no such venue: nasdaq; there are binance, coinbase, kraken, bitstamp, okx, sim",
        ),
        (FeedSettings(venue={"nyse": VenueSettings()}), "no such venue: nyse"),
        (FeedSettings(venues=()), "no venue is chosen"),
        (FeedSettings(venues=("sim", "sim")), "the venue sim is chosen twice"),
        (only_sim(ticks_per_s=-1.0), "sim.ticks_per_s must be more than 0"),
        (binance_at("http://127.0.0.1:1"), "venue.binance.url must be like wss://host"),
        (binance_at("ws://[::1"), "venue.binance.url must be like wss://host"),
        (
            FeedSettings(venues=("kraken",), venue={"kraken": VenueSettings(symbols=("btcusd",))}),
            "venue.kraken.symbols: not a symbol like BTC-USDT",
        ),
        (
            FeedSettings(venues=("kraken",), venue={"kraken": VenueSettings(symbols=())}),
            "venue.kraken.symbols is empty",
        ),
    ],
)
async def test_settings_that_cannot_work_are_named_before_anything_is_connected(
    settings: FeedSettings, sentence: str
) -> None:
    with pytest.raises(SettingError) as raised:
        await Run(settings, NOWHERE)()
    assert str(raised.value).startswith(sentence)


def test_an_unknown_venue_is_a_feed_error_of_its_own() -> None:
    assert issubclass(UnknownVenueError, SettingError)
    assert issubclass(SettingError, FeedError)


async def test_a_redis_that_is_not_there_is_waited_for_with_one_line_without_its_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(only_sim(), "redis://me:secret@127.0.0.1:1"):
        await until(lambda: bool(caplog.messages))
    (line,) = [one for one in caplog.messages if "no Redis" in one]
    assert line.startswith("no Redis at 127.0.0.1:1 (")
    assert line.endswith(": waiting for it")
    assert "secret" not in caplog.text


async def test_ticks_come_once_a_redis_that_was_away_at_the_start_is_there(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.kill()
    async with running(only_sim(), redis_server.url):
        await until(lambda: bool(caplog.messages))
        redis_server.start()
        async with Redis.from_url(redis_server.url) as redis:
            assert await reach(redis, "trade:sim:BTC-USD", bool)
    assert "redis is there" in caplog.messages


async def test_a_redis_that_refuses_us_is_not_waited_for(redis: Redis, redis_url: str) -> None:
    await redis.config_set("requirepass", "other")
    with pytest.raises(BusUnreachableError, match="no Redis at"):
        await Run(only_sim(), redis_url)()


async def test_a_fault_reaches_the_caller_as_itself(redis_url: str) -> None:
    def read() -> Any:
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(FileNotFoundError):
        await run_replay(
            read,
            "binance",
            FeedSettings(derived=LIGHT),
            redis_url,
            clock=SystemClock(),
            stopping=asyncio.Event(),
        )
