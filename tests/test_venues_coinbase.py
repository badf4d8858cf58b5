"""Coinbase: the Exchange feed and Advanced Trade, digit for digit, the side always the taker's."""

import json

import pytest

from feeds.venue import Confirmed, ParseError, Refused, Subscription
from feeds.venues import VENUES
from feeds.venues.coinbase import CoinbaseParser, instrument
from tests.captured import RECEIVED_NS, frames, ticks, told

ROW = VENUES["coinbase"]

MATCH = (
    '{"type":"match","trade_id":10,"sequence":50,"maker_order_id":"ac928c66","taker_order_id":'
    '"132fb6ae","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512",'
    '"price":"400.23","side":"sell"}'
)
TICKER = (
    '{"type":"ticker","sequence":1,"product_id":"ETH-USD","price":"1285.22","side":"buy",'
    '"best_bid":"1285.04","best_bid_size":"0.46688654","best_ask":"1285.27","best_ask_size":'
    '"1.56637040","time":"2022-10-19T23:28:22.061769Z","trade_id":370843401,"last_size":"11.4"}'
)

CAPTURED = [
    ["trade:coinbase:BAND-GBP 14.7775 0.04 buy 881613 1618677810244075"],
    ["trade:coinbase:BAND-BTC 0.00033458 0.07 buy 1287325 1618677810452702"],
    ["trade:coinbase:NMR-EUR 67.021 0.148 buy 868601 1618677817870988"],
    ["quote:coinbase:BAND-GBP 14.7550 14.8060 - - 1618677810244075"],
    ["quote:coinbase:BAND-BTC 0.00033432 0.00033571 - - 1618677810452702"],
    [],  # l2update
]

CAPTURED_ADVANCED = [
    ["trade:coinbase:BTC-USD 65083.67 0.01034361 buy 1068572091 1786309548167634"],
    # Newest first on the wire; oldest first from us.
    [
        "trade:coinbase:BTC-USD 65083.66 0.00002627 sell 1068572120 1786309559852346",
        "trade:coinbase:BTC-USD 65083.67 0.00304224 buy 1068572121 1786309559930874",
        "trade:coinbase:BTC-USD 65083.67 0.00076056 buy 1068572122 1786309559937562",
    ],
    ["quote:coinbase:BTC-USD 65083.66 65083.67 0.20371215 0.24290402 1786309548229198"],
    [
        "trade:coinbase:BTC-USD 68900.50 0.00150000 sell 995098700 1775572202789012",
        "trade:coinbase:BTC-USD 68900.00 0.05000000 buy 995098701 1775572202800000",
    ],
    ["quote:coinbase:BTC-USD 68900.00 68901.00 1.50000000 0.50000000 1775572203000000"],
    [],  # heartbeats
    [],  # candles
    [],  # l2_data
]


@pytest.mark.parametrize(
    ("frame", "expected"),
    list(zip(frames("coinbase")[1:], CAPTURED, strict=True))
    + list(zip(frames("coinbase", "advanced")[1:], CAPTURED_ADVANCED, strict=True)),
)
def test_captured_frames_give_their_values_as_text_and_as_bytes(
    frame: str, expected: list[str]
) -> None:
    parser = CoinbaseParser()
    assert told(parser.feed(frame, RECEIVED_NS)) == expected
    assert told(parser.feed(frame.encode(), RECEIVED_NS)) == expected


@pytest.mark.parametrize("name", ["frames", "advanced"])
def test_subscriptions_are_confirmed(name: str) -> None:
    assert CoinbaseParser().feed(frames("coinbase", name)[0], None) == (Confirmed(),)


def test_the_makers_side_becomes_the_takers() -> None:
    parser = CoinbaseParser()
    assert ticks(parser.feed(MATCH, None))[0][3] == "buy"
    assert ticks(parser.feed(MATCH.replace('"sell"', '"buy"'), None))[0][3] == "sell"


def test_a_ticker_with_sizes_has_them() -> None:
    assert ticks(CoinbaseParser().feed(TICKER, None)) == [
        (
            "quote:coinbase:ETH-USD",
            "1285.04",
            "1285.27",
            "0.46688654",
            "1.56637040",
            1666222102061769,
            None,
        )
    ]


@pytest.mark.parametrize("empty", ['""', '"0"', '"0.00"', "null"])
def test_a_ticker_with_an_empty_side_is_no_quote_and_no_error(empty: str) -> None:
    assert CoinbaseParser().feed(TICKER.replace('"1285.04"', empty), None) == ()


def test_a_ticker_without_a_time_has_none() -> None:
    frame = TICKER.replace('"time":"2022-10-19T23:28:22.061769Z",', "")
    assert ticks(CoinbaseParser().feed(frame, None))[0][5] is None


