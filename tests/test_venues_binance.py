"""Binance spot: what its messages come to, digit for digit."""

import json

import pytest

from feeds.market import Instrument, InstrumentError, Tick
from feeds.venue import Confirmed, Leaving, ParseError, Refused, Subscription
from feeds.venues import VENUES
from feeds.venues.binance import BinanceParser, instrument
from tests.captured import RECEIVED_NS, frames, ticks, told

ROW = VENUES["binance"]

TRADE = (
    '{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100",'
    '"T":1672515782136,"m":true,"M":true}'
)
TRADE_TICK = ("trade:binance:BNB-BTC", "0.001", "100", "sell", "12345", 1672515782136000, None)

CAPTURED = [
    ["trade:binance:BTC-USDT 61837.63000000 0.02000000 sell 3735683259 1723161255342000"],
    ["trade:binance:BTC-USDT 61837.63000000 0.04800000 sell 3735683260 1723161255617000"],
    ["trade:binance:BTC-USDT 58001.03000000 0.08620500 sell 665076760 1617566591314000"],
    ["trade:binance:BTC-USDT 58001.04000000 0.02627600 buy 665076761 1617566591348000"],
    ["trade:binance:QSP-BTC 0.00000169 8896.00000000 buy 5549025 1618677397557000"],
    ["quote:binance:SWRV-BUSD 2.27200000 2.27700000 218.40800000 1.19200000 -"],
    ["quote:binance:GTO-BTC 0.00000162 0.00000163 49627.00000000 345860.00000000 -"],
    ["trade:binance:ETH-USDT 4149.74000000 0.43870000 sell 705291099 1639351062243000"],
    ["trade:binance:ETH-USDT 1632.46000000 0.34305000 buy 226532 1675759520847000"],
    ["quote:binance:ETH-USDT 4507.24000000 4507.25000000 2.35950000 2.84570000 1646199228121000"],
    [],  # 24hrTicker
    [],  # depthUpdate
    [],  # kline
]


@pytest.mark.parametrize(("frame", "expected"), list(zip(frames("binance"), CAPTURED, strict=True)))
def test_captured_frames_give_their_values_as_text_and_as_bytes(
    frame: str, expected: list[str]
) -> None:
    parser = BinanceParser()
    assert told(parser.feed(frame, RECEIVED_NS)) == expected
    assert told(parser.feed(frame.encode(), RECEIVED_NS)) == expected


def test_raw_and_combined_events_are_the_same() -> None:
    parser = BinanceParser()
    combined = f'{{"stream":"bnbbtc@trade","data":{TRADE}}}'
    assert ticks(parser.feed(TRADE, None)) == [TRADE_TICK]
    assert ticks(parser.feed(combined, None)) == [TRADE_TICK]


def test_order_of_the_envelopes_keys_and_white_space_do_not_matter() -> None:
    combined = f'{{ "data" : {TRADE} , "stream" : "bnbbtc@trade" }}'
    assert ticks(BinanceParser().feed(combined, None)) == [TRADE_TICK]


def test_several_events_in_one_message_give_all_their_ticks_in_order() -> None:
    second = TRADE.replace("12345", "12346")
    expected = [TRADE_TICK, (*TRADE_TICK[:4], "12346", *TRADE_TICK[5:])]
    parser = BinanceParser()
    assert ticks(parser.feed(f"[{TRADE},{second}]", None)) == expected
    assert ticks(parser.feed(f'{{"stream":"!x@arr","data":[{TRADE},{second}]}}', None)) == expected


def test_a_message_with_one_bad_event_gives_no_tick() -> None:
    with pytest.raises(ParseError, match="more than zero"):
        BinanceParser().feed(f"[{TRADE},{TRADE.replace('0.001', '0.000')}]", None)


def test_times_in_microseconds_are_known_by_their_size() -> None:
    frame = TRADE.replace("1672515782136", "1672515782136789")
    assert ticks(BinanceParser().feed(frame, None))[0][5] == 1672515782136789


