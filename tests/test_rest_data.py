"""REST beside candles and trades: what it tells of channels, signals, records, symbols, venues."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from feeds.market import (
    Channel,
    ChannelState,
    Price,
    Reference,
    Share,
    Signal,
    Status,
    Tick,
    TrackRecord,
)
from feeds.market.bus_names import DIRECTORY_KEY, TRACK_RECORDS_KEY
from gateway.access.plans import PLANS
from tests.conftest import RedisServer, in_one_task
from tests.gateway_server import GatewayServer, Publishing, changed, gateway_on, publish_custom
from tests.rest_client import all_pages, got, refused, rest
from tests.ticks import BTC, ETH, QUOTES, quote, trades

PRICE = Channel.parse("price:agg:BTC-USD")
TREND = Channel.parse("signal:trend:BTC-USD")
FLOW = Channel.parse("signal:flow:BTC-USD")


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[GatewayServer]:
    async with in_one_task(gateway_on(redis_url, plan="unlimited")) as running:
        yield running


def priced(price: str | None, at_us: int) -> Tick:
    return Tick(PRICE, Price("live", "median-v1", 1, 3, 2, 50, 10_000, (), at_us, price, "1"))


def signal(channel: Channel, at_us: int, price: str = "50000") -> Tick:
    reference = Reference(PRICE.name, price, at_us, "e1", 7)
    told = Signal(
        *(f"{channel.venue}-1:{channel.symbol}:{at_us}", channel.venue, 1, "bull", 0.5, at_us),
        *(300, at_us + 300_000_000, reference, {"macd": 1.5}),
    )
    return Tick(channel, told)


async def test_latest_has_the_newest_of_each_channel_and_says_what_is_wrong_with_others(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish([*trades(1, 3), *trades(1, 2, ETH), *quote("1"), *quote("2")])
    names = "trade:sim:*,quote:sim:BTC-USD,quote:sim:BTC-USX,quote"
    told = await got(gateway, "latest", channels=names)
    assert [(one["ch"], one["seq"]) for one in told["messages"]] == [
        (QUOTES.name, 2),
        (BTC.name, 3),
        (ETH.name, 2),
    ]
    assert told["positions"].keys() == {QUOTES.name, BTC.name, ETH.name}
    errors = [(one["ch"], one["code"], one.get("hint")) for one in told["errors"]]
    assert errors == [
        ("quote:sim:BTC-USX", "unknown_symbol", "BTC-USD"),
        ("quote", "bad_channel", None),
    ]


async def test_latest_comes_in_pages(gateway: GatewayServer, publish: Publishing) -> None:
    channels = [Channel.parse(f"trade:sim:A{number:02}-USD") for number in range(60)]
    await publish([tick for channel in channels for tick in trades(1, 1, channel)])
    told = await all_pages(gateway, "latest", channels="trade:sim:*", limit=25)
    assert [one["ch"] for one in told] == [channel.name for channel in channels]


async def test_latest_passes_on_no_payload_that_is_not_sound(
    gateway: GatewayServer, redis: Redis
) -> None:
    await publish_custom(redis, b'{"mood":"bull"}', channel="custom:desk:A")
    await publish_custom(redis, b'{"seq":7}', channel="custom:desk:B")
    told = await got(gateway, "latest", channels="custom:desk:*")
    assert told["messages"] == [{"ch": "custom:desk:A", "seq": 1, "mood": "bull"}]


@pytest.mark.parametrize(
    ("channels", "code"),
    [
        ("", "bad_parameter"),
        (",", "bad_parameter"),
        (",".join(map(str, range(51))), "too_many_channels"),
    ],
)
async def test_latest_wants_some_names_and_not_too_many(
    gateway: GatewayServer, channels: str, code: str
) -> None:
    assert await refused(gateway, "latest", channels=channels) == (400, code)


async def test_latest_tells_a_key_of_its_own_channels_only(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish([*trades(1, 3), *quote("1")])
    _, key = await gateway.new_key("pro", channels=("trade:*:*",))
    told = await got(gateway, "latest", channels="trade:sim:*,quote:sim:*", key=key)
    assert [one["ch"] for one in told["messages"]] == [BTC.name]
    assert [(one["ch"], one["code"]) for one in told["errors"]] == [("quote:sim:*", "not_in_plan")]


async def test_signals_of_all_channels_come_newest_first_with_the_move_since(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish([signal(TREND, 10), signal(FLOW, 20), signal(TREND, 30), signal(FLOW, 40)])
    await publish([priced("49000", 90), priced("50500", 100)])
    told = (await got(gateway, "signals", pair="BTC-USD", model="trend"))["messages"]
    assert [one["at"] for one in told] == [30, 10]
    told = (await got(gateway, "signals"))["messages"]
    assert [(one["at"], one["ch"]) for one in told] == [
        (40, FLOW.name),
        (30, TREND.name),
        (20, FLOW.name),
        (10, TREND.name),
    ]


async def test_the_move_since_a_signal_is_told_while_the_price_lives(
    redis_url: str, publish: Publishing
) -> None:
    await publish([signal(TREND, 10), priced("49000", 90), priced("50500", 100)])
    settings = changed(feed_silence_limit_s=3_600.0)
    async with (
        gateway_on(redis_url, settings) as patient,
        gateway_on(redis_url, changed(feed_silence_limit_s=0.0)) as impatient,
    ):
        (told,) = (await got(patient, "signals"))["messages"]
        assert "live" not in told
        await publish.status("agg", Status("live", 5))
        (told,) = (await got(patient, "signals"))["messages"]
        assert told["live"] == {"ch": PRICE.name, "px": "50500", "at": 100, "move": 0.01}
        (told,) = (await got(impatient, "signals"))["messages"]
        assert "live" not in told


async def test_signals_without_a_price_now_have_no_move(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish.status("agg", Status("live", 5))
    await publish([signal(TREND, 10), priced("49000", 90), priced(None, 100)])
    (told,) = (await got(gateway, "signals", model="trend"))["messages"]
    assert "live" not in told


async def test_a_key_that_may_not_see_the_price_is_not_told_it_by_a_detour(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish.status("agg", Status("live", 5))
    await publish([signal(TREND, 10), signal(FLOW, 5), signal(FLOW, 20), priced("49000", 90)])
    _, key = await gateway.new_key("pro", channels=("signal:trend:*",))
    (told,) = (await got(gateway, "signals", model="trend", key=key))["messages"]
    assert "live" not in told
    assert await refused(gateway, "signals", model="flow", key=key) == (403, "not_in_plan")
    cursor = (await got(gateway, "signals", limit=1))["next"]
    assert await refused(gateway, "signals", limit=1, cursor=cursor, key=key) == (
        403,
        "not_in_plan",
    )


async def test_pages_of_signals_have_each_once_while_others_come(
    gateway: GatewayServer, publish: Publishing
) -> None:
    names = [f"signal:{model}:A{number}-USD" for model in ("trend", "flow") for number in range(5)]
    channels = [Channel.parse(name) for name in names]
    await publish([signal(channels[at * 7 % 10], at) for at in range(200)])
    told: list[Any] = []
    page = await got(gateway, "signals", model="trend", limit=13)
    page = await got(gateway, "signals", limit=13)
    told += page["messages"]
    while page["next"] is not None:
        await publish([signal(channels[0], 10_000 + len(told))])
        page = await got(gateway, "signals", limit=13, cursor=page["next"])
        told += page["messages"]
    assert [one["at"] for one in told] == list(range(199, -1, -1))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"model": "none"}, (404, "unknown_model")),
        ({"model": "trend", "pair": "BTC-USX"}, (404, "unknown_symbol")),
    ],
)
async def test_signals_that_nobody_gives_are_unknown(
    gateway: GatewayServer, publish: Publishing, query: dict[str, str], expected: tuple[int, str]
) -> None:
    await publish([signal(TREND, 10)])
    assert await refused(gateway, "signals", **query) == expected


def record(model: str, pair: str | None = None) -> bytes:
    share = Share(6, 10, 0.6, 0.31, 0.83)
    told = TrackRecord(model, 1, False, 12, 2, 10, 0, share, 0.001, 0.0005, (), "x", False, pair)
    return msgspec.json.encode(told)


async def test_a_track_record_is_told_as_the_feeds_wrote_it(
    gateway: GatewayServer, redis: Redis, publish: Publishing
) -> None:
    await publish([signal(TREND, 10), signal(FLOW, 20)])
    rows = {"trend": record("trend"), "trend:BTC-USD": record("trend", "BTC-USD")}
    await redis.hset(TRACK_RECORDS_KEY, mapping=rows)
    whole = await got(gateway, "track-record", model="trend")
    assert whole == {"records": [msgspec.json.decode(rows["trend"])]}
    of_pair = await got(gateway, "track-record", model="trend", pair="BTC-USD")
    assert of_pair == {"records": [msgspec.json.decode(rows["trend:BTC-USD"])]}
    assert await refused(gateway, "track-record", model="flow") == (404, "unknown_model")
    _, key = await gateway.new_key("pro", channels=("signal:flow:*",))
    told = await refused(gateway, "track-record", model="trend", key=key)
    assert told == (403, "not_in_plan")


async def test_symbols_come_in_pages_with_their_channels(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish([*trades(1, 1), *trades(1, 1, ETH), *quote("1")])
    await got(gateway, "latest", channels="trade:sim:*")
    first = await got(gateway, "symbols", limit=1, venue="sim")
    assert first["symbols"] == [{"symbol": "BTC-USD", "channels": [QUOTES.name, BTC.name]}]
    last = await got(gateway, "symbols", limit=1, venue="sim", cursor=first["next"])
    assert last == {"symbols": [{"symbol": "ETH-USD", "channels": [ETH.name]}], "next": None}
    quotes = await got(gateway, "symbols", kind="quote")
    assert [one["symbol"] for one in quotes["symbols"]] == ["BTC-USD"]
    _, key = await gateway.new_key("pro", channels=("trade:sim:E*",))
    seen = await got(gateway, "symbols", key=key)
    assert [one["symbol"] for one in seen["symbols"]] == ["ETH-USD"]


async def test_a_venue_whose_feed_says_nothing_any_more_is_stale(
    redis_url: str, publish: Publishing
) -> None:
    settings = changed(feed_silence_limit_s=3_600.0)
    async with (
        gateway_on(redis_url, settings) as patient,
        gateway_on(redis_url, changed(feed_silence_limit_s=0.0)) as impatient,
    ):
        await publish.status("kraken", Status("resync", 5, "venue", "a hole"))
        await publish.status("sim", Status("closed", 6, "feed", "the end"))
        for gateway, state, by in ((patient, "resync", "venue"), (impatient, "stale", "feed")):
            await got(gateway, "latest", channels="status:kraken:VENUE,status:sim:VENUE")
            kraken, sim = (await got(gateway, "venues"))["venues"]
            assert (kraken["venue"], kraken["state"], kraken["by"]) == ("kraken", state, by)
            assert kraken["status"]["reason"] == "a hole"
            assert (sim["venue"], sim["state"]) == ("sim", "closed")


async def test_the_newest_of_a_feed_that_is_silent_is_not_told_as_live(
    redis_url: str, publish: Publishing
) -> None:
    settings = changed(feed_silence_limit_s=3_600.0)
    async with (
        gateway_on(redis_url, settings) as patient,
        gateway_on(redis_url, changed(feed_silence_limit_s=0.0)) as impatient,
    ):
        await publish([*trades(1, 1), *trades(1, 1, ETH)])
        torn = {ETH.name: ChannelState("resync", 5, "venue")}
        await publish.status("sim", Status("live", 5, channels=torn))
        for gateway, btc, eth in (
            (patient, {"state": "live"}, {"state": "resync", "by": "venue"}),
            (impatient, *[{"state": "stale", "by": "feed"}] * 2),
        ):
            told = await got(gateway, "latest", channels="trade:sim:*")
            assert told["states"] == {BTC.name: btc, ETH.name: eth}


async def test_an_answer_that_is_still_true_is_not_sent_again(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    first = await rest(gateway, "latest", channels=BTC.name)
    assert first.headers["cache-control"] == "private, no-cache"
    known = {"If-None-Match": f'"other", W/{first.headers["etag"]}'}
    again = await rest(gateway, "latest", channels=BTC.name, headers=known)
    assert (again.status, again.body) == (304, "")
    assert again.headers["etag"] == first.headers["etag"]
    await publish(trades(2, 2))
    changed_ = await rest(gateway, "latest", channels=BTC.name, headers=known)
    assert (changed_.status, changed_.body["messages"][0]["seq"]) == (200, 2)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("nowhere", (404, "not_found")), ("tickets", (405, "method_not_allowed"))],
)
async def test_what_is_not_there_is_a_problem_like_any_other(
    gateway: GatewayServer, path: str, expected: tuple[int, str]
) -> None:
    assert await refused(gateway, path) == expected


async def test_pages_of_listed_sites_may_read_the_answers(redis_url: str) -> None:
    async with gateway_on(redis_url, changed(origins=("https://desk.example",))) as gateway:
        listed = await rest(gateway, "usage", headers={"Origin": "https://desk.example"})
        assert listed.headers["access-control-allow-origin"] == "https://desk.example"
        assert "ETag" in listed.headers["access-control-expose-headers"]
        other = await rest(gateway, "usage", headers={"Origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_a_refusal_tells_what_is_left_and_is_not_kept(redis_url: str) -> None:
    # One comes back every 20 s: no standstill between two questions is as long.
    few = msgspec.structs.replace(PLANS["free"], rest_per_minute=3)
    async with gateway_on(redis_url, plans={"free": few}, plan="free") as gateway:
        answer = await rest(gateway, "latest", channels="x")
        wrong = await rest(gateway, "latest", chanels="x")
    assert answer.headers["ratelimit-policy"].startswith('"minute";q=3;w=60')
    assert answer.headers["ratelimit"].startswith('"minute";r=2')
    assert (wrong.status, wrong.body["code"]) == (400, "bad_parameter")
    assert wrong.headers["cache-control"] == "no-store"
    assert wrong.headers["ratelimit"].startswith('"minute";r=1')


async def test_without_redis_history_is_to_be_asked_for_later(
    redis_server: RedisServer, redis: Redis, gateway: GatewayServer
) -> None:
    await redis.sadd(DIRECTORY_KEY, BTC.name)
    assert (await got(gateway, "trades", channel=BTC.name))["messages"] == []
    redis_server.kill()
    answer = await rest(gateway, "trades", channel=BTC.name)
    assert (answer.status, answer.body["code"]) == (503, "history_unavailable")
    assert answer.headers["retry-after"] == "1"
    redis_server.start()
