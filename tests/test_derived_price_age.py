"""From when on a quote is old: by our clock, by the venue's own, and where it converts others."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.derived.price import Consolidation
from feeds.derived.price_rule import differences
from feeds.derived.settings import PriceSettings
from feeds.market import Channel, Price, Quote, Status, Tick, Vote
from feeds.watching.watches import Watches

NOW_US = 1_763_632_800_000_000
SECOND_US = 1_000_000
LATE_US = 120 * SECOND_US
BTC = Channel("quote", "kraken", "BTC-USD")
USDT = Channel("quote", "kraken", "USDT-USD")


def consolidation(**chosen: object) -> Consolidation:
    return Consolidation(
        msgspec.convert({"venues_min": 1, "interval_ms": 0, **chosen}, PriceSettings)
    )


def heard(
    one: Consolidation,
    at_us: int,
    stamp_us: int | None = None,
    bid: str = "100",
    channel: Channel = BTC,
) -> Vote:
    """What a quote that was received at a time counts for, at once."""
    (tick,) = one.take([Tick(channel, Quote(bid, "101", None, None, stamp_us, at_us))], at_us)
    return vote_of(tick)


def price_of(tick: Tick) -> Price:
    assert isinstance(tick.payload, Price)
    assert differences(tick.payload) == []
    return tick.payload


def vote_of(tick: Tick) -> Vote:
    (vote,) = price_of(tick).votes
    return vote


def said(vote: Vote) -> tuple[str | None, int | None]:
    return vote.out, vote.age_ms


def status(venue: str, state: str) -> Tick:
    payload = msgspec.convert({"state": state, "since": NOW_US}, Status)
    return Tick(Channel("status", venue, "VENUE"), payload)


def test_a_venue_that_is_far_behind_by_its_own_clock_does_not_vote() -> None:
    one = consolidation()
    told = [
        heard(one, at_us, at_us - LATE_US, str(number))
        for number, at_us in enumerate(range(NOW_US, NOW_US + LATE_US, SECOND_US), 1)
    ]
    assert {said(vote) for vote in told} == {("stale", 118_000)}


@pytest.mark.parametrize(
    ("late_us", "age_ms"),
    [(0, 0), (2_000_000, 0), (2_500_000, 500), (-1_900_000, 0), (12_000_999, 10_000)],
)
def test_what_a_quote_is_late_by_is_its_age_but_for_clocks_that_do_not_agree(
    late_us: int, age_ms: int
) -> None:
    assert said(heard(consolidation(), NOW_US, NOW_US - late_us)) == (None, age_ms)


def test_how_late_a_quote_may_come_can_be_set() -> None:
    one = consolidation(late_max_ms=60_000)
    assert said(heard(one, NOW_US, NOW_US - 65 * SECOND_US)) == (None, 5_000)


def test_a_quote_without_a_time_of_its_own_counts_from_its_receipt() -> None:
    one = consolidation()
    assert said(heard(one, NOW_US)) == (None, 0)
    (tick,) = one.wake(NOW_US + 3 * SECOND_US)
    assert said(vote_of(tick)) == (None, 3_000)


def test_how_late_a_quote_is_is_told_by_the_clock_that_received_it() -> None:
    one = consolidation()
    quote = Quote("100", "101", None, None, NOW_US + SECOND_US, NOW_US + SECOND_US)
    (tick,) = one.take([Tick(BTC, quote)], NOW_US)
    assert said(vote_of(tick)) == (None, 0)


def test_a_late_quote_grows_older_and_a_venue_that_catches_up_votes_again() -> None:
    one = consolidation()
    assert said(heard(one, NOW_US, NOW_US - 7 * SECOND_US)) == (None, 5_000)
    (tick,) = one.wake(NOW_US + 6 * SECOND_US)
    assert said(vote_of(tick)) == ("stale", 11_000)
    later_us = NOW_US + 7 * SECOND_US
    assert said(heard(one, later_us, later_us - 100_000, "100.5")) == (None, 0)


def test_a_quote_that_is_sent_again_as_it_stands_is_new() -> None:
    # OKX sends what has not changed for a minute again, with the time that it had.
    one = consolidation()
    heard(one, NOW_US, NOW_US)
    later_us = NOW_US + 60 * SECOND_US
    assert said(heard(one, later_us, NOW_US)) == (None, 0)


def test_a_stamp_that_is_the_last_trades_makes_no_quote_old() -> None:
    one = consolidation()
    traded_us = NOW_US - 40 * SECOND_US
    # The first after subscribing may be as old as that trade: it is believed to be.
    assert said(heard(one, NOW_US, traded_us)) == ("stale", 38_000)
    later_us = NOW_US + 3 * SECOND_US
    assert said(heard(one, later_us, traded_us, "100.5")) == (None, 0)
    much_later_us = later_us + 30 * SECOND_US
    assert said(heard(one, much_later_us, traded_us, "100.6")) == (None, 0)


def test_quotes_of_one_moment_do_not_make_a_late_venue_new() -> None:
    one = consolidation()
    heard(one, NOW_US, NOW_US - LATE_US)
    again = Quote("100.5", "101", venue_us=NOW_US - LATE_US, received_us=NOW_US + 1_000)
    assert one.take([Tick(BTC, again)], NOW_US + 1_000) == []
    (tick,) = one.wake(NOW_US + SECOND_US)
    assert said(vote_of(tick)) == ("stale", 118_999)


def test_after_it_was_away_a_venues_stamp_is_looked_at_again() -> None:
    one = consolidation()
    heard(one, NOW_US, NOW_US)
    one.take([status("kraken", "stale")], NOW_US + SECOND_US)
    one.take([status("kraken", "live")], NOW_US + 40 * SECOND_US)
    # The last trade's quote, told again to who subscribes anew.
    assert said(heard(one, NOW_US + 41 * SECOND_US, NOW_US)) == ("stale", 39_000)


delays = st.integers(0, 30 * SECOND_US)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 5 * SECOND_US), delays), min_size=1, max_size=8))
def test_no_quote_with_a_new_stamp_is_younger_than_its_stamp_says_but_for_what_may_be(
    quotes: list[tuple[int, int]],
) -> None:
    one, at_us = consolidation(age_max_ms=10**6), NOW_US
    stamps = [0]
    for number, (pause_us, late_us) in enumerate(quotes):
        at_us += pause_us
        stamps.append(max(at_us - late_us, stamps[-1] + 1))
        vote = heard(one, at_us, stamps[-1], str(50 + number))
        assert vote.age_ms == max(0, at_us - stamps[-1] - 2 * SECOND_US) // 1_000
    assert all(before < after for before, after in pairwise(stamps))


def converting(one: Consolidation, at_us: int) -> Vote:
    """Binance's vote on dollars, quoted just now."""
    dollars = Channel("price", "agg", "BTC-USD")
    quote = Quote("100", "101", received_us=at_us)
    told = one.take([Tick(Channel("quote", "binance", "BTC-USDT"), quote)], at_us)
    (vote,) = [vote_of(tick) for tick in told if tick.channel == dollars]
    return vote


