"""Kraken's book against a naive one, and against the checksums that Kraken itself sent."""

import contextlib
import gzip
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.market import Channel, Quote, Tick
from feeds.venue import Event, ParseError, Torn
from feeds.venues.kraken import KrakenParser
from feeds.venues.kraken_book import DEPTH, KrakenBook, Level
from tests.captured import RECEIVED_NS, frames, ticks
from tests.test_parser_fuzz import broken, sound

Levels = list[Level]

BTC = "quote:kraken:BTC-USD"

# The example of https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2
EXAMPLE_BIDS = (
    "45283.5 0.10000000, 45283.4 1.54582015, 45282.1 0.10000000, 45281.0 0.10000000,"
    " 45280.3 1.54592586, 45279.0 0.07990000, 45277.6 0.03310103, 45277.5 0.30000000,"
    " 45277.3 1.54602737, 45276.6 0.15445238"
)
EXAMPLE_ASKS = (
    "45285.2 0.00100000, 45286.4 1.54571953, 45286.6 1.54571109, 45289.6 1.54560911,"
    " 45290.2 0.15890660, 45291.8 1.54553491, 45294.7 0.04454749, 45296.1 0.35380000,"
    " 45297.5 0.09945542, 45299.5 0.18772827"
)
EXAMPLE_CHECKSUM = 3310070434

BOOK = frames("kraken", "book")
CONNECTION = BOOK[:41]
"""BTC/USD, as it came: a snapshot and what followed."""


def levels(text: str) -> Levels:
    return [Level(*one.split()) for one in text.split(",")] if text else []


