"""OKX version 5: digits as they stand on the wire, answers and notices, and what is asked of it.

Quotes, errors and notices are after https://www.okx.com/docs-v5/en/: nobody captured them for us.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.market import Tick
from feeds.venue import Confirmed, Leaving, ParseError, Refused, Subscription
from feeds.venue_feed import shares
from feeds.venues import VENUES
from feeds.venues.okx import REQUESTS_PER_HOUR_MAX, OkxParser, instrument
from feeds.watching.watch import RENEWAL_FIRST_S, RENEWAL_MAX_S
from tests.captured import RECEIVED_NS, frames, ticks, told

ROW = VENUES["okx"]

TRADE = frames("okx")[2]
AGGREGATED = frames("okx")[7]
QUOTE = (
    '{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"data":[{"asks":[["84000.1","0.25","0","3"]],'
    '"bids":[["84000","1.5","0","12"]],"ts":"1791369376364","seqId":82083114838}]}'
)

CAPTURED = [
    ["trade:okx:BTC-USDT 30236 0.0002 buy 338476307 1652459224818000"],
    ["trade:okx:BTC-USDT 30243.5 0.001 buy 338476308 1652459226050000"],
    ["trade:okx:BTC-USDT 30243.5 0.0002 buy 338476309 1652459226050000"],
    ["trade:okx:BTC-USDT 30243.5 0.00684062 buy 338476310 1652459226050000"],
    ["trade:okx:FUN-BTC 0.000000454 11.83 sell 3435655 1626995753055000"],
    ["trade:okx:PAY-BTC 0.00000138 2351.35 sell 6071311 1626995751369000"],
    ["trade:okx:BTC-USD 42219.9 0.12060306 buy 130639474 1630048897897000"],
    [],  # tickers
]


def only_tick(frame: str) -> Tick:
    (event,) = OkxParser().feed(frame, None)
    assert isinstance(event, Tick)
    return event


@pytest.mark.parametrize(("frame", "expected"), list(zip(frames("okx")[1:], CAPTURED, strict=True)))
def test_captured_frames_give_their_values_as_text_and_as_bytes(
    frame: str, expected: list[str]
) -> None:
    parser = OkxParser()
    assert told(parser.feed(frame, RECEIVED_NS)) == expected
    assert told(parser.feed(frame.encode(), RECEIVED_NS)) == expected


def test_a_quote_has_both_sides_the_venues_time_and_its_number() -> None:
    assert told(OkxParser().feed(QUOTE, RECEIVED_NS)) == [
        "quote:okx:BTC-USDT 84000 84000.1 1.5 0.25 1791369376364000"
    ]
    assert only_tick(QUOTE).sequence == 82083114838


def test_a_trade_of_several_fills_says_how_many() -> None:
    assert only_tick(AGGREGATED).fills == 3
    assert only_tick(TRADE).fills == 1


def test_trades_of_one_message_come_in_the_order_of_their_ids() -> None:
    message = json.loads(TRADE)
    message["data"] = [message["data"][0] | {"tradeId": id_} for id_ in ("1000", "999", "998")]
    found = ticks(OkxParser().feed(json.dumps(message), None))
    assert [tick[4] for tick in found] == ["998", "999", "1000"]


@pytest.mark.parametrize("side", ['[["84000.1","0.25","0","3"]]', '[["84000","1.5","0","12"]]'])
def test_a_book_with_an_empty_side_is_no_quote_and_no_error(side: str) -> None:
    assert not OkxParser().feed(QUOTE.replace(side, "[]"), None)


def test_a_level_may_have_more_or_fewer_of_the_elements_that_mean_nothing_to_us() -> None:
    short = QUOTE.replace(',"0","3"', "").replace('"12"', '"12","new"')
    assert told(OkxParser().feed(short, RECEIVED_NS)) == told(OkxParser().feed(QUOTE, RECEIVED_NS))


@pytest.mark.parametrize(
    ("frame", "event"),
    [
        (frames("okx")[0], Confirmed()),
        (
            '{"event":"notice","code":"64008","msg":"The connection will soon be closed for a'
            ' service upgrade. Please reconnect.","connId":"a4d3ae55"}',
            Leaving("a service upgrade, code 64008"),
        ),
        (
            '{"event":"error","code":"60018","msg":"Wrong URL or channel:trades,instId:NO-USDT'
            " doesn't exist. Please use the correct URL, channel and parameters referring to API"
            ' document.","connId":"a4d3ae55"}',
            Refused("Wrong URL or channel:trades,instId:NO-USDT doesn't exist (code 60018)"),
        ),
        (
            '{"event":"error","arg":{"channel":"bbo-tbt","instId":"NO-USDT"},"code":"60018"}',
            Refused("bbo-tbt NO-USDT: no reason given (code 60018)"),
        ),
        ('{"event":"error","msg":"Please log in"}', Refused("Please log in (code unknown)")),
    ],
)
def test_answers_and_announcements(frame: str, event: object) -> None:
    assert list(OkxParser().feed(frame, None)) == [event]


@pytest.mark.parametrize(
    "frame",
    [
        "pong",
        '{"event":"unsubscribe","arg":{"channel":"trades","instId":"BTC-USDT"},"connId":"a"}',
        '{"event":"notice","code":"64999","msg":"something else","connId":"a"}',
        '{"event":"channel-conn-count","channel":"trades","connCount":"2","connId":"a"}',
        QUOTE.replace("bbo-tbt", "books5"),
        TRADE.replace('"channel":"trades"', '"channel":"trades-all"'),
    ],
)
def test_what_is_neither_trade_nor_quote_gives_nothing(frame: str) -> None:
    assert not OkxParser().feed(frame, None)
    assert not OkxParser().feed(frame.encode(), None)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "ping",
        "{}",
        "[]",
        '{"event":"trade","channel":"live_trades_btcusd","data":{}}',
        '{"table":"spot/trade","data":[{"instrument_id":"BTC-USDT"}]}',
        '{"arg":{"channel":"trades","instId":"BTC-USDT"}}',
        TRADE.replace('"30243.5"', '"0"'),
        TRADE.replace('"30243.5"', '"-1"'),
        TRADE.replace('"0.001"', '"NaN"'),
        TRADE.replace('"buy"', '"BUY"'),
        TRADE.replace('"338476308"', '""'),
        TRADE.replace('"1652459226050"', '"1652459226.05"'),
        TRADE.replace('"1652459226050"', '"165245922605000"'),
        TRADE.replace("BTC-USDT", ""),
        AGGREGATED.replace('"3"', '"0"'),
        AGGREGATED.replace('"3"', '"-3"'),
        AGGREGATED.replace('"3"', '"three"'),
        AGGREGATED.replace('"3"', '"' + "9" * 400 + '"'),
        QUOTE.replace('"84000.1"', '"x"'),
        QUOTE.replace("82083114838", "-1"),
        QUOTE.replace('[["84000","1.5","0","12"]]', '[["84000"]]'),
    ],
)
def test_bad_frames_are_parse_errors(frame: str) -> None:
    assert frame != TRADE
    with pytest.raises(ParseError):
        OkxParser().feed(frame, None)


@pytest.mark.parametrize("contract", ["BTC-USDT-SWAP", "BTC-USD-220527", "BTC-USD-210924-66000-C"])
def test_contracts_are_refused_for_their_sizes_are_no_amounts_of_the_asset(contract: str) -> None:
    with pytest.raises(ParseError, match=f"contracts are not read: '{contract}'"):
        OkxParser().feed(TRADE.replace("BTC-USDT", contract), None)


def test_a_message_without_a_symbol_takes_the_one_given() -> None:
    frame = TRADE.replace("BTC-USDT", "")
    assert ticks(OkxParser("ETH-USDT").feed(frame, None))[0][0] == "trade:okx:ETH-USDT"


@pytest.mark.parametrize("native", ["BTC-USDT", "BTC-USDC", "ETH-BTC", "USDT-USD", "1INCH-USDT"])
def test_spot_names_are_ours_already_and_keep_their_quote_currency(native: str) -> None:
    assert instrument(native).symbol == native
    assert json.loads(ROW.subscribe_frames([Subscription("trade", native)])[0])["args"] == [
        {"channel": "trades", "instId": native}
    ]


SYMBOLS = st.from_regex(r"\A[A-Z0-9]{1,12}-[A-Z0-9]{1,19}\Z")
WANTED = st.lists(
    st.builds(Subscription, st.sampled_from(ROW.kinds), SYMBOLS), max_size=200, unique=True
)


@given(WANTED)
def test_all_is_asked_for_once_in_requests_that_okx_takes(wanted: list[Subscription]) -> None:
    channels = {"trade": "trades", "quote": "bbo-tbt"}
    requests = ROW.subscribe_frames(wanted)
    asked = [one for request in requests for one in json.loads(request)["args"]]
    assert asked == [{"channel": channels[one.kind], "instId": one.symbol} for one in wanted]
    assert all(len(request) <= 4_096 for request in requests)


def test_asking_again_for_all_that_a_connection_has_stays_within_an_hours_requests() -> None:
    """However many of its channels die, and however long they stay dead."""
    wanted = [Subscription("quote", f"A{number}-USDT") for number in range(1_000)]
    largest = shares(wanted, ROW.subscriptions_per_connection_max)[0]
    assert ROW.renew_frames is not None
    requests, at_s, pause_s = len(ROW.subscribe_frames(largest)), 0.0, RENEWAL_FIRST_S
    while at_s < 3_600.0:
        requests += sum(len(ROW.renew_frames(one)) for one in largest)
        at_s, pause_s = at_s + pause_s, min(2 * pause_s, RENEWAL_MAX_S)
    assert requests <= REQUESTS_PER_HOUR_MAX


def test_sockets_are_opened_no_faster_than_three_a_second_and_pinged_in_time() -> None:
    assert 3 * ROW.subscribe_pace_s > 1.0
    assert ROW.ping_frame == "ping"
    assert 2 * ROW.ping_interval_s < ROW.silence_limit_s < 30.0
