"""From a venue's socket to a subscriber: what the venue left out, and the state of each channel."""

import json
from functools import partial

import uvloop
from redis.asyncio import Redis

from tests.gateway_server import GatewayServer
from tests.stream_client import Message
from tests.test_feeds_run import binance_at, now_ms, reach, running
from tests.venue_server import VenueServer, binance_trade

LOOPS = {"uvloop": uvloop.new_event_loop}

BTC = "trade:binance:BTC-USDT"
BTC_QUOTES = "quote:binance:BTC-USDT"
A_QUOTE = (
    '{"stream":"btcusdt@bookTicker","data":'
    '{"u":1,"s":"BTCUSDT","b":"61000.1","B":"1","a":"61000.2","A":"1"}}'
)


def shown(told: Message) -> str:
    match told:
        case {"type": "gap"}:
            return f"gap {told['from']}-{told['to']} by {told['by']}"
        case {"id": id_}:
            return f"trade {id_} seq {told['seq']}" + (" suspect" if "suspect" in told else "")
    return str(told["type"])


def is_resync(told: Message) -> bool:
    return (told.get("ch"), told.get("state"), told.get("by")) == (BTC, "resync", "venue")


async def test_what_a_venue_leaves_out_is_a_gap_in_order_and_a_resync_of_that_channel(
    redis: Redis, redis_url: str, gateway: GatewayServer
) -> None:
    trade = partial(binance_trade, at_ms=now_ms())
    async with VenueServer() as venue, running(binance_at(venue.url), redis_url):
        side = await venue.next_side()
        await side.send(trade(1), A_QUOTE)
        await reach(redis, BTC, bool)
        await reach(redis, BTC_QUOTES, bool)
        async with gateway.client() as client:
            await client.subscribe(BTC, BTC_QUOTES)
            start = len(client.heard)
            far = trade(6).replace("61000.1", "161000.1")
            await side.send(trade(2), trade(5), trade(5), far)
            await client.hear_until(lambda told: told.get("id") == "6")
            of_trades = [told for told in client.heard[start:] if told.get("ch") == BTC]
            assert [shown(told) for told in of_trades if told.get("type") != "state"] == [
                "trade 2 seq 2",
                "gap 3-4 by venue",
                "trade 5 seq 5",
                "trade 6 seq 6 suspect",
            ]
            asked = [json.loads(await side.received()) for _ in range(2)]
            assert [(one["method"], one["params"]) for one in asked] == [
                ("UNSUBSCRIBE", ["btcusdt@trade"]),
                ("SUBSCRIBE", ["btcusdt@trade"]),
            ]
            if not any(map(is_resync, client.heard)):
                await client.hear_until(is_resync)
            await side.send(trade(7))
            await client.state(BTC, "live")
            quotes = [told for told in client.heard if told.get("ch") == BTC_QUOTES]
            assert not any(told.get("state") == "resync" for told in quotes)