def test_a_trade_bought_by_the_taker() -> None:
    assert ticks(BinanceParser().feed(TRADE.replace('"m":true', '"m":false'), None))[0][3] == "buy"


def test_an_id_beyond_2_to_53_keeps_all_its_digits() -> None:
    frame = TRADE.replace("12345", "18446744073709551615")
    assert ticks(BinanceParser().feed(frame, None))[0][4] == "18446744073709551615"


@pytest.mark.parametrize("empty", ['"b":"0.00000000","B":"0.00000000"', '"b":"","B":""'])
def test_a_book_with_an_empty_side_is_no_quote_and_no_error(empty: str) -> None:
    frame = f'{{"u":4,"s":"BNBUSDT",{empty},"a":"25.36","A":"40.66"}}'
    assert BinanceParser().feed(frame, None) == ()


def test_a_quote_whose_size_is_zero_is_a_quote() -> None:
    frame = '{"u":4,"s":"BNBUSDT","b":"25.35","B":"0.00","a":"25.36","A":"40.66"}'
    assert ticks(BinanceParser().feed(frame, None)) == [
        ("quote:binance:BNB-USDT", "25.35", "25.36", "0.00", "40.66", None, None)
    ]


@pytest.mark.parametrize(
    "frame",
    [
        '{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}',
        '{"stream":"bnbbtc@depth5","data":{"lastUpdateId":160,"bids":[],"asks":[]}}',
        '{"stream":"!miniTicker@arr","data":[{"e":"24hrMiniTicker","s":"BNBBTC","c":"0.0025"}]}',
        '[{"e":"24hrTicker","s":"BNBBTC","p":"0.0015","a":"1","b":"1"}]',
        '{"e":"avgPrice","E":1693907033000,"s":"BTCUSDT","i":"5m","w":"25776.86","T":1693907032213}',
        '{"stream":"btcusdt@something","data":{"x":1}}',
        '{"result":["btcusdt@trade"],"id":3}',
    ],
)
def test_what_is_neither_trade_nor_quote_gives_nothing(frame: str) -> None:
    assert not BinanceParser().feed(frame, None)


@pytest.mark.parametrize(
    ("frame", "event"),
    [
        ('{"result":null,"id":1}', Confirmed()),
        ('{"id":"a","result":null}', Confirmed()),
        (
            '{"error":{"code":2,"msg":"Invalid request: unknown"},"id":1}',
            Refused("Invalid request: unknown"),
        ),
        ('{"error":"Too many","id":1}', Refused("Too many")),
        ('{"code":3,"msg":"Invalid JSON"}', Refused("Invalid JSON (code 3)")),
        (
            '{"e":"serverShutdown","E":1770123456789}',
            Leaving("the server is about to shut down"),
        ),
        (
            '{"stream":"","data":{"e":"serverShutdown","E":1770123456789}}',
            Leaving("the server is about to shut down"),
        ),
    ],
)
def test_answers_and_announcements(frame: str, event: object) -> None:
    assert list(BinanceParser().feed(frame, None)) == [event]


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "pong",
        "{}",
        "null",
        '{"type":"match","trade_id":1}',
        TRADE.replace('"0.001"', "0.001"),
        TRADE.replace('"0.001"', '"-1"'),
        TRADE.replace('"0.001"', '"NaN"'),
        TRADE.replace('"100"', '"0.000"'),
        TRADE.replace("12345", "-5"),
        TRADE.replace("12345", '""'),
        TRADE.replace('"m":true', '"m":1'),
        TRADE.replace("1672515782136", "1672515782136000000"),
        TRADE.replace("BNBBTC", "BNBXYZ"),
        TRADE.replace("BNBBTC", "BTC"),
        TRADE.replace('"s":"BNBBTC",', ""),
        '{"stream":"bnbbtc@trade","data":{"p":"1","q":"1"}}',
        '{"u":4,"s":"BNBUSDT","b":"-1","B":"1","a":"25.36","A":"40.66"}',
        '{"u":4,"s":"BNBUSDT","b":"1","B":"x","a":"0","A":"40.66"}',
    ],
)
def test_bad_frames_are_parse_errors(frame: str) -> None:
    with pytest.raises(ParseError):
        BinanceParser().feed(frame, None)


