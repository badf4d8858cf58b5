"""One price of many venues: Pyth's own vectors, who may vote, and that a message can be checked."""

from pathlib import Path

import msgspec
import pytest

from feeds.derived.derivation import Derivation
from feeds.derived.median import Ballot, Median, median
from feeds.derived.price import PRICE
from feeds.derived.price_rule import differences
from feeds.derived.settings import DerivedSettings, PriceSettings
from feeds.market import Channel, Price, Quote, Status, Tick, Vote

SECOND_US = 1_000_000
NOW_US = 1_763_632_800_000_000
VECTORS = Path(__file__).resolve().parents[2] / "shared" / "pyth_vectors"

# Facts of pyth-network/pyth-client, program/rust/test_data/aggregation (Apache-2.0): 1, 7, 9, 27,
# 31 and 39. Each voter's price and confidence; the price and confidence that they come to.
KNOWN = [
    ([(10000, 1000)] * 3, (10000, 1000)),
    ([(100000, 10), (100000, 10), (1000000, 10)], (100010, 899980)),
    ([(10000, 10), (10020, 10), (11000, 10), (11020, 10)], (10510, 500)),
    ([(100000, 10)] * 5 + [(101000, 10)] * 5 + [(100500, 1)], (100500, 500)),
    (
        [
            (4329605500000, 1486500000),
            (4325720000000, 1290000000),
            (43254, 1),
            (4329150000000, 1500000000),
            (4329999999999, 3999999999),
            (4331609000000, 2422000000),
            (4329198852938, 3044669090),
            (0, 200000000),
            (4327900000000, 2000000000),
            (4332090000000, 1000000),
        ],
        (4328634500000, 2914500000),
    ),
    ([(21000000, 100000), (209900000, 1000000)], (115000000, 94900000)),
]


class PythQuote(msgspec.Struct):
    price: int
    conf: int
    status: int


class PythInput(msgspec.Struct):
    exponent: int
    quotes: list[PythQuote]


class PythResult(msgspec.Struct):
    exponent: int
    price: int
    conf: int
    status: str


def quote(venue: str, bid: str, ask: str, at_us: int = NOW_US, symbol: str = "BTC-USD") -> Tick:
    return Tick(Channel("quote", venue, symbol), Quote(bid, ask, received_us=at_us))


def status(venue: str, state: str) -> Tick:
    payload = msgspec.convert({"state": state, "since": NOW_US}, Status)
    return Tick(Channel("status", venue, "VENUE"), payload)


def derivation(**settings: object) -> Derivation:
    chosen = msgspec.convert(settings, PriceSettings)
    return PRICE.make(DerivedSettings(price=chosen))


def prices(ticks: list[Tick], symbol: str = "BTC-USD") -> list[Price]:
    channel = Channel("price", "agg", symbol)
    found = [tick.payload for tick in ticks if tick.channel == channel]
    assert all(isinstance(payload, Price) and differences(payload) == [] for payload in found)
    return [payload for payload in found if isinstance(payload, Price)]


def price(ticks: list[Tick], symbol: str = "BTC-USD") -> Price:
    (one,) = prices(ticks, symbol)
    return one


def reasons(one: Price) -> dict[str, str | None]:
    return {f"{vote.venue} {vote.symbol or ''}".strip(): vote.out for vote in one.votes}


@pytest.mark.parametrize(("ballots", "expected"), KNOWN)
def test_known_votes_come_to_the_known_price(
    ballots: list[tuple[int, int]], expected: tuple[int, int]
) -> None:
    assert median(Ballot(*each) for each in ballots) == Median(*expected)


@pytest.mark.parametrize(
    "path", sorted(VECTORS.glob("*.json"), key=lambda path: int(path.stem)), ids=lambda p: p.stem
)
def test_each_of_pyths_vectors_comes_out_bit_for_bit(path: Path) -> None:
    given = msgspec.json.decode(path.read_bytes(), type=PythInput)
    expected = msgspec.json.decode(path.with_suffix(".result").read_bytes(), type=PythResult)
    trading = [Ballot(one.price, one.conf) for one in given.quotes if one.status == 1]
    found = median(ballot for ballot in trading if ballot.is_valid)
    assert given.exponent == expected.exponent
    assert found == (
        Median(expected.price, expected.conf) if expected.status == "trading" else None
    )


