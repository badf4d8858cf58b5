"""Kraken v2: JSON numbers, whose digits come out as they stand on the wire."""

import json

import pytest

from feeds.chosen import check_venues
from feeds.errors import SettingError
from feeds.settings import FeedSettings, VenueSettings
from feeds.venue import Confirmed, ParseError, Refused, Subscription, Torn
from feeds.venues import VENUES
from feeds.venues.kraken import KrakenParser, instrument
from tests.captured import RECEIVED_NS, frames, ticks, told

ROW = VENUES["kraken"]

TRADE = (
    '{"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,'
    '"qty":40.0,"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}'
)
TICKER = (
    '{"channel":"ticker","type":"update","data":[{"symbol":"ALGO/USD","bid":0.10025,"bid_qty":740.0'
    ',"ask":0.10035,"ask_qty":740.0,"last":0.10035,"volume":997038.98383185,"vwap":0.10148}]}'
)

CAPTURED = [
    ["quote:kraken:BTC-USD 105944.2 105944.3 2.5 3.2 1671960659123456"],
    [
        "trade:kraken:BTC-USD 105944.2 0.00027625 buy 10218208 1696613755440295",
        "trade:kraken:BTC-USD 105910.5 0.0001246 sell 10218209 1696613756123456",
    ],
    [],  # ohlc
    [],  # pong
]
MADE_UP_BOOKS = slice(3, 5)
"""Examples whose numbers were changed after their checksums were."""


FRAMES = frames("kraken")
BOOKS = FRAMES[MADE_UP_BOOKS]


@pytest.mark.parametrize(
    ("frame", "expected"),
    list(zip([one for one in FRAMES[1:] if one not in BOOKS], CAPTURED, strict=True)),
)
def test_captured_frames_give_their_values_as_text_and_as_bytes(
    frame: str, expected: list[str]
) -> None:
    parser = KrakenParser()
    assert told(parser.feed(frame, RECEIVED_NS)) == expected
    assert told(parser.feed(frame.encode(), RECEIVED_NS)) == expected


def test_examples_of_books_with_made_up_numbers_fail_their_checksums() -> None:
    events = [*KrakenParser().feed(BOOKS[0], None), *KrakenParser().feed(BOOKS[1], None)]
    assert [event.reason for event in events if isinstance(event, Torn)] == [
        "fails its checksum",
        "was changed before its snapshot",
    ]


def test_a_taken_subscription_is_confirmed() -> None:
    assert KrakenParser().feed(FRAMES[0], None) == (Confirmed(),)


@pytest.mark.parametrize(
    ("written", "digits"),
    [
        ("0.51170", "0.51170"),
        ("40", "40"),
        ("105944.20000", "105944.20000"),
        ("0.1000000000000000055511", "0.1000000000000000055511"),
        ("123456789012345678.12345678", "123456789012345678.12345678"),
        ("5e-8", "0.00000005"),
        ("1.50E-7", "0.000000150"),
        ('"0.51170"', "0.51170"),
    ],
)
def test_numbers_keep_their_digits(written: str, digits: str) -> None:
    assert ticks(KrakenParser().feed(TRADE.replace("0.5117", written), None)) == [
        ("trade:kraken:MATIC-USD", digits, "40.0", "sell", "4665906", 1695628177708706, None)
    ]


def test_a_snapshot_gives_all_its_trades_oldest_first() -> None:
    message = json.loads(TRADE)
    old = message["data"][0]
    new = old | {"trade_id": 4665907, "timestamp": "2023-09-25T07:49:38Z"}
    message |= {"type": "snapshot", "data": [new, old]}
    found = ticks(KrakenParser().feed(json.dumps(message), None))
    assert [(tick[4], tick[5]) for tick in found] == [
        ("4665906", 1695628177708706),
        ("4665907", 1695628178000000),
    ]


def test_a_ticker_without_a_timestamp_has_no_time() -> None:
    assert ticks(KrakenParser().feed(TICKER, None)) == [
        ("quote:kraken:ALGO-USD", "0.10025", "0.10035", "740.0", "740.0", None, None)
    ]


@pytest.mark.parametrize("empty", ["null", "0", "0.0", '""'])
def test_a_ticker_with_an_empty_side_is_no_quote_and_no_error(empty: str) -> None:
    assert list(KrakenParser().feed(TICKER.replace("0.10025", empty), None)) == []


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (
            '{"error":"Currency pair not supported FOO/USD","method":"subscribe","success":false,'
            '"symbol":"FOO/USD","time_in":"2023-09-25T09:04:31Z","time_out":"2023-09-25T09:04:31Z"}',
            "Currency pair not supported FOO/USD",
        ),
        ('{"error":"Malformed request","success":false}', "Malformed request"),
        ('{"method":"subscribe","success":false}', "no reason given"),
    ],
)
def test_failures_are_refusals(frame: str, reason: str) -> None:
    assert KrakenParser().feed(frame, None) == (Refused(reason),)


