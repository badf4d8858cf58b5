"""Bitstamp: live trades and the top of the book, digit for digit.

The book frames and control messages are after https://www.bitstamp.net/websocket/v2/.
"""

import json

import pytest

from feeds.venue import Confirmed, Leaving, ParseError, Refused, Subscription
from feeds.venues import VENUES
from feeds.venues.bitstamp import BitstampParser, instrument
from tests.captured import RECEIVED_NS, frames, ticks, told

ROW = VENUES["bitstamp"]

TRADE = frames("bitstamp")[2]
BOOK = (
    '{"data":{"timestamp":"1618677691","microtimestamp":"1618677691471830","bids":'
    '[["60553.64","0.34836429"],["60550.00","1.00000000"]],"asks":[["60560.10","0.00500000"]]},'
    '"channel":"order_book_btcusd","event":"data"}'
)

CAPTURED = [
    ["trade:bitstamp:LTC-USD 312.88 6.33171283 buy 164507734 1618677693509000"],
    ["trade:bitstamp:BTC-USD 60553.64 0.03271200 buy 164507735 1618677693933000"],
    ["trade:bitstamp:BCH-EUR 882.99 3.00000000 sell 164507741 1618677700785000"],
    [],  # diff_order_book
]


@pytest.mark.parametrize(
    ("frame", "expected"), list(zip(frames("bitstamp")[1:], CAPTURED, strict=True))
)
def test_captured_frames_give_their_values_as_text_and_as_bytes(
    frame: str, expected: list[str]
) -> None:
    parser = BitstampParser()
    assert told(parser.feed(frame, RECEIVED_NS)) == expected
    assert told(parser.feed(frame.encode(), RECEIVED_NS)) == expected


def test_a_book_gives_its_top_as_a_quote() -> None:
    assert ticks(BitstampParser().feed(BOOK, None)) == [
        (
            "quote:bitstamp:BTC-USD",
            "60553.64",
            "60560.10",
            "0.34836429",
            "0.00500000",
            1618677691471830,
            None,
        )
    ]


def test_a_book_with_an_empty_side_is_no_quote_and_no_error() -> None:
    assert BitstampParser().feed(BOOK.replace('["60560.10","0.00500000"]', ""), None) == ()


def test_a_trade_without_texts_keeps_the_digits_of_its_numbers() -> None:
    frame = (
        '{"data":{"microtimestamp":"1543395203230800","amount":5e-05,"id":7,"type":1,"price":'
        '4030.10},"event":"trade","channel":"live_trades_btceur"}'
    )
    assert ticks(BitstampParser().feed(frame, None)) == [
        ("trade:bitstamp:BTC-EUR", "4030.10", "0.00005", "sell", "7", 1543395203230800, None)
    ]


@pytest.mark.parametrize(
    ("frame", "event"),
    [
        (frames("bitstamp")[0], Confirmed()),
        (
            '{"event":"bts:request_reconnect","channel":"","data":""}',
            Leaving("the server asks for a reconnect"),
        ),
        (
            '{"event":"bts:error","channel":"","data":{"code":null,"message":"Bad subscription"}}',
            Refused("Bad subscription"),
        ),
        (
            '{"event":"bts:error","channel":"live_trades_x","data":{"code":4009,"message":""}}',
            Refused("live_trades_x: no reason given"),
        ),
    ],
)
def test_answers_and_announcements(frame: str, event: object) -> None:
    assert list(BitstampParser().feed(frame, None)) == [event]


@pytest.mark.parametrize(
    "frame",
    [
        '{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}',
        '{"event":"bts:unsubscription_succeeded","channel":"live_trades_btcusd","data":{}}',
        '{"event":"order_created","channel":"live_orders_btcusd","data":{"id":1,"price":1.5}}',
        BOOK.replace("order_book", "detail_order_book"),
        BOOK.replace("order_book", "diff_order_book"),
    ],
)
def test_what_is_neither_trade_nor_quote_gives_nothing(frame: str) -> None:
    assert not BitstampParser().feed(frame, None)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{}",
        "[]",
        '{"event":"trade","channel":"live_trades_btcusd"}',
        TRADE.replace('"60553.64"', '"0.00"'),
        TRADE.replace('"60553.64"', '"-60553.64"'),
        TRADE.replace('"0.03271200"', '"NaN"'),
        TRADE.replace('"type": 0', '"type": 2'),
        TRADE.replace("1618677693933000", "yesterday"),
        TRADE.replace("live_trades_btcusd", "live_trades_btcxyz"),
        TRADE.replace("live_trades_btcusd", ""),
        BOOK.replace('"60560.10"', '"x"'),
        BOOK.replace('"60560.10"', "60560.10"),
        BOOK.replace('"1618677691471830"', '""'),
    ],
)
def test_bad_frames_are_parse_errors(frame: str) -> None:
    with pytest.raises(ParseError):
        BitstampParser().feed(frame, None)


def test_a_message_without_a_channel_takes_the_symbol_given() -> None:
    frame = TRADE.replace("live_trades_btcusd", "")
    assert ticks(BitstampParser("BTC-EUR").feed(frame, None))[0][0] == "trade:bitstamp:BTC-EUR"


@pytest.mark.parametrize(
    ("native", "symbol"),
    [
        ("btcusd", "BTC-USD"),
        ("btcusdt", "BTC-USDT"),
        ("usdtusd", "USDT-USD"),
        ("gusdusd", "GUSD-USD"),
        ("xrprlusd", "XRP-RLUSD"),
        ("eurcusdc", "EURC-USDC"),
        ("linkbtc", "LINK-BTC"),
        ("gbpusd", "GBP-USD"),
        ("btcusd-perp", "BTC-USD-PERP"),
    ],
)
def test_native_names_are_cut_at_the_quote_asset(native: str, symbol: str) -> None:
    assert instrument(native).symbol == symbol


def test_a_frame_a_channel_is_sent() -> None:
    wanted = [Subscription("trade", "BTC-USD"), Subscription("quote", "BTC-USD-PERP")]
    assert [json.loads(frame) for frame in ROW.subscribe_frames(wanted)] == [
        {"event": "bts:subscribe", "data": {"channel": "live_trades_btcusd"}},
        {"event": "bts:subscribe", "data": {"channel": "order_book_btcusd-perp"}},
    ]
