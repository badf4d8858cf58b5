"""Candles by REST: each interval once, as its newest message tells it, without a silent hole."""

from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from feeds.market import Candle, Channel, Publication, Tick
from feeds.market.bus_names import log_key
from gateway.rest.candle_listing import CandlePlace, Candles
from tests.conftest import in_one_task
from tests.gateway_server import GatewayServer, Publishing, gateway_on
from tests.rest_client import all_pages, got, refused

MINUTE = Channel.parse("candle.1m:agg:BTC-USD")
NAME = MINUTE.name
MINUTE_US = 60_000_000
NOON_US = 1_795_262_400_000_000


def candle(number: int, close: str, *, final: bool = False, version: int = 1) -> Tick:
    """Of the minute of that number after noon."""
    start_us = NOON_US + number * MINUTE_US
    prices = ("1", "3", "1", close)
    told = Candle(
        *(start_us, *prices, "2", "5", "2.5", "1", 4), final, version, version > 1, received_us=7
    )
    return Tick(MINUTE, told)


def minutes(first: int, last: int) -> list[Tick]:
    """Three messages of each."""
    return [
        tick
        for number in range(first, last + 1)
        for tick in (
            candle(number, "1"),
            candle(number, "2"),
            candle(number, f"{number}.5", final=True),
        )
    ]


def numbers(messages: list[dict[str, int]]) -> list[int]:
    return [(one["start"] - NOON_US) // MINUTE_US for one in messages]


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[GatewayServer]:
    async with in_one_task(gateway_on(redis_url, plan="unlimited")) as running:
        yield running


async def test_each_interval_comes_once_as_its_newest_message_tells_it(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish([*minutes(1, 3), candle(4, "9"), candle(2, "2.7", final=True, version=2)])
    page = await got(gateway, "candles", venue="agg", symbol="BTC-USD", interval="1m")
    told = [(one["close"], one["final"], one.get("version", 1)) for one in page["messages"]]
    assert numbers(page["messages"]) == [4, 3, 2, 1]
    assert told == [("9", False, 1), ("3.5", True, 1), ("2.7", True, 2), ("1.5", True, 1)]
    assert [one["seq"] for one in page["messages"]] == [10, 9, 11, 3]
    assert page["positions"][NAME][1] == 11
    assert (page["next"], page["kept_from"]) == (None, NOON_US + MINUTE_US)


@pytest.mark.parametrize("limit", [1, 4, 19, 500])
async def test_pages_have_each_interval_once_while_others_come(
    gateway: GatewayServer, publish: Publishing, limit: int
) -> None:
    await publish(minutes(1, 40))
    page = await got(gateway, "candles", channel=NAME, limit=limit)
    messages, more = page["messages"], 41
    while page["next"] is not None:
        await publish([*minutes(more, more), candle(more - 20, "0.1", final=True, version=2)])
        more += 1
        page = await got(gateway, "candles", channel=NAME, limit=limit, cursor=page["next"])
        messages += page["messages"]
    assert numbers(messages) == list(range(40, 0, -1))


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
    await redis.xtrim(log_key(NAME), maxlen=3 * 7, approximate=False)
    second = await got(gateway, "candles", channel=NAME, limit=5, cursor=first["next"])
    assert numbers(second["messages"]) == [15, 14]
    gone = {"channel": NAME, "limit": 5, "cursor": second["next"]}
    assert await refused(gateway, "candles", **gone) == (410, "history_gone")
    begun_again = await got(gateway, "candles", channel=NAME)
    assert numbers(begun_again["messages"]) == [20, 19, 18, 17, 16, 15, 14]
    assert begun_again["kept_from"] == NOON_US + 14 * MINUTE_US


async def test_a_listing_does_not_go_on_in_another_epoch(
    gateway: GatewayServer, redis: Redis, publish: Publishing
) -> None:
    await publish(minutes(1, 9))
    first = await got(gateway, "candles", channel=NAME, limit=5)
    await redis.delete(log_key(NAME), f"tickgate:{{{NAME}}}:head")
    await publish(minutes(10, 19))
    gone = {"channel": NAME, "limit": 5, "cursor": first["next"]}
    assert await refused(gateway, "candles", **gone) == (410, "epoch_ended")


def _newest(starts: Sequence[int]) -> dict[int, Publication]:
    return {start: Publication("e", seq, b"{}") for seq, start in enumerate(starts, 1)}


@given(starts=st.lists(st.integers(0, 30), max_size=60), limit=st.integers(1, 9))
def test_pages_of_a_whole_history_are_its_newest_messages(starts: list[int], limit: int) -> None:
    newest = _newest(starts)
    told: list[int] = []
    place: CandlePlace | None = None
    while True:
        chosen, next_us = Candles(1, 0, 2**63, limit, place).whole(newest)
        told += [one.seq for one in chosen]
        if next_us is None:
            break
        place = CandlePlace("e", next_us, 1)
    assert told == [newest[start].seq for start in sorted(newest, reverse=True)]


@given(starts=st.sets(st.integers(0, 60), min_size=1), limit=st.integers(1, 9), data=st.data())
def test_a_page_of_a_trimmed_history_has_neighbours_only(
    starts: set[int], limit: int, data: st.DataObject
) -> None:
    """Whatever was trimmed: it begins where it was to, and the next one where it ends."""
    due = data.draw(st.sampled_from(sorted(starts)))
    trimmed = data.draw(st.sets(st.sampled_from(sorted(starts))))
    newest = _newest(sorted(starts - trimmed))
    chosen, next_us = Candles(1, 0, 2**63, limit, CandlePlace("e", due, 1)).trimmed(newest)
    begins = {one.seq: start for start, one in newest.items()}
    told = [begins[one.seq] for one in chosen]
    assert told == list(range(due, due - len(told), -1))
    assert len(told) <= limit
    after = due - len(told)
    assert next_us == (after if told and after >= 0 else None)
