"""All captured spot trades of OKX against a naive reading, and none of them refused or missing."""

import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feeds.decode import BAD_LINES, decode
from feeds.venue import ParseError
from feeds.venues.okx import OkxParser
from tests.test_screen_captures import screened


def is_spot(native: str) -> bool:
    return native.count("-") == 1


def naive(line: str) -> Iterator[dict[str, Any]]:
    """The spot trades of one message."""
    message = json.loads(line)
    if message.get("arg", {}).get("channel") == "trades" and "data" in message:
        for trade in message["data"]:
            if is_spot(trade["instId"]):
                yield {
                    "ch": f"trade:okx:{trade['instId']}",
                    "px": trade["px"],
                    "sz": trade["sz"],
                    "side": trade["side"],
                    "id": trade["tradeId"],
                    "t": int(trade["ts"]) * 1_000,
                }


def decoded(*files: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Ticks, without when they were received, and what is said of lines that make no sense."""
    out, err = io.BytesIO(), io.StringIO()
    assert decode("okx", [str(file) for file in files], None, out, err) == BAD_LINES
    ticks = [json.loads(line) for line in out.getvalue().splitlines()]
    for tick in ticks:
        tick.pop("rx", None)
    return ticks, err.getvalue().splitlines()


def test_every_captured_spot_trade_gives_what_a_naive_reading_gives(shared: Path) -> None:
    files = sorted((shared / "captures" / "okx").glob("*trades.jsonl"))
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    expected = [tick for line in lines for tick in naive(line)]
    ticks, bad = decoded(*files)
    assert len(expected) == 97
    assert ticks == expected
    # The others are of contracts, and each is told.
    assert len(bad) == len(lines) - len(expected)
    assert all("contracts are not read" in one for one in bad)


@pytest.mark.parametrize("pattern", ["v5_books*.jsonl", "v5_tickers.jsonl"])
def test_captured_messages_of_channels_that_are_not_asked_for_give_nothing(
    pattern: str, shared: Path
) -> None:
    parser = OkxParser()
    for file in sorted((shared / "captures" / "okx").glob(pattern)):
        for line in file.read_text("utf-8").splitlines():
            assert not parser.feed(line, None)


@pytest.mark.parametrize("name", ["cf-OKEX.ws.1-906605d", "cf-v3-OKX.ws.1"])
def test_a_captured_session_of_version_5_gives_its_spot_trades(name: str, shared: Path) -> None:
    file = shared / "captures" / "sessions" / "okx" / f"{name}.jsonl.gz"
    rows = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    expected = [tick for row in rows if row["dir"] == "recv" for tick in naive(row["data"])]
    assert decoded(file)[0] == expected
    ticks, passed, missing, found = screened("okx", file)
    assert (ticks, passed, missing, found) == (len(expected), len(expected), 0, Counter())


def test_an_old_session_of_version_3_is_told_as_such(shared: Path) -> None:
    """Another protocol, in deflated frames: none of ours, and nothing is made of it."""
    parser, told = OkxParser(), 0
    for line in (shared / "captures" / "okx" / "v3_spot_trade.jsonl").read_text().splitlines():
        with pytest.raises(ParseError, match="no message of OKX's version 5"):
            parser.feed(line, None)
        told += 1
    assert told == 5
