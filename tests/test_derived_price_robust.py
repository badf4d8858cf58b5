"""The consolidated price while venues fail, and over a day of real minutes."""

import zipfile
from collections.abc import Sequence
from fractions import Fraction
from itertools import count
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.derived.price import Consolidation
from feeds.derived.price_rule import Rule, differences, outcome
from feeds.derived.settings import PriceSettings
from feeds.market import Channel, Price, Quote, Tick, Vote

NOW_US = 1_763_632_800_000_000
SECOND_US = 1_000_000
MINUTES = Path(__file__).resolve().parents[2] / "shared" / "replay" / "lean_minute"


def quote(venue: str, bid: int, ask: int, at_us: int, symbol: str = "BTC-USD") -> Tick:
    """Prices in cents."""
    texts = [f"{cents // 100}.{cents % 100:02}" for cents in (bid, ask)]
    return Tick(Channel("quote", venue, symbol), Quote(*texts, received_us=at_us))


def told(ticks: Sequence[Tick]) -> Price:
    payload = ticks[-1].payload
    assert isinstance(payload, Price)
    assert differences(payload) == []
    return payload


def price_of(one: Price) -> tuple[Fraction, Fraction]:
    assert one.price is not None
    assert one.confidence is not None
    return Fraction(one.price), Fraction(one.confidence)


spreads = st.integers(1, 200)
offsets = st.integers(-300, 300)


@settings(max_examples=40)
@given(
    honest=st.lists(st.tuples(offsets, spreads), min_size=5, max_size=9),
    level=st.integers(500_000, 10_000_000),
    drift=st.integers(-300, 300),
    off=st.sampled_from([-1, 1]),
    flapping=st.lists(st.tuples(st.booleans(), offsets), min_size=1, max_size=12),
)
def test_with_a_frozen_a_wrong_and_a_flapping_venue_it_moves_within_its_confidence(
    honest: list[tuple[int, int]],
    level: int,
    drift: int,
    off: int,
    flapping: list[tuple[bool, int]],
) -> None:
    """Against the price of the honest venues alone, at every step.

    Exactly as much only where several votes are one and the same number.
    """
    at_us = NOW_US
    rule = PriceSettings(venues_min=3, interval_ms=0)
    alone, disturbed = Consolidation(rule), Consolidation(rule)
    disturbed.take([quote("frozen", level, level + 10, at_us)], at_us)
    for step, (is_there, offset) in enumerate(flapping):
        at_us += SECOND_US
        moved = level + drift * (step + 1) // len(flapping)
        good = [
            quote(f"honest{number}", moved + place, moved + place + spread, at_us)
            for number, (place, spread) in enumerate(honest)
        ]
        wrong = moved + off * moved // 10
        bad = [quote("wrong", wrong, wrong + 10, at_us)]
        if is_there:
            bad.append(quote("flapping", moved + offset, moved + offset + 10, at_us))
        undisturbed, _ = price_of(told(alone.take(good, at_us)))
        price, confidence = price_of(told(disturbed.take(good + bad, at_us)))
        assert abs(price - undisturbed) <= confidence
        # A tenth of the price is 500 and more: the wrong one widens nothing.
        assert confidence < 20


votes = st.lists(
    st.tuples(st.integers(1, 10**9), st.integers(0, 10**6), st.integers(0, 8)),
    min_size=1,
    max_size=9,
)


@settings(max_examples=40)
@given(rows=votes, floor_ppm=st.integers(1, 100_000))
def test_it_lies_among_the_venues_prices_and_its_confidence_is_positive(
    rows: list[tuple[int, int, int]], floor_ppm: int
) -> None:
    numbers = [
        (Fraction(price, 10**decimals), Fraction(half, 10**decimals))
        for price, half, decimals in rows
    ]
    made = tuple(
        Vote(f"v{at}", True, None, _text(price), _text(half), 0)
        for at, (price, half) in enumerate(numbers)
    )
    found = outcome(made, Rule(1, floor_ppm, 1_000))
    assert found is not None
    middles = [price for price, _ in numbers]
    assert min(middles) <= Fraction(found.price) <= max(middles)
    assert Fraction(found.confidence) > 0


