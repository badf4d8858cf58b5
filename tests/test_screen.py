"""Poisoned ticks: refused or flagged, by reason, and never in silence."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.market import Channel, Missing, Quote, Tick, Trade
from feeds.watching.screen import (
    AHEAD_MAX_US,
    BACK_MAX_US,
    OUTDATED_MAX,
    RULES,
    Reason,
    Screen,
    screen_of,
)
from feeds.watching.trade_ids import Promise

TRADES = Channel("trade", "toy", "BTC-USD")
QUOTES = Channel("quote", "toy", "BTC-USD")
NOW_US = 1_723_161_255_343_000


class Judged:
    """A screen, and all that it said."""

    def __init__(self, channel: Channel = TRADES, ids: Promise = "consecutive") -> None:
        self.found: Counter[Reason] = Counter()
        self.screen: Screen = screen_of(channel, ids, self._tell)

    def _tell(self, reason: Reason, _: Tick) -> None:
        self.found[reason] += 1

    def trade(
        self,
        id_: int | str,
        price: str = "100.0",
        size: str = "1",
        at_us: int | None = NOW_US,
        received_us: int | None = NOW_US,
    ) -> Tick | None:
        return self.screen.judge(
            Tick(TRADES, Trade(price, size, "buy", str(id_), at_us, received_us))
        )

    def quote(
        self,
        bid: str = "100.0",
        ask: str = "100.1",
        sequence: int | None = None,
        at_us: int | None = None,
    ) -> Tick | None:
        quote = Quote(bid, ask, "1", "1", at_us, NOW_US)
        return self.screen.judge(Tick(QUOTES, quote, sequence))


def is_suspect(tick: Tick | None) -> bool:
    assert tick is not None
    assert isinstance(tick.payload, Trade | Quote)
    return tick.payload.suspect


def test_a_healthy_tick_is_passed_on_as_the_very_same() -> None:
    trade = Tick(TRADES, Trade("1", "1", "buy", "1", NOW_US, NOW_US))
    quote = Tick(QUOTES, Quote("1", "1.1"))
    assert screen_of(TRADES, "unique", lambda *_: None).judge(trade) is trade
    assert screen_of(QUOTES, "unique", lambda *_: None).judge(quote) is quote


@pytest.mark.parametrize(
    ("price", "size", "reason"),
    [
        ("NaN", "1", "not_a_number"),
        ("1", "nan", "not_a_number"),
        ("inf", "1", "not_a_number"),
        ("-Infinity", "1", "not_a_number"),
        ("", "1", "not_a_number"),
        ("x", "1", "not_a_number"),
        ("0.00", "1", "not_positive"),
        ("-1", "1", "not_positive"),
        ("1", "0", "not_positive"),
    ],
)
def test_a_trade_that_can_be_none_is_refused(price: str, size: str, reason: Reason) -> None:
    judged = Judged()
    assert judged.trade(1, price, size) is None
    assert judged.found == {reason: 1}


@pytest.mark.parametrize(
    ("bid", "ask", "reason"),
    [
        ("NaN", "1", "not_a_number"),
        ("1", "inf", "not_a_number"),
        ("0", "1", "not_positive"),
        ("-2", "-1", "not_positive"),
        ("1", "0", "not_positive"),
        ("inf", "1", "not_a_number"),
    ],
)
def test_a_quote_that_can_be_none_is_refused(bid: str, ask: str, reason: Reason) -> None:
    judged = Judged(QUOTES)
    assert judged.quote(bid, ask) is None
    assert judged.found == {reason: 1}


def test_a_crossed_quote_is_passed_on_as_suspect() -> None:
    judged = Judged(QUOTES)
    assert not is_suspect(judged.quote("100.0", "100.1", 1, NOW_US))
    told = judged.quote("100.2", "100.1", 2, NOW_US)
    assert told is not None
    assert told.payload == Quote("100.2", "100.1", "1", "1", NOW_US, NOW_US, suspect=True)
    assert not is_suspect(judged.quote("100.0", "100.1", 3, NOW_US))
    assert judged.found == {"crossed": 1}


def test_prices_of_crossed_quotes_are_no_measure_of_those_that_follow() -> None:
    judged = Judged(QUOTES)
    judged.quote("100.0", "100.1")
    assert all(is_suspect(judged.quote("500.0", "499.0")) for _ in range(9))
    assert not is_suspect(judged.quote("100.0", "100.1"))
    assert is_suspect(judged.quote("500.0", "501.0"))
    assert judged.found == {"crossed": 9, "outlier": 1}


def test_a_crossed_quote_that_is_older_than_the_last_is_refused() -> None:
    judged = Judged(QUOTES)
    judged.quote(sequence=7)
    assert judged.quote("2", "1", sequence=6) is None
    assert judged.found == {"outdated": 1}


def test_bid_and_ask_at_the_same_price_are_a_quote() -> None:
    assert not is_suspect(Judged(QUOTES).quote("1.00", "1"))


def test_a_refused_trade_is_missing_by_the_venue() -> None:
    judged = Judged()
    judged.trade(1)
    judged.trade(2, "NaN")
    after = judged.trade(5)
    assert after is not None
    assert after.missing == Missing("venue", 3)
    assert not is_suspect(after)


def test_what_is_missing_before_a_refused_trade_is_told_with_the_next() -> None:
    judged = Judged()
    judged.trade(1)
    judged.trade(4, "NaN")
    after = judged.trade(5)
    assert after is not None
    assert after.missing == Missing("venue", 3)


def test_a_late_trade_that_is_refused_is_not_told_as_missing_twice() -> None:
    judged = Judged()
    judged.trade(1)
    judged.trade(3)
    judged.trade(2, "NaN")
    after = judged.trade(4)
    assert after is not None
    assert after.missing is None


def test_a_hole_is_blamed_on_who_made_it() -> None:
    judged = Judged()
    judged.trade(1)
    judged.screen.blame = "feed"
    after = judged.trade(3)
    assert after is not None
    assert after.missing == Missing("feed", 1)


@pytest.mark.parametrize("ids", ["consecutive", "unique"])
def test_a_trade_that_comes_twice_is_refused(ids: Promise) -> None:
    judged = Judged(ids=ids)
    judged.trade(1)
    assert judged.trade(1) is None
    assert judged.found == {"duplicate": 1}


def test_a_late_trade_is_flagged() -> None:
    judged = Judged()
    judged.trade(1)
    judged.trade(3)
    assert is_suspect(judged.trade(2, at_us=NOW_US - 5))
    assert judged.found == {"late": 1}


def test_a_time_that_goes_back_is_flagged_from_a_second_on() -> None:
    judged = Judged(ids="unique")
    judged.trade(1)
    assert not is_suspect(judged.trade(2, at_us=NOW_US - BACK_MAX_US))
    assert is_suspect(judged.trade(3, at_us=NOW_US - BACK_MAX_US - 1))
    assert judged.found == {"late": 1}


def test_a_trade_from_the_future_is_flagged_and_makes_none_after_it_late() -> None:
    judged = Judged()
    assert not is_suspect(judged.trade(1, at_us=NOW_US + AHEAD_MAX_US))
    assert is_suspect(judged.trade(2, at_us=NOW_US + AHEAD_MAX_US + 1))
    assert is_suspect(judged.trade(3, at_us=10**17))
    assert not is_suspect(judged.trade(4, at_us=NOW_US + AHEAD_MAX_US))
    assert judged.found == {"future": 2}


def test_an_outlier_is_flagged_and_never_dropped() -> None:
    judged = Judged()
    told = [is_suspect(judged.trade(id_, price)) for id_, price in enumerate(("1", "9", "1.01"))]
    assert told == [False, True, False]
    assert judged.found == {"outlier": 1}


def test_what_is_only_out_of_its_place_is_told_apart_from_what_is_doubtful() -> None:
    judged = Judged()
    judged.trade(1), judged.trade(4)
    late, renumbered = judged.trade(2, at_us=NOW_US - 5), judged.trade(1, at_us=NOW_US + 1)
    outlier, future = judged.trade(5, "900"), judged.trade(6, at_us=10**17)
    late_outlier = judged.trade(3, "900", at_us=NOW_US - 5)
    told = [late, renumbered, outlier, future, late_outlier]
    payloads = [tick.payload for tick in told if tick and isinstance(tick.payload, Trade)]
    assert all(trade.suspect for trade in payloads)
    assert [trade.late for trade in payloads] == [True, True, False, False, False]
    assert judged.found == {"late": 2, "renumbered": 1, "outlier": 1, "future": 1}


def test_an_outlier_of_either_side_of_a_quote_is_flagged() -> None:
    judged = Judged(QUOTES)
    judged.quote()
    assert is_suspect(judged.quote("1", "100.1"))
    assert is_suspect(judged.quote("100.0", "99999"))
    assert not is_suspect(judged.quote())
    assert judged.found == {"outlier": 2}


@pytest.mark.parametrize("by", ["sequence", "at_us"])
def test_a_quote_older_than_the_last_is_refused(by: str) -> None:
    judged = Judged(QUOTES)
    assert judged.quote(**{by: 7}) is not None  # type: ignore[arg-type]
    assert judged.quote(**{by: 6}) is None  # type: ignore[arg-type]
    assert judged.quote(**{by: 7}) is not None  # type: ignore[arg-type]
    assert judged.found == {"outdated": 1}


@pytest.mark.parametrize("by", ["sequence", "at_us"])
def test_a_venue_that_numbers_its_quotes_anew_is_followed(by: str) -> None:
    judged = Judged(QUOTES)
    judged.quote(**{by: 10**9})  # type: ignore[arg-type]
    told = [judged.quote(**{by: 1 + number}) for number in range(20)]  # type: ignore[arg-type]
    assert told[:OUTDATED_MAX] == [None] * OUTDATED_MAX
    assert None not in told[OUTDATED_MAX:]


def test_a_number_that_goes_back_while_the_clock_goes_on_was_set_back() -> None:
    judged = Judged(QUOTES)
    later_us = NOW_US + BACK_MAX_US + 1
    assert judged.quote(sequence=500, at_us=NOW_US) is not None
    assert judged.quote(sequence=3, at_us=NOW_US + BACK_MAX_US) is None
    assert judged.quote(sequence=3, at_us=10**17) is None
    assert judged.quote(sequence=3, at_us=later_us) is not None
    assert judged.quote(sequence=2, at_us=later_us) is None
    assert judged.quote(sequence=4, at_us=later_us) is not None
    assert judged.found == {"outdated": 3}


def test_a_quote_from_the_future_makes_none_after_it_outdated() -> None:
    judged = Judged(QUOTES)
    assert is_suspect(judged.quote(at_us=10**17))
    assert not is_suspect(judged.quote(at_us=NOW_US))


def test_every_rule_can_be_met() -> None:
    judged, quotes = Judged(), Judged(QUOTES)
    judged.trade(1), judged.trade(1), judged.trade(2, "NaN"), judged.trade(3, "0")
    judged.trade(9, "900"), judged.trade(8, at_us=NOW_US - 1), judged.trade(7, at_us=NOW_US + 1)
    judged.trade(10, at_us=10**17)
    quotes.quote("2", "1"), quotes.quote(sequence=2), quotes.quote(sequence=1)
    assert set(judged.found) | set(quotes.found) == set(RULES)


PRICES = st.one_of(
    st.sampled_from(["NaN", "inf", "-inf", "0", "-1", "1e400", "1e-400", "", "x", "0.1", "1e308"]),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
)
TIMES = st.none() | st.integers(NOW_US - 10**7, NOW_US + 10**7) | st.integers(0, 10**17)


@given(
    st.lists(
        st.tuples(st.integers(0, 30) | st.integers(0, 2**64), PRICES, PRICES, TIMES), max_size=30
    ),
    st.sampled_from(["consecutive", "unique", "none"]),
)
def test_what_passes_can_be_a_price_and_what_does_not_is_counted(
    trades: list[tuple[int, str, str, int | None]], ids: Promise
) -> None:
    judged = Judged(ids=ids)
    passed = flagged = 0
    for id_, price, size, at_us in trades:
        tick = judged.trade(id_, price, size, at_us)
        if tick is not None:
            passed += 1
            flagged += is_suspect(tick)
            assert 0 < float(price) < float("inf")
            assert 0 < float(size) < float("inf")
    refused = {reason for reason, rule in RULES.items() if rule.fate == "refused"}
    assert passed + sum(judged.found[reason] for reason in refused) == len(trades)
    assert flagged == sum(judged.found[reason] for reason in set(RULES) - refused)


@given(st.lists(st.tuples(PRICES, PRICES, st.none() | st.integers(0, 50), TIMES), max_size=30))
def test_what_passes_can_be_a_quote(
    quotes: list[tuple[str, str, int | None, int | None]],
) -> None:
    judged = Judged(QUOTES)
    passed = 0
    for bid, ask, sequence, at_us in quotes:
        tick = judged.quote(bid, ask, sequence, at_us)
        if tick is not None:
            passed += 1
            assert 0 < float(bid) < float("inf")
            assert 0 < float(ask) < float("inf")
            assert is_suspect(tick) or float(bid) <= float(ask)
    refused = {reason for reason, rule in RULES.items() if rule.fate == "refused"}
    assert passed + sum(judged.found[reason] for reason in refused) == len(quotes)


@given(
    st.lists(st.tuples(st.integers(0, 2**64), PRICES, TIMES), max_size=30),
    st.sampled_from(["consecutive", "unique"]),
)
def test_whatever_came_before_a_healthy_stream_gets_through_unflagged(
    noise: list[tuple[int, str, int | None]], ids: Promise
) -> None:
    judged = Judged(ids=ids)
    for id_, price, at_us in noise:
        judged.trade(id_, price, at_us=at_us)
    later_us = NOW_US + 10**8
    told = [
        judged.trade(2**70 + number, at_us=later_us + number, received_us=later_us + number)
        for number in range(10)
    ]
    assert None not in told
    assert not any(map(is_suspect, told[4:]))