def test_trades_of_the_same_moment_stand_by_id_as_numbers() -> None:
    trade = {
        "product_id": "BTC-USD",
        "price": "1",
        "size": "1",
        "side": "BUY",
        "time": "2026-08-09T21:05:48.167634Z",
    }
    ids = ["1000", "999", "998"]
    message = {
        "channel": "market_trades",
        "events": [{"type": "snapshot", "trades": [trade | {"trade_id": i} for i in ids]}],
    }
    found = ticks(CoinbaseParser().feed(json.dumps(message), None))
    assert [tick[4] for tick in found] == ["998", "999", "1000"]


def test_several_tickers_in_one_message_give_all_their_quotes_but_those_of_empty_sides() -> None:
    message = json.loads(frames("coinbase", "advanced")[3])
    ticker = message["events"][0]["tickers"][0]
    message["events"].append(
        {
            "type": "update",
            "tickers": [
                ticker | {"product_id": "NEW-USD", "best_bid": "0", "best_bid_quantity": "0"},
                ticker | {"product_id": "ETH-USD", "best_bid": "1.50"},
            ],
        }
    )
    found = ticks(CoinbaseParser().feed(json.dumps(message), None))
    assert [(tick[0], tick[1]) for tick in found] == [
        ("quote:coinbase:BTC-USD", "65083.66"),
        ("quote:coinbase:ETH-USD", "1.50"),
    ]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (
            '{"type":"error","message":"Failed to subscribe","reason":"FOO-USD is not valid"}',
            "Failed to subscribe: FOO-USD is not valid",
        ),
        ('{"type":"error","message":"rate limit exceeded"}', "rate limit exceeded"),
        ('{"type":"error"}', "no reason given"),
    ],
)
def test_errors_are_refusals(frame: str, reason: str) -> None:
    assert CoinbaseParser().feed(frame, None) == (Refused(reason),)


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD",'
        '"time":"2014-11-07T08:19:28.464459Z"}',
        '{"type":"snapshot","product_id":"BTC-USD","bids":[["1","2"]],"asks":[["2","3"]]}',
        '{"type":"received","product_id":"BTC-USD","size":"1","price":"2","side":"buy"}',
        '{"type":"open"}',
        '{"type":"done"}',
        '{"type":"status","products":[]}',
        '{"channel":"status","events":[]}',
        '{"channel":"user","events":[]}',
    ],
)
def test_what_is_neither_trade_nor_quote_gives_nothing(frame: str) -> None:
    assert not CoinbaseParser().feed(frame, None)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{}",
        "[]",
        '{"e":"trade","s":"BTCUSDT"}',
        MATCH.replace('"400.23"', "400.23"),
        MATCH.replace('"400.23"', '"0.00"'),
        MATCH.replace('"5.23512"', '"-5"'),
        MATCH.replace('"sell"', '"both"'),
        MATCH.replace("2014-11-07T", "2014-13-07T"),
        MATCH.replace('"time":"2014-11-07T08:19:27.028459Z",', ""),
        MATCH.replace("BTC-USD", "BTC"),
        MATCH.replace("BTC-USD", "<img src=x>"),
        MATCH.replace('"product_id":"BTC-USD",', ""),
        TICKER.replace('"1285.04"', '"-1"'),
        TICKER.replace('"0.46688654"', '"NaN"'),
        frames("coinbase", "advanced")[1].replace("SELL", "UNKNOWN_ORDER_SIDE"),
        '{"channel":"market_trades"}',
        '{"channel":"ticker","events":[]}',
    ],
)
def test_bad_frames_are_parse_errors(frame: str) -> None:
    with pytest.raises(ParseError):
        CoinbaseParser().feed(frame, None)


def test_one_bad_trade_of_several_means_no_tick() -> None:
    frame = frames("coinbase", "advanced")[2].replace('"0.00304224"', '"0"')
    with pytest.raises(ParseError):
        CoinbaseParser().feed(frame, None)


def test_a_message_without_a_product_takes_the_one_given() -> None:
    frame = MATCH.replace('"product_id":"BTC-USD",', "")
    assert ticks(CoinbaseParser("ETH-EUR").feed(frame, None))[0][0] == "trade:coinbase:ETH-EUR"


@pytest.mark.parametrize(
    ("native", "symbol"),
    [("BTC-USD", "BTC-USD"), ("00-USD", "00-USD"), ("BTC-PERP-INTX", "BTC-PERP-INTX")],
)
def test_products_keep_their_names(native: str, symbol: str) -> None:
    assert instrument(native).symbol == symbol


def test_a_frame_a_product_asks_for_its_channels_and_heartbeat() -> None:
    wanted = [
        Subscription("trade", "BTC-USD"),
        Subscription("trade", "ETH-USD"),
        Subscription("quote", "BTC-USD"),
    ]
    assert [json.loads(frame) for frame in ROW.subscribe_frames(wanted)] == [
        {
            "type": "subscribe",
            "product_ids": ["BTC-USD"],
            "channels": ["heartbeat", "matches", "ticker"],
        },
        {"type": "subscribe", "product_ids": ["ETH-USD"], "channels": ["heartbeat", "matches"]},
    ]
    assert ROW.connect_url("ws://127.0.0.1:1", wanted) == "ws://127.0.0.1:1"
