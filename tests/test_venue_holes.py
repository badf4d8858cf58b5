"""What venues leave out by their own numbers: a gap and a resync of that one symbol only."""

import json
from collections.abc import Callable

import pytest
import uvloop

from feeds.market import Channel, Missing, Trade
from feeds.settings import ConnectionSettings
from feeds.venue import Subscription
from feeds.venues import VENUES
from tests.toy_venue import a_feed
from tests.venue_server import TickList, VenueServer, running, until

LOOPS = {"uvloop": uvloop.new_event_loop}

TIME = "2026-11-22T00:00:00.000000Z"


def binance(symbol: str, id_: int) -> object:
    native = symbol.replace("-", "")
    data = {"e": "trade", "E": 1, "s": native, "t": id_, "p": "61000.1", "q": "1", "T": 1}
    return {"stream": f"{native.lower()}@trade", "data": data | {"m": True, "M": True}}


def coinbase(symbol: str, id_: int) -> object:
    told = {"type": "match", "product_id": symbol, "trade_id": id_, "side": "buy", "time": TIME}
    return told | {"price": "61000.1", "size": "1"}


def kraken(symbol: str, id_: int) -> object:
    told = {"symbol": symbol.replace("-", "/"), "trade_id": id_, "side": "buy", "timestamp": TIME}
    told |= {"price": 61000.1, "qty": 1.0, "ord_type": "market"}
    return {"channel": "trade", "type": "update", "data": [told]}


@pytest.mark.parametrize("a_trade", [binance, coinbase, kraken])
async def test_a_hole_in_one_of_three_symbols_is_told_and_asked_for_again_of_that_one_only(
    a_trade: Callable[[str, int], object],
) -> None:
    row, sink = VENUES[a_trade.__name__], TickList()
    symbols = ("BTC-USDT", "ETH-USDT", "SOL-USDT")
    torn, others = symbols[1], (symbols[0], symbols[2])
    wanted = [Subscription(kind, symbol) for symbol in symbols for kind in row.kinds]
    assert row.renew_frames is not None
    renewal = list(row.renew_frames(Subscription("trade", torn)))
    async with VenueServer() as server:
        settings = ConnectionSettings(close_limit_s=0.3)
        feed = a_feed(server, sink, row=row, subscriptions=wanted, settings=settings)
        async with running(feed.run()):
            side = await server.next_side()
            for frame in row.subscribe_frames(wanted):
                assert await side.received() == frame
            for symbol, id_ in [*((symbol, 7) for symbol in symbols), (torn, 12)]:
                await side.send(json.dumps(a_trade(symbol, id_)))
            await sink.reach(4)
            states = feed.status().channels
            assert [(name, one.state, one.by) for name, one in states.items()] == [
                (Channel("trade", row.name, torn).name, "resync", "venue")
            ]
            assert [await side.received() for _ in renewal] == renewal
            await until(lambda: feed.watches.counts.renewals == 1)
            for symbol, id_ in [*((symbol, 8) for symbol in others), (torn, 13)]:
                await side.send(json.dumps(a_trade(symbol, id_)))
            await sink.reach(7)
            assert feed.status().channels == {}
        assert server.accepted == 1
    told: dict[str, list[tuple[str, Missing | None]]] = {symbol: [] for symbol in symbols}
    for tick in sink.ticks:
        assert isinstance(tick.payload, Trade)
        told[tick.channel.symbol].append((tick.payload.id, tick.missing))
    assert told[torn] == [("7", None), ("12", Missing("venue", 4)), ("13", None)]
    assert [told[symbol] for symbol in others] == [[("7", None), ("8", None)]] * 2