@pytest.mark.parametrize(
    ("ballot", "valid"),
    [
        (Ballot(0, 1), True),
        (Ballot(1, 0), False),
        (Ballot(1, -1), False),
        (Ballot(2**63 - 2, 1), True),
        (Ballot(2**63 - 1, 1), False),
        (Ballot(-(2**63) + 1, 1), True),
        (Ballot(-(2**63), 1), False),
    ],
)
def test_a_ballot_that_64_bits_cannot_hold_is_not_valid(ballot: Ballot, *, valid: bool) -> None:
    assert ballot.is_valid is valid


def test_nobodys_votes_come_to_nothing() -> None:
    assert median([]) is None


def test_the_mean_of_two_votes_is_rounded_down_also_below_zero() -> None:
    assert median([Ballot(-3, 1), Ballot(0, 1)]) == Median(-2, 2)


def test_a_message_says_what_each_venue_contributed() -> None:
    one = derivation(venues_min=2, floor_ppm=50)
    ticks = [
        quote("kraken", "100.10", "100.30", NOW_US - 7_000),
        quote("coinbase", "100.2", "100.20"),
        quote("bitstamp", "101", "100"),
    ]
    told = price(one.take(ticks, NOW_US))
    # kraken 100.2 +- 0.1, coinbase 100.2 +- the floor of 0.00501
    assert (told.price, told.confidence) == ("100.2", "0.00501")
    assert (told.state, told.method, told.version, told.voters) == ("live", "median-v1", 1, 2)
    assert told.votes == (
        Vote("bitstamp", False, "crossed", "100.5", "-0.5", 0),
        Vote("coinbase", True, None, "100.2", "0", 0),
        Vote("kraken", True, None, "100.2", "0.1", 7),
    )
    assert msgspec.json.decode(msgspec.json.encode(told), type=Price) == told


def test_no_payload_uses_a_name_that_the_gateway_reserves() -> None:
    told = price(derivation(venues_min=1).take([quote("kraken", "1", "2")], NOW_US))
    reserved = {"ch", "seq", "gw", "n", "type", "tx"}
    assert reserved.isdisjoint(msgspec.json.decode(msgspec.json.encode(told)))


def test_too_few_venues_give_no_price_and_a_reason() -> None:
    told = price(derivation(venues_min=2).take([quote("kraken", "100", "101")], NOW_US))
    assert (told.state, told.price, told.confidence) == ("waiting", None, None)
    assert told.why == "1 of at least 2 venues vote; no more than 1 quote it"


def test_old_quotes_give_no_price_instead_of_an_old_one() -> None:
    one = derivation(venues_min=2, age_max_ms=10_000)
    assert one.take([quote("kraken", "100", "101"), quote("coinbase", "100", "101")], NOW_US)
    told = price(one.wake(NOW_US + 10_001_000))
    assert (told.state, told.price) == ("stale", None)
    assert told.why == "0 of at least 2 venues vote: coinbase stale, kraken stale"


@pytest.mark.parametrize(
    ("state", "reason"), [("stale", "stale"), ("resync", "resyncing"), ("closed", "closed")]
)
def test_a_venue_that_is_away_does_not_vote_until_it_says_something_new(
    state: str, reason: str
) -> None:
    one = derivation(venues_min=1)
    one.take([quote("kraken", "100", "101"), quote("coinbase", "100", "101")], NOW_US)
    away = price(one.take([status("kraken", state)], NOW_US + SECOND_US))
    assert reasons(away) == {"coinbase": None, "kraken": reason}
    back = price(one.take([status("kraken", "live")], NOW_US + 2 * SECOND_US))
    assert reasons(back) == {"coinbase": None, "kraken": "waiting"}
    again = quote("kraken", "100", "101", NOW_US + 3 * SECOND_US)
    assert reasons(price(one.take([again], NOW_US + 3 * SECOND_US)))["kraken"] is None