class NaiveBook:
    """Both sides as dicts; sorted, cut and summed anew each time."""

    def __init__(self, depth: int = DEPTH) -> None:
        self.sides: tuple[dict[Decimal, Level], dict[Decimal, Level]] = ({}, {})
        self._depth = depth

    def change(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        for side, told in zip(self.sides, (bids, asks), strict=True):
            for level in told:
                side.pop(Decimal(level.price), None)
                if Decimal(level.size):
                    side[Decimal(level.price)] = level
        for side, kept in zip(self.sides, self.sorted(), strict=True):
            for level in set(side.values()).difference(kept[: self._depth]):
                del side[Decimal(level.price)]

    def sorted(self) -> tuple[Levels, Levels]:
        bids, asks = self.sides
        return [bids[price] for price in sorted(bids, reverse=True)], [
            asks[price] for price in sorted(asks)
        ]

    @property
    def checksum(self) -> int:
        bids, asks = self.sorted()
        text = "".join(
            number.replace(".", "").lstrip("0") for one in asks[:10] + bids[:10] for number in one
        )
        return crc32(text.encode())

    @property
    def is_crossed(self) -> bool:
        bids, asks = self.sides
        return bool(bids and asks) and max(bids) > min(asks)


a_size = st.sampled_from(["0.00000", "0.50000", "12.00000", "382506.65119"])
prices = {
    "bids": st.integers(9_960, 10_002).map(lambda ticks: f"{ticks // 1_000}.{ticks % 1_000:03}"),
    "asks": st.integers(9_998, 10_040).map(lambda ticks: f"{ticks // 1_000}.{ticks % 1_000:03}"),
}
sides = {
    name: st.lists(st.builds(Level, price, a_size), max_size=12) for name, price in prices.items()
}
changes = st.lists(st.tuples(sides["bids"], sides["asks"]), max_size=8)


@settings(max_examples=60)
@given(snapshot=st.tuples(sides["bids"], sides["asks"]), changes=changes)
def test_whatever_changes_it_is_the_naive_book(
    snapshot: tuple[Levels, Levels], changes: list[tuple[Levels, Levels]]
) -> None:
    book, model = KrakenBook(), NaiveBook()
    for take, (bids, asks) in zip(
        [book.begin, *[book.change] * len(changes)], [snapshot, *changes], strict=True
    ):
        model.change(bids, asks)
        fault = take(bids, asks, model.checksum)
        if model.is_crossed:
            assert fault == "has bids above its asks"
            assert book.best is None
            return
        assert fault is None
        assert (book.bids.levels, book.asks.levels) == model.sorted()
        both = all(model.sides)
        assert book.best == (tuple(side[0] for side in model.sorted()) if both else None)


@settings(max_examples=60)
@given(snapshot=st.tuples(sides["bids"], sides["asks"]), off=st.integers(1, 2**32 - 1))
def test_any_other_checksum_tears_it(snapshot: tuple[Levels, Levels], off: int) -> None:
    book, model = KrakenBook(), NaiveBook()
    model.change(*snapshot)
    assert book.begin(*snapshot, (model.checksum + off) % 2**32) == "fails its checksum"
    assert book.best is None
    assert not book.is_whole


def test_the_documented_example_has_the_documented_checksum() -> None:
    book = KrakenBook()
    assert book.begin(levels(EXAMPLE_BIDS), levels(EXAMPLE_ASKS), EXAMPLE_CHECKSUM) is None
    assert book.best == (Level("45283.5", "0.10000000"), Level("45285.2", "0.00100000"))


@pytest.mark.parametrize(
    ("digits", "others"), [("0.10000000", "0.1"), ("45281.0", "45281"), ("45281.0", "45281.00")]
)
def test_a_zero_more_or_less_at_the_end_is_another_checksum(digits: str, others: str) -> None:
    bids = levels(EXAMPLE_BIDS.replace(digits, others))
    assert KrakenBook().begin(bids, levels(EXAMPLE_ASKS), EXAMPLE_CHECKSUM) is not None


def test_what_falls_out_of_its_depth_is_forgotten_after_the_whole_message() -> None:
    book, model = KrakenBook(2), NaiveBook(2)
    bids, asks = levels("9 1,8 1"), levels("10 1,11 1")
    model.change(bids, asks)
    assert book.begin(bids, asks, model.checksum) is None
    # The newest best one comes first, the one that it takes the place of later.
    for change in ("9.5 1,9 0", "9.7 1", "9.7 0,9 3"):
        model.change(levels(change), [])
        assert book.change(levels(change), [], model.checksum) is None
        assert book.bids.levels == model.sorted()[0]
    assert book.bids.levels == levels("9.5 1,9 3")


def test_a_torn_book_says_so_once_and_ignores_all_until_its_next_snapshot() -> None:
    book, bids, asks = KrakenBook(), levels(EXAMPLE_BIDS), levels(EXAMPLE_ASKS)
    assert book.change(bids, asks, EXAMPLE_CHECKSUM) == "was changed before its snapshot"
    assert book.change(bids, asks, EXAMPLE_CHECKSUM) is None
    assert book.best is None
    assert book.begin(bids, asks, EXAMPLE_CHECKSUM) is None
    assert book.best is not None
    assert book.change([Level("45283.5", "9.00000000")], [], EXAMPLE_CHECKSUM) is not None
    assert book.change([Level("45283.5", "0.10000000")], [], EXAMPLE_CHECKSUM) is None
    assert book.best is None
    assert book.begin(bids, asks, EXAMPLE_CHECKSUM + 1) == "fails its checksum"


def test_what_kraken_sent_is_proven_by_each_of_its_checksums() -> None:
    """Two connections of 2024 and 2026: 43 checksums."""
    parser, events = KrakenParser(), list[Event]()
    for frame in BOOK:
        events += parser.feed(frame, RECEIVED_NS)
    assert [tick[:6] for tick in ticks(events)] == [
        (BTC, "64525.0", "64525.1", "0.53807066", "0.01077490", 1784483679753424),
        (BTC, "64525.0", "64525.1", "2.27338366", "0.01077490", 1784483681299347),
        (BTC, "64525.0", "64525.1", "2.44740410", "0.01077490", 1784483681305590),
        (BTC, "64525.0", "64525.1", "2.47836385", "0.01077490", 1784483681509015),
        ("quote:kraken:ALGO-USD", "0.12291", "0.12307", "27039.62776299", "600.00000000", None),
    ]


UNDONE = {1, 13, 16, 19, 38, 39}
"""Each set a level that the next one took away again: without it the book is the same."""


@pytest.mark.parametrize("lost", range(1, len(CONNECTION) - 1))
def test_a_lost_update_tears_the_book_at_the_next_one_or_was_undone_by_it(lost: int) -> None:
    whole, parser = KrakenParser(), KrakenParser()
    expected = [list(whole.feed(frame, None)) for frame in CONNECTION]
    torn = [] if lost in UNDONE else [Torn(Channel.parse(BTC), "fails its checksum")]
    nothing_more: list[list[Event]] = [[] for _ in CONNECTION[lost + 2 :]]
    followed_by = expected[lost + 1 :] if lost in UNDONE else [torn, *nothing_more]
    found = [list(parser.feed(frame, None)) for frame in CONNECTION[:lost] + CONNECTION[lost + 1 :]]
    assert found == expected[:lost] + followed_by


def test_one_digit_changed_on_the_way_tears_the_book_and_a_snapshot_mends_it() -> None:
    parser = KrakenParser()
    parser.feed(CONNECTION[0], None)
    changed = CONNECTION[1].replace("0.00309336", "0.00309337")
    assert parser.feed(changed, None) == [Torn(Channel.parse(BTC), "fails its checksum")]
    assert parser.feed(CONNECTION[2], None) == []
    (tick,) = parser.feed(CONNECTION[0], None)
    assert isinstance(tick, Tick)
    assert isinstance(tick.payload, Quote)
    assert (tick.payload.bid, tick.payload.ask) == ("64525.0", "64525.1")


def test_books_of_pairs_beside_a_torn_one_go_on() -> None:
    parser = KrakenParser()
    parser.feed(CONNECTION[0], None)
    algo = frames("kraken", "book")[41:]
    parser.feed(CONNECTION[1].replace("64525.3", "64525.4"), None)
    assert [type(event) for frame in algo for event in parser.feed(frame, None)] == [Tick]


def a_book(bids: str, asks: str, *, kind: str = "snapshot") -> str:
    model = NaiveBook()
    model.change(levels(bids), levels(asks))
    told = {
        name: [{"price": price, "qty": size} for price, size in levels(text)]
        for name, text in (("bids", bids), ("asks", asks))
    }
    entry = told | {"symbol": "BTC/USD", "checksum": model.checksum}
    return json.dumps({"channel": "book", "type": kind, "data": [entry]})


@pytest.mark.parametrize(("bids", "asks"), [("", "10 1"), ("9 1", ""), ("", "")])
def test_a_book_with_an_empty_side_is_no_quote_and_no_error(bids: str, asks: str) -> None:
    assert list(KrakenParser().feed(a_book(bids, asks), None)) == []


def test_bid_and_ask_at_one_price_are_a_quote_and_a_bid_above_is_none() -> None:
    (tick,) = KrakenParser().feed(a_book("10.0 1", "10.0 1"), None)
    assert isinstance(tick, Tick)
    torn = Torn(Channel.parse(BTC), "has bids above its asks")
    assert KrakenParser().feed(a_book("10.1 1", "10.0 1"), None) == [torn]


def test_a_frame_that_can_not_be_read_changes_no_book() -> None:
    parser = KrakenParser()
    parser.feed(CONNECTION[0], None)
    for old, new in [
        ("0.00309336", "NaN"),
        ("0.00309336", "-1"),
        ("64525.3", "0"),
        ('"update"', '"change"'),
        ("2026-07-19T17", "yesterday"),
        ("1848203113", '"1848203113"'),
    ]:
        with pytest.raises(ParseError):
            parser.feed(CONNECTION[1].replace(old, new), None)
    assert list(parser.feed(CONNECTION[1], None)) == []


@pytest.mark.parametrize("seed", range(4))
def test_broken_frames_one_after_the_other_give_sound_events_or_a_parse_error(seed: int) -> None:
    parser, random, passed = KrakenParser(), Random(seed), 0
    for _ in range(1_000):
        frame = random.choice(CONNECTION[:8]).encode()
        with contextlib.suppress(ParseError):
            for event in parser.feed(frame, RECEIVED_NS):
                assert isinstance(event, Tick | Torn)
            for event in parser.feed(broken(frame, random), RECEIVED_NS):
                if isinstance(event, Tick):
                    sound(event)
                    passed += 1
    assert passed > 0


def v1_books(messages: Iterator[Any]) -> Iterator[tuple[str, str | None]]:
    """Kraken's version 1 says the same in other words: what is wrong with each checked change."""
    books: dict[str, KrakenBook] = {}
    for message in messages:
        if not isinstance(message, list) or not str(message[-2]).startswith("book"):
            continue
        pair, parts = (
            message[-1],
            {name: told for part in message[1:-2] for name, told in part.items()},
        )
        told = {
            name: [Level(price, size) for price, size, *_ in parts.get(name, [])]
            for name in ("as", "bs", "a", "b")
        }
        if "c" in parts:
            yield pair, books[pair].change(told["b"], told["a"], int(parts["c"]))
            continue
        # Its snapshots have no checksum: it is made of another book.
        model, depth = NaiveBook(1_000), int(message[-2].partition("-")[2])
        model.change(told["bs"], told["as"])
        books[pair] = KrakenBook(depth)
        assert books[pair].begin(told["bs"], told["as"], model.checksum) is None


def test_thousands_of_captured_checksums_prove_the_book(shared: Path) -> None:
    file = shared / "captures" / "sessions" / "kraken" / "cf-v3-KRAKEN.ws.50.jsonl.gz"
    rows = (json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines())
    faults = list(v1_books(json.loads(row["data"]) for row in rows if row["dir"] == "recv"))
    assert len(faults) == 4_269
    assert len({pair for pair, _ in faults}) == 10
    assert {fault for _, fault in faults} == {None}
