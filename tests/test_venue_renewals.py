"""What each venue is sent to begin one subscription anew, and what it numbers."""

import json
from typing import Any

import pytest

from feeds.market import Quote, Tick
from feeds.venue import Subscription
from feeds.venues import VENUES
from tests.captured import frames

TRADES = Subscription("trade", "BTC-USD")
QUOTES = Subscription("quote", "BTC-USD")


@pytest.mark.parametrize(
    ("venue", "wanted", "frames"),
    [
        (
            "binance",
            TRADES,
            [
                {"method": "UNSUBSCRIBE", "params": ["btcusd@trade"], "id": 1},
                {"method": "SUBSCRIBE", "params": ["btcusd@trade"], "id": 2},
            ],
        ),
        (
            "coinbase",
            TRADES,
            [
                {"type": "unsubscribe", "product_ids": ["BTC-USD"], "channels": ["matches"]},
                {"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["matches"]},
            ],
        ),
        (
            "kraken",
            TRADES,
            [
                {"method": "unsubscribe", "params": {"channel": "trade", "symbol": ["BTC/USD"]}},
                {
                    "method": "subscribe",
                    "params": {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": False},
                },
            ],
        ),
        (
            "kraken",
            QUOTES,
            [
                {
                    "method": method,
                    "params": {"channel": "ticker", "symbol": ["BTC/USD"], "event_trigger": "bbo"},
                }
                for method in ("unsubscribe", "subscribe")
            ],
        ),
        (
            "bitstamp",
            QUOTES,
            [
                {"event": event, "data": {"channel": "order_book_btcusd"}}
                for event in ("bts:unsubscribe", "bts:subscribe")
            ],
        ),
        (
            "okx",
            QUOTES,
            [
                {"op": operation, "args": [{"channel": "bbo-tbt", "instId": "BTC-USD"}]}
                for operation in ("unsubscribe", "subscribe")
            ],
        ),
    ],
)
def test_one_subscription_is_ended_and_begun_anew(
    venue: str, wanted: Subscription, frames: list[Any]
) -> None:
    renew_frames = VENUES[venue].renew_frames
    assert renew_frames is not None
    assert [json.loads(frame) for frame in renew_frames(wanted)] == frames


@pytest.mark.parametrize(
    ("venue", "answer"),
    [
        ("binance", '{"result":null,"id":1}'),
        ("coinbase", '{"type":"subscriptions","channels":[]}'),
        ("kraken", '{"method":"unsubscribe","success":true,"result":{"channel":"trade"}}'),
        ("bitstamp", '{"event":"bts:unsubscription_succeeded","channel":"x","data":{}}'),
        ("okx", '{"event":"unsubscribe","arg":{"channel":"trades","instId":"BTC-USDT"}}'),
    ],
)
def test_the_answer_to_an_unsubscription_is_no_tick_and_no_fault(venue: str, answer: str) -> None:
    events = VENUES[venue].parser(None).feed(answer, None)
    assert not any(isinstance(event, Tick) for event in events)


@pytest.mark.parametrize(("venue", "field"), [("binance", "u"), ("coinbase", "sequence")])
def test_a_quote_has_the_venues_own_number(venue: str, field: str) -> None:
    parser, compared = VENUES[venue].parser(None), 0
    for frame in frames(venue):
        message = json.loads(frame)
        if not isinstance(message, dict):
            continue
        try:
            events = parser.feed(frame, None)
        except ValueError:
            continue
        for event in events:
            if isinstance(event, Tick) and isinstance(event.payload, Quote):
                assert event.sequence == message.get("data", message)[field]
                compared += 1
    assert compared > 0
