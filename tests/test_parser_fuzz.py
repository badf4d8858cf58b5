"""Any bytes or text at all into any parser: events or ParseError, nothing else.

And what comes out is sound: a channel that parses, digits that are digits, JSON that encodes.
"""

import json
from collections.abc import Callable
from itertools import chain, repeat
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.market import Channel, Quote, Tick, Trade
from feeds.market.digits import digits, positive
from feeds.venue import Answer, Confirmed, Leaving, ParseError, Refused, Torn
from feeds.venues import VENUES
from tests.captured import frames

FRAMES = {
    "binance": frames("binance"),
    "coinbase": frames("coinbase") + frames("coinbase", "advanced"),
    "kraken": frames("kraken") + frames("kraken", "book")[:3],
    "bitstamp": [
        *frames("bitstamp"),
        '{"data":{"microtimestamp":"1618677691471830","bids":[["60553.64","0.34"]],"asks":'
        '[["60560.10","0.005"]]},"channel":"order_book_btcusd","event":"data"}',
    ],
    "okx": [
        *frames("okx"),
        '{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"data":[{"asks":[["111.06","5","0","2"]],'
        '"bids":[["111.05","7","0","2"]],"ts":"1670324386802","seqId":363996337}]}',
        '{"event":"error","code":"60012","msg":"Invalid request","connId":"a4d3ae55"}',
    ],
}

# Literals put in the place of a value: wrong types, numbers that aren't any, absurd sizes, depth.
ODD = [
    *("null", "true", "0", "-1", "1e999", "-0.0", "NaN", "Infinity", "-Infinity", "01", "5e-8"),
    *("9" * 30, "9" * 5_000, "0." + "1" * 5_000, '""', '"-1"', '"NaN"', '"1e999"', '"٣"'),
    *('"' + "9" * 400 + '"', '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"BTC-USD\\n"'),
    *("{}", "[]", "[[]]", "[1,2,3]", '{"a":{"a":{}}}', "[" * 3_000, "[" * 3_000 + "]" * 3_000),
    *('{"a":' * 3_000 + "1" + "}" * 3_000, '"2026-08-09T21:05:48Z"', '"0001-01-01T00:00:00Z"'),
    *('"buy"', '"SELL"', "1618677691471830", '"1618677691471830"', "2", "\\", '"'),
]

any_text = st.text(st.characters(exclude_categories=()))
any_frame = st.binary() | any_text
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)


def check(venue: str, frame: str | bytes) -> None:
    """Raises where a parser does what it may not."""
    try:
        events = VENUES[venue].parser(None).feed(frame, 1_723_161_255_343_000_000)
    except ParseError:
        return
    for event in events:
        assert isinstance(event, Tick | Confirmed | Refused | Leaving | Torn | Answer)
        if isinstance(event, Tick):
            sound(event)


def sound(tick: Tick) -> None:
    assert Channel.parse(tick.channel.name) == tick.channel
    assert msgspec.json.decode(msgspec.json.encode(tick.payload))["rx"] == 1_723_161_255_343_000
    match tick.payload:
        case Trade(price, size, side, trade_id):
            assert positive(price) == price
            assert positive(size) == size
            assert side in ("buy", "sell")
            assert trade_id
        case Quote(bid, ask, bid_size, ask_size):
            assert positive(bid) == bid
            assert positive(ask) == ask
            assert all(digits(kept) == kept for kept in (bid_size, ask_size) if kept is not None)
        case other:
            raise AssertionError(f"no trade and no quote: {other}")
    venue_us = tick.payload.venue_us
    assert venue_us is None or 0 <= venue_us < 10**18


def written(value: object, odd: Callable[[], str | None]) -> str:
    """A value as JSON text; `odd` may put a literal in the place of any part of it, or, for a
    member of an object, leave it out or write it twice."""
    literal = odd()
    if literal is not None:
        return literal
    match value:
        case dict():
            members = [
                f"{json.dumps(key)}:{written(inner, odd)}"
                for key, inner in value.items()
                for _ in range({"{}": 0, "[]": 2}.get(odd() or "", 1))
            ]
            return "{" + ",".join(members) + "}"
        case list():
            return "[" + ",".join(written(inner, odd) for inner in value) + "]"
    return json.dumps(value)


@st.composite
def odd_frame(draw: st.DrawFn, venue: str) -> str:
    """A captured frame with odd literals in some places."""
    value = json.loads(draw(st.sampled_from(FRAMES[venue])))
    random = draw(st.randoms(use_true_random=False))
    share = draw(st.sampled_from([0.02, 0.1, 0.3]))
    return written(value, lambda: random.choice(ODD) if random.random() < share else None)


@pytest.mark.parametrize("venue", VENUES)
@settings(deadline=None)
@given(frame=any_frame)
def test_any_bytes_or_text_give_events_or_a_parse_error(venue: str, frame: str | bytes) -> None:
    check(venue, frame)


@pytest.mark.parametrize("venue", VENUES)
@settings(deadline=None)
@given(value=any_json)
def test_any_json_gives_events_or_a_parse_error(venue: str, value: object) -> None:
    check(venue, json.dumps(value))


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_captured_frames_with_odd_values_give_events_or_a_parse_error(
    venue: str, data: st.DataObject
) -> None:
    check(venue, data.draw(odd_frame(venue)))


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("odd", ODD)
def test_each_value_of_each_captured_frame_may_be_anything(venue: str, odd: str) -> None:
    for frame in FRAMES[venue]:
        value = json.loads(frame)
        for place in range(frame.count(":") + frame.count(",") + 1):
            answers = chain(repeat(None, place), [odd], repeat(None))
            check(venue, written(value, answers.__next__))


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("seed", [1, 2])
def test_captured_frames_with_broken_bytes_give_events_or_a_parse_error(
    venue: str, seed: int
) -> None:
    random = Random(f"{venue} {seed}")
    for _ in range(3_000):
        check(venue, broken(random.choice(FRAMES[venue]).encode(), random))


def broken(frame: bytes, random: Random) -> bytes:
    """A frame with one to three of its stretches replaced, repeated, cut out or cut off."""
    for _ in range(random.randint(1, 3)):
        start = random.randrange(len(frame) + 1)
        end = min(len(frame), start + random.choice([0, 1, 1, 2, 5, 40]))
        match random.randrange(4):
            case 0:
                frame = frame[:start] + random.randbytes(end - start) + frame[end:]
            case 1:
                frame = frame[:end] + frame[start:end] + frame[end:]
            case 2:
                frame = frame[:start] + random.choice(ODD).encode() + frame[end:]
            case _:
                frame = frame[:start] + frame[end:] if random.random() < 0.8 else frame[:start]
    return frame


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("depth", [100, 1_000, 100_000])
@pytest.mark.parametrize("unit", [("[", "]"), ('{"data":', "}"), ('{"a":[', "]}")])
def test_depth_is_a_parse_error_or_nothing(venue: str, depth: int, unit: tuple[str, str]) -> None:
    opening, closing = unit
    check(venue, opening * depth + "1" + closing * depth)
    check(venue, opening * depth)