def test_a_parse_error_shows_the_frame() -> None:
    with pytest.raises(ParseError) as raised:
        BinanceParser().feed(b'{"e":"trade"}', None)
    assert raised.value.excerpt == '{"e":"trade"}'


def test_a_message_without_a_symbol_takes_the_streams_or_the_one_given() -> None:
    nameless = TRADE.replace('"s":"BNBBTC",', "")
    combined = f'{{"stream":"ethusdt@trade","data":{nameless}}}'
    parser = BinanceParser("BTC-EUR")
    assert ticks(parser.feed(combined, None))[0][0] == "trade:binance:ETH-USDT"
    assert ticks(parser.feed(nameless, None))[0][0] == "trade:binance:BTC-EUR"
    assert ticks(parser.feed(TRADE, None))[0][0] == "trade:binance:BNB-BTC"


@pytest.mark.parametrize(
    ("native", "symbol"),
    [
        ("BTCUSDT", "BTC-USDT"),
        ("btcusdt", "BTC-USDT"),
        ("ETHBTC", "ETH-BTC"),
        ("BTCTUSD", "BTC-TUSD"),
        ("BTCFDUSD", "BTC-FDUSD"),
        ("TUSDUSDT", "TUSD-USDT"),
        ("BUSDUSDT", "BUSD-USDT"),
        ("USDTTRY", "USDT-TRY"),
        ("USDTUSD", "USDT-USD"),
        ("BNBBUSD", "BNB-BUSD"),
        ("BNBUSD", "BNB-USD"),
        ("ADAEUR", "ADA-EUR"),
        ("EURUSDT", "EUR-USDT"),
        ("BTCBIDR", "BTC-BIDR"),
        ("BNSOLSOL", "BNSOL-SOL"),
        ("1000SATSUSDT", "1000SATS-USDT"),
        ("USDCUSDT", "USDC-USDT"),
        ("AVAXUSDC", "AVAX-USDC"),
    ],
)
def test_native_names_are_cut_at_the_quote_asset(native: str, symbol: str) -> None:
    assert instrument(native).symbol == symbol


def test_names_that_are_spelled_out_agree_with_our_own_spelling() -> None:
    for symbol in ROW.symbols:
        pair = Instrument.parse(symbol)
        assert instrument(pair.base + pair.quote) == pair


def test_a_name_in_other_letters_is_no_symbol() -> None:
    with pytest.raises(InstrumentError):
        instrument("币安人生USDT")


def test_subscriptions_stand_in_the_url() -> None:
    wanted = [Subscription("trade", "BTC-USDT"), Subscription("quote", "ETH-BTC")]
    assert (
        ROW.connect_url("ws://127.0.0.1:1/", wanted)
        == "ws://127.0.0.1:1/stream?streams=btcusdt@trade/ethbtc@bookTicker&timeUnit=MICROSECOND"
    )
    assert not ROW.subscribe_frames(wanted)


def test_the_longest_url_stays_within_what_proxies_take() -> None:
    wanted = [Subscription("quote", "1000SATS-FDUSD")] * ROW.subscriptions_per_connection_max
    assert len(ROW.connect_url(ROW.url, wanted)) < 8_000


def test_channels_are_made_once_for_each_name() -> None:
    parser = BinanceParser()
    (first,), (second,) = parser.feed(TRADE, None), parser.feed(TRADE, None)
    assert isinstance(first, Tick)
    assert isinstance(second, Tick)
    assert first.channel is second.channel


def test_every_frame_of_the_fixture_is_json() -> None:
    assert all(isinstance(json.loads(frame), dict) for frame in frames("binance"))
