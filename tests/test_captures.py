"""All captured trades and quotes of our venues against a naive reading of the same files.

The naive reading knows nothing of ours: `json` with every number kept as text, one `if` a format.
"""

import gzip
import io
import json
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from feeds.decode import DONE, decode

Expected = dict[str, Any]

SYMBOLS = {
    # What the captures' joined names mean, written down by hand.
    "AAVEUPUSDT": "AAVEUP-USDT",
    "ADARUB": "ADA-RUB",
    "BLZETH": "BLZ-ETH",
    "BTCUSDT": "BTC-USDT",
    "BUSDTRY": "BUSD-TRY",
    "DOTUSDT": "DOT-USDT",
    "ETHUSDT": "ETH-USDT",
    "GTOBTC": "GTO-BTC",
    "LRCBTC": "LRC-BTC",
    "NKNUSDT": "NKN-USDT",
    "ONTTRY": "ONT-TRY",
    "PERLBNB": "PERL-BNB",
    "QSPBTC": "QSP-BTC",
    "SWRVBUSD": "SWRV-BUSD",
    "VETETH": "VET-ETH",
    "btcusd": "BTC-USD",
    "ltcusd": "LTC-USD",
    "bcheur": "BCH-EUR",
}
OPPOSITE = {"buy": "sell", "sell": "buy"}


def naive(text: str | bytes) -> Any:
    return json.loads(text, parse_float=str, parse_int=str)


def naive_us(text: str) -> int:
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * 1_000_000 + int((fraction + "000000")[:6])


def naive_binance(message: Any) -> Iterator[Expected]:
    event = message.get("data", message)
    symbol = SYMBOLS.get(event.get("s", ""))
    if event.get("e") in ("trade", "aggTrade"):
        yield {
            "ch": f"trade:binance:{symbol}",
            "px": event["p"],
            "sz": event["q"],
            "side": "sell" if event["m"] else "buy",
            "id": event["t" if event["e"] == "trade" else "a"],
            "t": int(event["T"] + "000"),
        }
    elif "bookTicker" in message.get("stream", ""):
        yield {
            "ch": f"quote:binance:{symbol}",
            "bid": event["b"],
            "ask": event["a"],
            "bid_sz": event["B"],
            "ask_sz": event["A"],
        } | ({"t": int(event["T"] + "000")} if "T" in event else {})


def naive_coinbase(message: Any) -> Iterator[Expected]:
    if message.get("type") in ("match", "last_match"):
        yield naive_match(message)
    elif message.get("type") == "ticker":
        yield {
            "ch": f"quote:coinbase:{message['product_id']}",
            "bid": message["best_bid"],
            "ask": message["best_ask"],
            "t": naive_us(message["time"]),
        }
    elif message.get("channel") == "market_trades":
        trades = [trade for event in message["events"] for trade in event["trades"]]
        yield from map(naive_match, sorted(trades, key=lambda trade: int(trade["trade_id"])))
    elif message.get("channel") == "ticker":
        for ticker in (ticker for event in message["events"] for ticker in event["tickers"]):
            yield {
                "ch": f"quote:coinbase:{ticker['product_id']}",
                "bid": ticker["best_bid"],
                "ask": ticker["best_ask"],
                "bid_sz": ticker["best_bid_quantity"],
                "ask_sz": ticker["best_ask_quantity"],
                "t": naive_us(message["timestamp"]),
            }


def naive_match(trade: Any) -> Expected:
    return {
        "ch": f"trade:coinbase:{trade['product_id']}",
        "px": trade["price"],
        "sz": trade["size"],
        "side": OPPOSITE[trade["side"].lower()],
        "id": trade["trade_id"],
        "t": naive_us(trade["time"]),
    }


def naive_kraken(message: Any) -> Iterator[Expected]:
    for item in message["data"] if message.get("channel") in ("trade", "ticker") else ():
        symbol = item["symbol"].replace("/", "-")
        if message["channel"] == "trade":
            yield {
                "ch": f"trade:kraken:{symbol}",
                "px": item["price"],
                "sz": item["qty"],
                "side": item["side"],
                "id": item["trade_id"],
                "t": naive_us(item["timestamp"]),
            }
        else:
            yield {
                "ch": f"quote:kraken:{symbol}",
                "bid": item["bid"],
                "ask": item["ask"],
                "bid_sz": item["bid_qty"],
                "ask_sz": item["ask_qty"],
                "t": naive_us(item["timestamp"]),
            }


def naive_bitstamp(message: Any) -> Iterator[Expected]:
    if message["event"] == "trade":
        data = message["data"]
        yield {
            "ch": "trade:bitstamp:" + SYMBOLS[message["channel"].removeprefix("live_trades_")],
            "px": data["price_str"],
            "sz": data["amount_str"],
            "side": "buy" if data["type"] == "0" else "sell",
            "id": data["id"],
            "t": int(data["microtimestamp"]),
        }


