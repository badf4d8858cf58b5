"""Candles by REST: each interval once, as its newest message tells it, without a silent hole."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from feeds.market import Candle, Channel, Publication, Tick
from feeds.market.bus_names import finals_key, head_key, log_key
from gateway.rest.candle_listing import CandleListing
from tests.conftest import in_one_task
from tests.gateway_server import GatewayServer, Publishing, gateway_on, publish_custom
from tests.rest_client import all_pages, got, refused

MINUTE = Channel.parse("candle.1m:agg:BTC-USD")
SECOND = Channel.parse("candle.1s:agg:BTC-USD")
NAME = MINUTE.name
MINUTE_US = 60_000_000
NOON_US = 1_795_262_400_000_000


def candle(
    number: int, close: str, *, final: bool = False, version: int = 1, channel: Channel = MINUTE
) -> Tick:
    """Of the minute of that number after noon."""
    start_us = NOON_US + number * MINUTE_US
    prices = ("1", "3", "1", close)
    told = Candle(
        *(start_us, *prices, "2", "5", "2.5", "1", 4), final, version, version > 1, received_us=7
    )
    return Tick(channel, told)


def minutes(first: int, last: int, channel: Channel = MINUTE) -> list[Tick]:
    """Three messages of each."""
    return [
        tick
        for number in range(first, last + 1)
        for tick in (
            candle(number, "1", channel=channel),
            candle(number, "2", channel=channel),
            candle(number, f"{number}.5", final=True, channel=channel),
        )
    ]


def numbers(messages: list[dict[str, int]]) -> list[int]:
    return [(one["start"] - NOON_US) // MINUTE_US for one in messages]


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[GatewayServer]:
    async with in_one_task(gateway_on(redis_url, plan="unlimited")) as running:
        yield running


@pytest.mark.parametrize("channel", [MINUTE, SECOND], ids=["minutes", "seconds"])
async def test_each_interval_comes_once_as_its_newest_message_tells_it(
    gateway: GatewayServer, publish: Publishing, channel: Channel
) -> None:
    of = {"channel": channel}
    corrected = candle(2, "2.7", final=True, version=2, **of)
    await publish([*minutes(1, 3, channel), candle(4, "9", **of), corrected])
    interval = channel.kind.removeprefix("candle.")
    page = await got(gateway, "candles", venue="agg", symbol="BTC-USD", interval=interval)
    told = [(one["close"], one["final"], one.get("version", 1)) for one in page["messages"]]
    assert numbers(page["messages"]) == [4, 3, 2, 1]
    assert told == [("9", False, 1), ("3.5", True, 1), ("2.7", True, 2), ("1.5", True, 1)]
    assert [one["seq"] for one in page["messages"]] == [10, 9, 11, 3]
    assert page["positions"][channel.name][1] == 11
    assert (page["next"], page["kept_from"]) == (None, NOON_US + MINUTE_US)


@pytest.mark.parametrize("channel", [MINUTE, SECOND], ids=["minutes", "seconds"])
@pytest.mark.parametrize("limit", [1, 4, 19, 500])
async def test_pages_have_each_interval_once_while_others_come(
    gateway: GatewayServer, publish: Publishing, limit: int, channel: Channel
) -> None:
    await publish(minutes(1, 40, channel))
    page = await got(gateway, "candles", channel=channel.name, limit=limit)
    messages, more = page["messages"], 41
    while page["next"] is not None:
        corrected = candle(more - 20, "0.1", final=True, version=2, channel=channel)
        await publish([*minutes(more, more, channel), corrected])
        more += 1
        cursor = page["next"]
        page = await got(gateway, "candles", channel=channel.name, limit=limit, cursor=cursor)
        messages += page["messages"]
    assert numbers(messages) == list(range(40, 0, -1))


async def test_minutes_reach_back_a_thousand_whatever_ran_between(
    gateway: GatewayServer, redis: Redis, publish: Publishing
) -> None:
    for first in range(1, 1_101, 100):
        await publish(minutes(first, first + 99))
    await publish([candle(1_101, "9")])
    assert await redis.xlen(log_key(NAME)) < 1_500
    told = await all_pages(gateway, "candles", channel=NAME, limit=500)
    assert numbers(told) == list(range(1_101, 100, -1))
    page = await got(gateway, "candles", channel=NAME, end=NOON_US + 200 * MINUTE_US)
    assert numbers(page["messages"]) == list(range(199, 100, -1))
    assert page["kept_from"] == NOON_US + 101 * MINUTE_US


async def test_start_and_end_are_of_the_beginnings_of_intervals(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(minutes(0, 9))
    start, end = NOON_US + 3 * MINUTE_US, "2026-11-21T12:06:00Z"
    page = await got(gateway, "candles", channel=NAME, start=start, end=end)
    assert numbers(page["messages"]) == [5, 4, 3]
    told = await all_pages(gateway, "candles", channel=NAME, start=start, end=end, limit=2)
    assert numbers(told) == [5, 4, 3]
    nothing = await got(gateway, "candles", channel=NAME, end=NOON_US)
    assert (nothing["messages"], nothing["kept_from"]) == ([], NOON_US)
    wrong = {"channel": NAME, "start": "yesterday"}
    assert await refused(gateway, "candles", **wrong) == (400, "bad_parameter")


async def test_what_was_trimmed_between_two_pages_is_refused_and_not_skipped(
    gateway: GatewayServer, redis: Redis, publish: Publishing
) -> None:
    await publish(minutes(1, 20))
    first = await got(gateway, "candles", channel=NAME, limit=5)
    await redis.ltrim(finals_key(NAME), -7, -1)
    second = await got(gateway, "candles", channel=NAME, limit=5, cursor=first["next"])
    assert numbers(second["messages"]) == [15, 14]
    assert (second["next"], second["kept_from"]) == (None, NOON_US + 14 * MINUTE_US)
    await redis.ltrim(finals_key(NAME), -5, -1)
    gone = {"channel": NAME, "limit": 5, "cursor": first["next"]}
    assert await refused(gateway, "candles", **gone) == (410, "history_gone")
    begun_again = await got(gateway, "candles", channel=NAME)
    assert numbers(begun_again["messages"]) == [20, 19, 18, 17, 16]
    assert begun_again["kept_from"] == NOON_US + 16 * MINUTE_US


async def test_a_correction_of_what_is_trimmed_is_no_candle_without_its_neighbours(
    gateway: GatewayServer, redis: Redis, publish: Publishing
) -> None:
    await publish([*minutes(1, 5), candle(2, "7", final=True, version=2), *minutes(6, 9)])
    await redis.ltrim(finals_key(NAME), -6, -1)
    page = await got(gateway, "candles", channel=NAME)
    assert numbers(page["messages"]) == [9, 8, 7, 6, 5]


async def test_minutes_outlive_their_epoch_and_say_in_which_one_their_seq_counts(
    gateway: GatewayServer, redis: Redis, publish: Publishing
) -> None:
    await publish(minutes(1, 9))
    first = await got(gateway, "candles", channel=NAME, limit=5)
    epoch, _ = first["positions"][NAME]
    assert not any("epoch" in one for one in first["messages"])
    await redis.delete(log_key(NAME), head_key(NAME))
    await publish(minutes(10, 12))
    second = await got(gateway, "candles", channel=NAME, limit=5, cursor=first["next"])
    assert numbers(second["messages"]) == [4, 3, 2, 1]
    assert not any("epoch" in one for one in second["messages"])
    anew = await got(gateway, "candles", channel=NAME)
    assert numbers(anew["messages"]) == list(range(12, 0, -1))
    assert [one.get("epoch") for one in anew["messages"]] == [None] * 3 + [epoch] * 9
    assert [one["seq"] for one in anew["messages"]] == [9, 6, 3, *range(27, 0, -3)]
    assert anew["positions"][NAME][0] != epoch


async def test_seconds_end_with_their_epoch(
    gateway: GatewayServer, redis: Redis, publish: Publishing
) -> None:
    name = SECOND.name
    await publish(minutes(1, 9, SECOND))
    first = await got(gateway, "candles", channel=name, limit=5)
    await redis.delete(log_key(name), head_key(name))
    await publish(minutes(10, 19, SECOND))
    gone = {"channel": name, "limit": 5, "cursor": first["next"]}
    assert await refused(gateway, "candles", **gone) == (410, "history_gone")


async def test_what_runs_is_told_also_where_many_corrections_came_after_it(
    gateway: GatewayServer, publish: Publishing
) -> None:
    corrections = [candle(3, "3.7", final=True, version=n) for n in range(2, 40)]
    await publish([*minutes(1, 3), candle(4, "9"), *corrections])
    page = await got(gateway, "candles", channel=NAME, limit=2)
    assert numbers(page["messages"]) == [4, 3]
    assert page["messages"][1]["version"] == 39


async def test_a_list_that_is_none_and_messages_that_are_no_candles_cost_nothing_else(
    gateway: GatewayServer, redis: Redis, publish: Publishing
) -> None:
    await publish(minutes(1, 3))
    await redis.rpush(finals_key(NAME), "nonsense", 'e 9 - {"final":true}', 'e 9 - {"start":"x"}')
    await publish_custom(redis, b'{"mood":"bull"}', channel=NAME)
    assert numbers((await got(gateway, "candles", channel=NAME))["messages"]) == [3, 2, 1]
    await redis.delete(finals_key(NAME))
    await redis.set(finals_key(NAME), "something else")
    assert numbers((await got(gateway, "candles", channel=NAME))["messages"]) == [3, 2, 1]


def _message(seq: int, start: int, *, correction: bool = False) -> Publication:
    told = {"start": start, "correction": correction}
    return Publication("e", seq, msgspec.json.encode(told))


@st.composite
def histories(draw: st.DrawFn) -> list[Publication]:
    """Intervals in order, some left out, each told once or more; corrections of earlier ones."""
    told: list[tuple[int, bool]] = []
    for start in sorted(draw(st.sets(st.integers(0, 30), min_size=1))):
        told += [(start, False)] * draw(st.integers(1, 2))
        known = sorted({one for one, _ in told})
        told += [(one, True) for one in draw(st.lists(st.sampled_from(known), max_size=2))]
    return [_message(seq, start, correction=late) for seq, (start, late) in enumerate(told, 1)]


@given(history=histories(), limit=st.integers(1, 9), slices=st.integers(1, 7))
def test_pages_of_a_history_are_its_newest_messages_however_it_is_sliced(
    history: list[Publication], limit: int, slices: int
) -> None:
    newest = {msgspec.json.decode(one.payload)["start"]: one.seq for one in history}
    told: list[int] = []
    end: int | None = None
    while True:
        listing = CandleListing(None, end, limit)
        for at in range(len(history), 0, -slices):
            listing.take(history[max(0, at - slices) : at][::-1])
            if listing.is_full:
                break
        chosen, next_start = listing.page()
        told += [one.seq for one in chosen]
        if next_start is None:
            break
        end = next_start + 1
    assert told == [newest[start] for start in sorted(newest, reverse=True)]


@given(history=histories(), data=st.data())
def test_of_a_trimmed_history_nothing_is_told_but_what_has_no_hole(
    history: list[Publication], data: st.DataObject
) -> None:
    kept = history[data.draw(st.integers(0, len(history))) :]
    listing = CandleListing(None, None, 100)
    listing.take(kept[::-1])
    told = [msgspec.json.decode(one.payload)["start"] for one in listing.page()[0]]
    every = {msgspec.json.decode(one.payload)["start"] for one in history}
    assert told == sorted(every, reverse=True)[: len(told)]
    assert listing.kept_from_us == (told[-1] if told else None)