def test_a_quote_that_comes_before_the_status_says_live_counts_as_new() -> None:
    one = derivation(venues_min=1)
    one.take([quote("kraken", "100", "101"), status("kraken", "stale")], NOW_US)
    one.take([quote("kraken", "102", "103", NOW_US + SECOND_US)], NOW_US + SECOND_US)
    told = price(one.take([status("kraken", "live")], NOW_US + 2 * SECOND_US))
    assert (told.state, told.price) == ("live", "102.5")


def test_a_quarantined_market_does_not_vote() -> None:
    one = derivation(venues_min=1)
    doubted = Tick(Channel("quote", "kraken", "BTC-USD"), Quote("9", "9.1", suspect=True))
    told = price(one.take([doubted, quote("a", "1", "2")], NOW_US))
    assert reasons(told) == {"a": None, "kraken": "quarantined"}
    later_us = NOW_US + SECOND_US
    again = price(one.take([quote("kraken", "1", "2", later_us)], later_us))
    assert reasons(again) == {"a": None, "kraken": None}


def test_one_market_may_be_away_while_the_others_of_its_venue_vote() -> None:
    one = derivation(venues_min=1)
    one.take([quote("kraken", "1", "2"), quote("kraken", "1", "2", symbol="ETH-USD")], NOW_US)
    away = {"quote:kraken:BTC-USD": {"state": "stale", "since": NOW_US}}
    given = {"state": "stale", "since": NOW_US, "channels": away}
    said = Tick(Channel("status", "kraken", "VENUE"), msgspec.convert(given, Status))
    told = one.take([said], NOW_US + SECOND_US) + one.wake(NOW_US + SECOND_US)
    assert reasons(price(told)) == {"kraken": "stale"}
    assert reasons(price(told, "ETH-USD")) == {"kraken": None}


@pytest.mark.parametrize("venue", ["sim", "replay"])
def test_what_is_no_market_never_enters(venue: str) -> None:
    assert derivation(venues_min=1).take([quote(venue, "100", "101")], NOW_US) == []


def test_contracts_never_enter_the_price_of_the_asset() -> None:
    ticks = [quote("binance", "100", "101", symbol="BTC-USD-PERP")]
    assert derivation(venues_min=1).take(ticks, NOW_US) == []


@pytest.mark.parametrize("other", ["USDC", "EUR"])
def test_another_quote_asset_does_not_vote(other: str) -> None:
    one = derivation(venues_min=1)
    ticks = [quote("kraken", "100", "101"), quote("a", "1", "2", symbol=f"BTC-{other}")]
    ticks.append(quote("kraken", "0.99", "1.01", symbol=f"{other}-USD"))
    told = one.take(ticks, NOW_US)
    assert reasons(price(told)) == {"kraken": None}
    assert reasons(price(told, f"BTC-{other}")) == {"a": None}


def test_a_venue_in_another_quote_votes_only_through_our_own_price_of_it() -> None:
    one = derivation(venues_min=2, floor_ppm=1)
    ticks = [
        quote("kraken", "100", "102"),
        quote("binance", "100.0", "102.0", symbol="BTC-USDT"),
    ]
    told = price(one.take(ticks, NOW_US))
    assert reasons(told) == {"kraken": None, "binance BTC-USDT": "no rate"}
    rates = [quote(venue, "0.98", "1.00", symbol="USDT-USD") for venue in ("kraken", "coinbase")]
    one.take(rates, NOW_US + SECOND_US)
    told = price(one.wake(NOW_US + SECOND_US))
    assert told.votes[1] == Vote(
        "binance", True, None, "101", "1", 1_000, "BTC-USDT", "price:agg:USDT-USD", "0.99", 1_000
    )
    # 100, 101, 102 and 99, 99.99, 100.98: the middle of 100 and 100.98
    assert (told.price, told.confidence) == ("100.49", "0.51")


def test_a_rate_that_is_old_converts_nothing() -> None:
    one = derivation(venues_min=1, age_max_ms=5_000)
    one.take([quote("kraken", "0.98", "1.00", symbol="USDT-USD")], NOW_US)
    later_us = NOW_US + 6 * SECOND_US
    told = price(one.take([quote("binance", "1", "2", later_us, "BTC-USDT")], later_us))
    assert reasons(told) == {"binance BTC-USDT": "no rate"}