def rested(one: Consolidation, at_us: int) -> dict[str, Price]:
    """Woken each second until then, as it asks to be: what it told last of each pair."""
    last: dict[str, Price] = {}
    while (due_us := one.next_us()) is not None and due_us <= at_us:
        last |= {tick.channel.name: price_of(tick) for tick in one.wake(due_us)}
    return last


def test_a_rate_that_stands_converts_for_a_minute_and_says_how_old_it_is() -> None:
    one = consolidation()
    quote = Quote("0.9998", "1", received_us=NOW_US)
    one.take([Tick(USDT, quote)], NOW_US)
    at_us = NOW_US + 50 * SECOND_US
    rate = rested(one, at_us)["price:agg:USDT-USD"]
    assert (rate.state, rate.price, rate.age_max_ms) == ("live", "0.9999", 60_000)
    assert said(rate.votes[0]) == (None, 50_000)
    assert converting(one, at_us) == Vote(
        "binance", True, None, "100.5", "0.5", 0, "BTC-USDT", "price:agg:USDT-USD", "0.9999", 50_000
    )
    at_us = NOW_US + 61 * SECOND_US
    rested(one, at_us)
    assert converting(one, at_us).out == "no rate"


def test_a_rates_age_is_that_of_the_oldest_quote_in_it() -> None:
    one = consolidation()
    one.take([Tick(USDT, Quote("1", "1", received_us=NOW_US))], NOW_US)
    at_us = NOW_US + 20 * SECOND_US
    other = Channel("quote", "bitstamp", "USDT-USD")
    one.take([Tick(other, Quote("1", "1", received_us=at_us))], at_us)
    assert converting(one, at_us).rate_age_ms == 20_000