@pytest.mark.parametrize(
    "frame",
    [
        '{"channel":"heartbeat"}',
        '{"channel":"status","type":"update","data":[{"api_version":"v2","connection_id":'
        '13834774380200032777,"system":"maintenance","version":"2.0.0"}]}',
        '{"method":"unsubscribe","result":{"channel":"trade","symbol":"BTC/USD"},"success":true}',
        '{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":[]}}',
    ],
)
def test_what_is_neither_trade_nor_quote_gives_nothing(frame: str) -> None:
    assert not KrakenParser().feed(frame, None)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{}",
        '[337,[["5541.2","0.1","1534614057.3","s","l",""]],"trade","XBT/USD"]',
        '{"event":"heartbeat"}',
        '{"channel":"trade","type":"update"}',
        '{"channel":"trade","type":"update","data":{}}',
        TRADE.replace("0.5117", "null"),
        TRADE.replace("0.5117", "0.0"),
        TRADE.replace("0.5117", "-0.5117"),
        TRADE.replace("0.5117", "NaN"),
        TRADE.replace("0.5117", "1e999"),
        TRADE.replace("0.5117", "[1]"),
        TRADE.replace("40.0", "0"),
        TRADE.replace('"sell"', '"s"'),
        TRADE.replace("4665906", "1.5"),
        TRADE.replace("MATIC/USD", "MATICUSD"),
        TRADE.replace("2023-09-25T07:49:37.708706Z", "1695628177"),
        TICKER.replace("0.10025", "-1"),
        TICKER.replace("0.10025", "true"),
    ],
)
def test_bad_frames_are_parse_errors(frame: str) -> None:
    with pytest.raises(ParseError):
        KrakenParser().feed(frame, None)


def test_the_older_version_is_named_in_the_error() -> None:
    with pytest.raises(ParseError, match="version 1"):
        KrakenParser().feed('[993,[["354.1","0.8","1.5","s","l",""]],"trade","XMR/USD"]', None)


@pytest.mark.parametrize(
    ("native", "symbol"),
    [
        ("BTC/USD", "BTC-USD"),
        ("XBT/EUR", "BTC-EUR"),
        ("XDG/USD", "DOGE-USD"),
        ("ETH/XBT", "ETH-BTC"),
    ],
)
def test_native_names_become_ours(native: str, symbol: str) -> None:
    assert instrument(native).symbol == symbol


def test_a_message_without_a_symbol_takes_the_one_given() -> None:
    frame = TRADE.replace('"symbol":"MATIC/USD",', "")
    assert ticks(KrakenParser("BTC-EUR").feed(frame, None))[0][0] == "trade:kraken:BTC-EUR"
    with pytest.raises(ParseError, match="no symbol"):
        KrakenParser().feed(frame, None)


def test_a_frame_a_channel_asks_for_all_symbols() -> None:
    wanted = [
        Subscription("trade", "BTC-USD"),
        Subscription("quote", "BTC-USD"),
        Subscription("trade", "ETH-EUR"),
    ]
    assert [json.loads(frame) for frame in ROW.subscribe_frames(wanted)] == [
        {
            "method": "subscribe",
            "params": {"channel": "trade", "symbol": ["BTC/USD", "ETH/EUR"], "snapshot": False},
        },
        {
            "method": "subscribe",
            "params": {"channel": "ticker", "symbol": ["BTC/USD"], "event_trigger": "bbo"},
        },
    ]


def test_trades_and_a_book_of_ten_levels_are_asked_for() -> None:
    row = ROW.by_book
    assert row is not None
    wanted = [Subscription("trade", "BTC-USD"), Subscription("quote", "BTC-USD")]
    assert [json.loads(frame) for frame in row.subscribe_frames(wanted)] == [
        {
            "method": "subscribe",
            "params": {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": False},
        },
        {
            "method": "subscribe",
            "params": {"channel": "book", "symbol": ["BTC/USD"], "depth": 10},
        },
    ]
    assert row.renew_frames is not None
    assert [json.loads(frame) for frame in row.renew_frames(wanted[1])] == [
        {"method": method, "params": {"channel": "book", "symbol": ["BTC/USD"], "depth": 10}}
        for method in ("unsubscribe", "subscribe")
    ]


def test_the_ticker_is_the_default_and_only_kraken_has_a_book_that_is_proven() -> None:
    assert VenueSettings().quotes == "ticker"
    check_venues(FeedSettings(venue={"kraken": VenueSettings(quotes="book")}))
    for name in VENUES.keys() - {"kraken"}:
        settings = FeedSettings(venues=(name,), venue={name: VenueSettings(quotes="book")})
        with pytest.raises(SettingError, match=rf"venue.{name}.quotes: .*only: kraken"):
            check_venues(settings)