NAIVE = {
    "binance": naive_binance,
    "coinbase": naive_coinbase,
    "kraken": naive_kraken,
    "bitstamp": naive_bitstamp,
}


def decoded(venue: str, *files: Path) -> list[Expected]:
    out, err = io.BytesIO(), io.StringIO()
    assert decode(venue, [str(file) for file in files], None, out, err) == DONE, err.getvalue()
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("folder", "venue", "ticks"),
    [
        ("binance", "binance", 8_924),
        ("coinbase", "coinbase", 291),
        ("kraken_v2", "kraken", 3),
        ("bitstamp", "bitstamp", 16),
    ],
)
def test_every_captured_message_gives_what_a_naive_reading_gives(
    folder: str, venue: str, ticks: int, shared: Path
) -> None:
    files = sorted((shared / "captures" / folder).glob("*.jsonl"))
    expected = [
        tick
        for file in files
        for line in file.read_text("utf-8").splitlines()
        for tick in NAIVE[venue](naive(line))
    ]
    assert len(expected) == ticks
    assert decoded(venue, *files) == expected


@pytest.mark.parametrize("venue", ["binance", "coinbase", "bitstamp"])
def test_every_captured_session_gives_what_a_naive_reading_gives(venue: str, shared: Path) -> None:
    for file in sorted((shared / "captures" / "sessions" / venue).glob("*.gz")):
        expected = []
        for line in gzip.decompress(file.read_bytes()).splitlines():
            row = naive(line)
            if row["dir"] == "recv":
                received_us = int(Decimal(row["ts"]) * 1_000_000)
                expected += [
                    tick | {"rx": received_us} for tick in NAIVE[venue](naive(row["data"]))
                ]
        assert decoded(venue, file) == expected


def test_the_ten_minutes_of_binance_come_to_their_known_results(shared: Path) -> None:
    replay = shared / "replay"
    known = json.loads((replay / "EXPECTED.json").read_text())["spot_btcusdt"]
    ticks = decoded("binance", *(replay / file for file in known["files"]))
    trades = [tick for tick in ticks if tick["ch"] == "trade:binance:BTC-USDT"]
    quotes = [tick for tick in ticks if tick["ch"] == "quote:binance:BTC-USDT"]
    assert len(trades) == known["trades"] == known["messages"]["trade"]
    assert len(quotes) == known["messages"]["bookTicker"]
    assert len(trades) + len(quotes) == len(ticks)

    volume = sum(Decimal(trade["sz"]) for trade in trades)
    turnover = sum(Decimal(trade["px"]) * Decimal(trade["sz"]) for trade in trades)
    assert str(volume) == known["base_volume"]
    assert f"{turnover / volume:.8f}" == known["vwap"]
    assert max((trade["px"] for trade in trades), key=Decimal) == known["high"]
    assert min((trade["px"] for trade in trades), key=Decimal) == known["low"]

    ends = [[int(end["id"]), end["px"], end["t"] // 1_000] for end in (trades[0], trades[-1])]
    assert ends == [known["first_trade"], known["last_trade"]]
    ids = [int(trade["id"]) for trade in trades]
    assert ids == list(range(ids[0], ids[-1] + 1))
    last = known["last_bookTicker"]
    assert [quotes[-1][field] for field in ("bid", "bid_sz", "ask", "ask_sz")] == [
        last[field] for field in "bBaA"
    ]


def test_the_ten_minutes_lines_keep_their_receive_times(shared: Path) -> None:
    file = shared / "replay" / "spot_btcusdt_20240808.gz"
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    kept = [line for line in lines if re.search(r'@(trade|bookTicker)"', line)]
    assert [tick["rx"] for tick in decoded("binance", file)] == [
        int(line.partition(" ")[0]) // 1_000 for line in kept
    ]


def test_advanced_trades_sides_hit_the_quote_that_their_taker_would_take(shared: Path) -> None:
    """The evidence for which side Coinbase Advanced Trade names: see the comment in the parser."""
    (file,) = (shared / "captures" / "sessions" / "coinbase").glob("cf-v3-*.gz")
    bid, ask, compared = Decimal(0), Decimal("Infinity"), 0
    for tick in decoded("coinbase", file)[100:]:  # after the snapshot's trades, which have no quote
        if "bid" in tick:
            bid, ask = Decimal(tick["bid"]), Decimal(tick["ask"])
        elif bid:
            price = Decimal(tick["px"])
            assert price >= ask if tick["side"] == "buy" else price <= bid
            compared += 1
    assert compared > 20