def test_a_rate_is_no_longer_one_when_its_venue_is_away() -> None:
    one = consolidation()
    one.take([Tick(USDT, Quote("1", "1", received_us=NOW_US))], NOW_US)
    at_us = NOW_US + 20 * SECOND_US
    rested(one, at_us)
    one.take([status("kraken", "stale")], at_us)
    assert converting(one, at_us).out == "no rate"


def test_other_pairs_have_no_such_patience() -> None:
    one = consolidation()
    heard(one, NOW_US)
    told = rested(one, NOW_US + 11 * SECOND_US)["price:agg:BTC-USD"]
    assert (told.state, told.age_max_ms) == ("stale", 10_000)


def test_a_rate_is_never_older_than_other_quotes_may_be() -> None:
    one = consolidation(age_max_ms=90_000)
    one.take([Tick(USDT, Quote("1", "1", received_us=NOW_US))], NOW_US)
    rate = rested(one, NOW_US + SECOND_US)["price:agg:USDT-USD"]
    assert rate.age_max_ms == 90_000


def test_a_live_venue_that_is_crossed_is_out_at_once_and_says_so() -> None:
    channels = {venue: Channel("quote", venue, "BTC-USD") for venue in ("coinbase", "kraken")}
    watches = {
        venue: Watches(
            venue,
            [channel],
            "consecutive",
            NOW_US,
            can_renew=True,
            tell=lambda _: None,
            on_change=lambda: None,
        )
        for venue, channel in channels.items()
    }
    one = consolidation()

    def reasons(venue: str, bid: str, ask: str, at_us: int) -> dict[str, str | None]:
        quote = Tick(channels[venue], Quote(bid, ask, "1", "1", at_us, at_us))
        (tick,) = one.take(watches[venue].pass_on([quote], at_us / 1e6, at_us), at_us)
        return {vote.venue: vote.out for vote in price_of(tick).votes}

    assert reasons("kraken", "100.0", "100.2", NOW_US) == {"kraken": None}
    assert reasons("coinbase", "100.1", "100.3", NOW_US) == {"coinbase": None, "kraken": None}
    at_us = NOW_US + SECOND_US
    assert reasons("kraken", "100.5", "100.1", at_us) == {"coinbase": None, "kraken": "crossed"}
    at_us += SECOND_US
    assert reasons("kraken", "100.0", "100.1", at_us) == {"coinbase": None, "kraken": None}


def test_a_crossed_quote_that_is_old_is_stale() -> None:
    one = consolidation()
    crossed = Quote("101", "100", received_us=NOW_US, suspect=True)
    (tick,) = one.take([Tick(BTC, crossed)], NOW_US)
    assert vote_of(tick) == Vote("kraken", False, "crossed", "100.5", "-0.5", 0)
    told = rested(one, NOW_US + 11 * SECOND_US)["price:agg:BTC-USD"]
    assert said(told.votes[0])[0] == "stale"
