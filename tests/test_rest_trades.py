"""Pages of trades: exact while trades keep coming, and never with a silent hole; real sockets."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from redis.asyncio import Redis

from feeds.market import Channel, Missing, Tick
from feeds.market.bus_names import DIRECTORY_KEY, head_key, log_key
from gateway.rest.cursor import encode
from gateway.rest.listing import Place
from tests.conftest import in_one_task
from tests.gateway_server import GatewayServer, Publishing, gateway_on
from tests.rest_client import all_pages, got, refused, rest
from tests.ticks import BTC, ETH, trades

NAME = BTC.name


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[GatewayServer]:
    async with in_one_task(gateway_on(redis_url, plan="unlimited")) as running:
        yield running


async def test_a_page_has_the_newest_first_as_the_stream_sends_them(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 5))
    page = await got(gateway, "trades", channel=NAME, limit=2)
    assert [(one["ch"], one["seq"], one["id"]) for one in page["messages"]] == [
        (NAME, 5, "5"),
        (NAME, 4, "4"),
    ]
    assert page["messages"][0].keys() == {"ch", "seq", "px", "sz", "side", "id", "t", "rx", "tx"}
    assert page["gaps"] == []
    assert page["positions"][NAME][1] == 5
    assert page["next"]


async def test_a_channel_may_be_named_by_its_parts(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    page = await got(gateway, "trades", venue="sim", symbol="BTC-USD")
    assert [one["id"] for one in page["messages"]] == ["1"]
    assert page["next"] is None


@pytest.mark.parametrize("limit", [1, 3, 7, 500])
async def test_pages_have_each_trade_once_while_others_come(
    gateway: GatewayServer, publish: Publishing, limit: int
) -> None:
    await publish(trades(1, 20))
    first = await got(gateway, "trades", channel=NAME, limit=limit)
    ids, cursor, more = [one["id"] for one in first["messages"]], first["next"], 21
    while cursor is not None:
        await publish(trades(more, more + 9))
        more += 10
        page = await got(gateway, "trades", channel=NAME, limit=limit, cursor=cursor)
        ids += [one["id"] for one in page["messages"]]
        cursor = page["next"]
    assert ids == [str(number) for number in range(20, 0, -1)]


async def test_more_than_one_slice_is_read_for_a_page(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 700))
    page = await got(gateway, "trades", channel=NAME, limit=490)
    assert [one["seq"] for one in page["messages"]] == list(range(700, 210, -1))
    assert len(await all_pages(gateway, "trades", channel=NAME, limit=330)) == 700


async def test_a_cursor_may_be_used_twice(gateway: GatewayServer, publish: Publishing) -> None:
    await publish(trades(1, 9))
    cursor = (await got(gateway, "trades", channel=NAME, limit=3))["next"]
    once = await rest(gateway, "trades", channel=NAME, limit=3, cursor=cursor)
    await publish(trades(10, 12))
    again = await rest(gateway, "trades", channel=NAME, limit=3, cursor=cursor)
    assert once.body == again.body
    assert once.headers["etag"] == again.headers["etag"]


async def test_what_was_trimmed_between_two_pages_is_refused_and_not_skipped(
    gateway: GatewayServer, redis: Redis, publish: Publishing
) -> None:
    await publish(trades(1, 20))
    first = await got(gateway, "trades", channel=NAME, limit=5)
    await redis.xtrim(log_key(NAME), maxlen=7, approximate=False)
    second = await got(gateway, "trades", channel=NAME, limit=5, cursor=first["next"])
    assert [one["seq"] for one in second["messages"]] == [15, 14]
    for _ in range(2):
        told = await refused(gateway, "trades", channel=NAME, limit=5, cursor=second["next"])
        assert told == (410, "history_gone")
    begun_again = await all_pages(gateway, "trades", channel=NAME, limit=5)
    assert [one["seq"] for one in begun_again] == list(range(20, 13, -1))


async def test_a_listing_does_not_go_on_in_another_epoch(
    gateway: GatewayServer, redis: Redis, publish: Publishing
) -> None:
    await publish(trades(1, 9))
    first = await got(gateway, "trades", channel=NAME, limit=5)
    await redis.delete(head_key(NAME), log_key(NAME))
    await publish(trades(10, 30))
    told = await refused(gateway, "trades", channel=NAME, limit=5, cursor=first["next"])
    assert told == (410, "epoch_ended")


async def test_holes_are_told(gateway: GatewayServer, redis: Redis, publish: Publishing) -> None:
    (tick,) = trades(3, 3)
    late = Tick(tick.channel, tick.payload, missing=Missing("venue", 2))
    await publish([*trades(1, 2), late, *trades(4, 6)])
    await redis.xdel(log_key(NAME), "6-0")
    expected = [
        {"type": "gap", "ch": NAME, "from": 3, "to": 4, "by": "venue"},
        {"type": "gap", "ch": NAME, "from": 6, "to": 6, "by": "bus"},
    ]
    whole = await got(gateway, "trades", channel=NAME)
    assert [one["seq"] for one in whole["messages"]] == [8, 7, 5, 2, 1]
    assert whole["gaps"] == expected
    gaps, cursor = [], None
    for _ in range(5):
        page = await got(gateway, "trades", channel=NAME, limit=1, cursor=cursor)
        gaps += page["gaps"]
        cursor = page["next"]
    assert cursor is None
    assert sorted(gaps, key=lambda gap: int(gap["from"])) == expected


async def test_the_stream_goes_on_where_the_first_page_ends(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 5))
    page = await got(gateway, "trades", channel=NAME)
    await publish(trades(6, 8))
    async with gateway.client() as client:
        ack = await client.ask("subscribe", channels=[NAME], since=page["positions"])
        assert ack["ok"][0]["recovered"] is True
        ids = [(await client.hear_until(lambda told: "px" in told))["id"] for _ in range(3)]
    assert ids == ["6", "7", "8"]


async def test_a_channel_without_a_trade_has_an_empty_page(
    gateway: GatewayServer, redis: Redis
) -> None:
    await redis.sadd(DIRECTORY_KEY, NAME)
    page = await got(gateway, "trades", channel=NAME)
    assert page == {"messages": [], "gaps": [], "positions": {}, "next": None}


async def test_what_stands_in_redis_and_is_no_channels_is_none(
    gateway: GatewayServer, redis: Redis
) -> None:
    await redis.sadd(DIRECTORY_KEY, NAME)
    await redis.set(head_key(NAME), "no hash")
    await redis.set(log_key(NAME), "no stream")
    assert (await got(gateway, "trades", channel=NAME))["messages"] == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, (400, "bad_parameter")),
        ({"venue": "sim"}, (400, "bad_parameter")),
        ({"channel": NAME, "venue": "sim"}, (400, "bad_parameter")),
        ({"channel": NAME, "limit": 0}, (400, "bad_parameter")),
        ({"channel": NAME, "limit": 501}, (400, "bad_parameter")),
        ({"channel": NAME, "limit": "many"}, (400, "bad_parameter")),
        ({"channel": NAME, "chanel": NAME}, (400, "bad_parameter")),
        ({"channel": "quote:sim:BTC-USD"}, (400, "bad_channel")),
        ({"channel": "trade:sim:*"}, (400, "bad_channel")),
        ({"channel": "trade:sim:btc-usd"}, (400, "bad_channel")),
        ({"channel": "trade:sim:BTC-USX"}, (404, "unknown_symbol")),
        ({"channel": "trade:nowhere:BTC-USD"}, (404, "unknown_venue")),
        ({"channel": NAME, "cursor": "x"}, (400, "bad_cursor")),
        ({"channel": NAME, "cursor": "x" * 7_000}, (400, "bad_cursor")),
        ({"channel": NAME, "cursor": "\xe9"}, (400, "bad_cursor")),
    ],
)
async def test_a_question_that_can_not_be_answered_is_told_so(
    gateway: GatewayServer,
    publish: Publishing,
    query: dict[str, object],
    expected: tuple[int, str],
) -> None:
    await publish(trades(1, 2))
    assert await refused(gateway, "trades", **query) == expected


async def test_a_cursor_of_another_channel_is_none(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish([*trades(1, 2), *trades(1, 2, ETH)])
    cursor = (await got(gateway, "trades", channel=NAME, limit=1))["next"]
    told = await refused(gateway, "trades", channel=ETH.name, limit=1, cursor=cursor)
    assert told == (400, "bad_cursor")


@pytest.mark.parametrize("places", [{}, {ETH.name: Place("6b003", 9, 1)}])
async def test_a_cursor_that_somebody_made_is_none(
    gateway: GatewayServer, publish: Publishing, places: dict[str, Place]
) -> None:
    await publish([*trades(1, 2), *trades(1, 2, ETH)])
    listing = msgspec.json.encode(("/v1/trades", [("channel", NAME)])).decode()
    told = await refused(gateway, "trades", channel=NAME, cursor=encode(listing, places))
    assert told == (400, "bad_cursor")


async def test_a_key_is_shown_its_own_channels_only(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish([*trades(1, 1), *trades(1, 1, ETH), *trades(1, 1, Channel.parse("trade:x:A-B"))])
    _, key = await gateway.new_key("pro", channels=("trade:sim:BTC-*",))
    assert (await got(gateway, "trades", channel=NAME, key=key))["messages"]
    assert await refused(gateway, "trades", channel=ETH.name, key=key) == (403, "not_in_plan")