def _text(number: Fraction) -> str:
    scaled = number * 10**8
    assert scaled.denominator == 1
    return f"{scaled.numerator // 10**8}.{scaled.numerator % 10**8:08}"


@settings(max_examples=40)
@given(rows=votes, order=st.randoms(use_true_random=False))
def test_the_order_of_the_votes_does_not_matter(
    rows: list[tuple[int, int, int]], order: object
) -> None:
    made = [
        Vote(f"v{at}", True, None, _text(Fraction(price, 10**digits)), _text(Fraction(half)), 0)
        for at, (price, half, digits) in enumerate(rows)
    ]
    before = outcome(made, Rule(1, 50, 1_000))
    order.shuffle(made)  # type: ignore[attr-defined]
    assert outcome(made, Rule(1, 50, 1_000)) == before


def minutes(name: str) -> dict[int, tuple[str, str]]:
    """Closing bid and ask of each minute, by the millisecond of the day."""
    with zipfile.ZipFile(MINUTES / f"{name}_20221213_quote.zip") as archive:
        rows = archive.read(archive.namelist()[0]).decode().split()
    cells = [row.split(",") for row in rows]
    return {int(cell[0]): (cell[4], cell[9]) for cell in cells if cell[4] and cell[9]}


@pytest.mark.skipif(not MINUTES.exists(), reason="needs the recordings of ../shared")
def test_over_a_volatile_day_it_stays_between_the_venues_bids_and_asks() -> None:
    # Contracts, each taken for a venue of its own: their minutes are those that have quotes. The
    # one quoted in USDT would need a rate: it is taken as a market of the same quote here.
    names = ("cryptofuture_binance_minute_btcusd", "cryptofuture_bybit_minute_btcusd",
             "cryptofuture_bybit_minute_btcusdt", "crypto_bybit_minute_btcusdt")  # fmt: skip
    quotes = {name: minutes(name) for name in names}
    one = Consolidation(PriceSettings(venues_min=2, age_max_ms=30_000))
    compared = 0
    for minute in range(1_440):
        there = {
            name: rows[minute * 60_000] for name, rows in quotes.items() if minute * 60_000 in rows
        }
        at_us = NOW_US + minute * 60 * SECOND_US
        ticks = [
            Tick(Channel("quote", name, "BTC-USD"), Quote(bid, ask, received_us=at_us))
            for name, (bid, ask) in there.items()
        ]
        payload = told(one.take(ticks, at_us) or one.wake(at_us)) if len(there) > 1 else None
        if payload is None:
            continue
        price, _ = price_of(payload)
        assert payload.voters == len(there)
        bids, asks = zip(*there.values(), strict=True)
        assert min(map(Fraction, bids)) <= price <= max(map(Fraction, asks))
        compared += 1
    assert compared > 400


def test_a_recorded_message_can_be_checked_by_whoever_reads_it() -> None:
    numbers = count(100)
    one = Consolidation(PriceSettings(venues_min=1))
    ticks = [quote(venue, next(numbers), 200, NOW_US) for venue in ("a", "b", "c")]
    sent = msgspec.json.encode(told(one.take(ticks, NOW_US)))
    # As a recorder has it: with what the bus and the gateway add.
    recorded = b'{"ch":"price:agg:BTC-USD","seq":7,' + sent[1:-1] + b',"tx":1,"gw":2}'
    assert differences(msgspec.json.decode(recorded, type=Price)) == []
    changed = recorded.replace(b'"px":"1.', b'"px":"2.', 1)
    assert changed != recorded
    assert differences(msgspec.json.decode(changed, type=Price)) != []