def test_a_venue_votes_once_and_rather_without_a_conversion() -> None:
    one = derivation(venues_min=1)
    one.take([quote("kraken", "0.98", "1.00", symbol="USDT-USD")], NOW_US)
    ticks = [quote("kraken", "100", "101", symbol="BTC-USDT"), quote("kraken", "100", "101")]
    told = price(one.take(ticks, NOW_US))
    assert reasons(told) == {"kraken": None, "kraken BTC-USDT": "votes directly"}


def test_a_pair_is_told_at_most_once_an_interval() -> None:
    one = derivation(venues_min=1, interval_ms=50)
    assert len(prices(one.take([quote("kraken", "100", "101")], NOW_US))) == 1
    for ms in range(1, 50):
        assert one.take([quote("kraken", str(100 + ms), "200")], NOW_US + ms * 1_000) == []
    assert one.next_us() == NOW_US + 50_000
    assert price(one.wake(NOW_US + 50_000)).price == "174.5"


def test_a_pair_that_does_not_move_is_told_once_a_second() -> None:
    one = derivation(venues_min=1, interval_ms=50, repeat_ms=1_000)
    at_us, told = NOW_US, one.take([quote("kraken", "100", "101")], NOW_US)
    for _ in range(300):
        at_us += 10_000
        told += one.take([quote("kraken", "100", "101", at_us)], at_us)
        told += one.wake(at_us)
    assert [each.computed_us - NOW_US for each in prices(told)] == [0, 10**6, 2 * 10**6, 3 * 10**6]


TRUE = Price(
    "live", "median-v1", 1, 2, 2, 50, 10_000,
    (
        Vote("a", True, None, "100", "1", 0),
        Vote("b", True, None, "102", "1", 10_000),
        Vote("c", False, "crossed", "102", "-1", 0),
        Vote("d", False, "stale", "102", "1", 10_001),
    ),
    NOW_US, "101", "1",
)  # fmt: skip


def test_a_true_message_shows_no_difference() -> None:
    assert differences(TRUE) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"price": "101.1"}, "px is 101.1, its votes come to 101"),
        ({"confidence": "0.1"}, "conf is 0.1, its votes come to 1"),
        ({"price": None}, "px is None, its votes come to 101"),
        ({"voters": 3}, "says 3 voters, has 2"),
        ({"venues_min": 3}, "px is 101, its votes come to None"),
        ({"age_max_ms": 5_000}, "b votes although stale"),
        ({"floor_ppm": 50_000}, "conf is 1, its votes come to 4.1"),
        ({"state": "stale"}, "says stale of a price"),
        ({"method": "mean"}, "made by mean version 1, which is not known here"),
        ({"version": 2}, "made by median-v1 version 2, which is not known here"),
    ],
)
def test_a_message_that_is_not_what_its_votes_come_to_is_found_out(
    change: dict[str, object], complaint: str
) -> None:
    assert complaint in differences(msgspec.structs.replace(TRUE, **change))


@pytest.mark.parametrize(
    ("vote", "complaint"),
    [
        (Vote("b", True, None, "102", "-1", 0), "b votes although crossed"),
        (Vote("b", True, "stale", "102", "1", 0), "b votes although it is out as stale"),
        (Vote("b", True), "b votes without a quote"),
        (Vote("b", True, None, "x", "1", 0), "has a vote that is no number"),
        (Vote("a", True, None, "102", "1", 0), "a votes twice"),
        (Vote("b", True, None, "102", "1", 0, "B", None, "1"), "b is converted by half"),
        (Vote("b", False, "crossed", "102", "1", 0), "b is out as crossed, its quote is sound"),
        (Vote("b", False, None, "102", "1", 0), "b is out without a reason"),
    ],
)
def test_a_vote_that_cannot_be_is_found_out(vote: Vote, complaint: str) -> None:
    votes = (TRUE.votes[0], vote, *TRUE.votes[2:])
    assert complaint in differences(msgspec.structs.replace(TRUE, votes=votes))
