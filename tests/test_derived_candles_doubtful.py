"""What a feed doubts of trades, and candles: late ones count at their time, doubtful ones only at
their venue, and what leaves one out says so."""

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.derived.candles import Candles
from feeds.market import Candle, Channel, Payload, Publication, Tick, Trade
from feeds.others.in_order import InOrder
from feeds.watching.screen import AHEAD_MAX_US
from feeds.watching.trade_ids import Promise
from feeds.watching.watches import Watches
from tests.candle_market import LENGTHS_US, NOON_US, SECOND_US, candles, played, status

MARKET = ("kraken", "BTC-USD")
TOGETHER = ("agg", "BTC-USD")
TRADES = Channel("trade", *MARKET)


def numbered(number: int, at_us: int, received_us: int | None = None, price: str = "100") -> Tick:
    heard_us = at_us if received_us is None else received_us
    return Tick(TRADES, Trade(price, "1", "buy", str(number), at_us, heard_us))


def each_second(numbers: Iterable[int], price: str = "100") -> list[Tick]:
    return [numbered(number, NOON_US + number * SECOND_US, price=price) for number in numbers]


def screened(ticks: Iterable[Tick], ids: Promise = "unique") -> list[Tick]:
    """As a venue's feed passes them on."""
    watches = Watches(
        "kraken", [TRADES], ids, NOON_US,
        can_renew=True, tell=lambda _: None, on_change=lambda: None,
    )  # fmt: skip
    passed: list[Tick] = []
    for tick in ticks:
        received_us = tick.payload.received_us
        assert received_us is not None
        passed += watches.pass_on([tick], received_us / 1e6, received_us)
    return passed


def published(ticks: Iterable[Tick]) -> list[Tick]:
    """As another process hears them from the bus."""
    order = InOrder()
    heard: list[Tick] = []
    for seq, tick in enumerate(ticks, start=1):
        payload = msgspec.json.encode(tick.payload)
        message = Publication("e", seq, payload, tick.missing).encode()
        found = order.next(tick.channel, message)
        assert found is not None
        heard.append(found)
    return heard


def of_all(told: Iterable[Tick], market: tuple[str, str]) -> dict[str, list[Payload]]:
    return {
        name: [tick.payload for tick in told if tick.channel == Channel(f"candle.{name}", *market)]
        for name in LENGTHS_US
    }


def seconds_of(told: Iterable[Tick], market: tuple[str, str]) -> dict[int, Candle]:
    """The newest version of each, by how many seconds after noon it began."""
    return {
        (tick.payload.start_us - NOON_US) // SECOND_US: tick.payload
        for tick in told
        if tick.channel == Channel("candle.1s", *market)
        and isinstance(tick.payload, Candle)
        and tick.payload.final
    }


LATE = [
    *each_second([1, 2, 3, 4, 5, 6, 7, 9]),
    numbered(8, NOON_US + 4 * SECOND_US + 5, NOON_US + 9 * SECOND_US + 5, "107"),
    *each_second(range(10, 16)),
]
"""Four seconds late, when its second is final."""


@pytest.mark.parametrize("ids", ["consecutive", "unique", "none"])
def test_a_trade_that_is_merely_late_corrects_the_candles_of_all(ids: Promise) -> None:
    told = played(candles(), screened(LATE, ids), NOON_US + 70 * SECOND_US)
    second = seconds_of(told, TOGETHER)[4]
    assert (second.trades, second.high, second.version, second.correction) == (2, "107", 2, True)
    assert of_all(told, TOGETHER) == of_all(told, MARKET)


def test_a_late_trade_of_another_process_corrects_them_as_well() -> None:
    ticks = screened(LATE)
    assert published(ticks) == ticks
    told = played(candles(), published(ticks), NOON_US + 70 * SECOND_US)
    assert seconds_of(told, TOGETHER)[4].trades == 2


def test_a_late_trade_is_known_to_be_one_after_a_restart() -> None:
    ticks = screened(LATE)
    cut = 9
    cut_us = NOON_US + 9 * SECOND_US + 10
    told = played(candles(), ticks[: cut - 1], cut_us)
    # It was published, and the process ended before it told the correction.
    history: dict[str, list[Payload]] = {}
    live = status("live", cut_us)
    for tick in [*told, *ticks[:cut], live]:
        history.setdefault(tick.channel.name, []).append(tick.payload)
    one = candles(None)
    one.restore(history, cut_us)
    told += played(one, ticks[cut:], NOON_US + 70 * SECOND_US)
    assert seconds_of(told, TOGETHER)[4].trades == 2
    assert of_all(told, TOGETHER)["1m"][-1] == of_all(told, MARKET)["1m"][-1]


def test_an_outlier_is_not_in_the_candles_of_all_and_they_say_that_they_lack_it() -> None:
    ticks = [*each_second(range(1, 9)), numbered(9, NOON_US + 9 * SECOND_US, price="900")]
    told = played(
        candles(), screened([*ticks, *each_second(range(10, 16))]), NOON_US + 70 * SECOND_US
    )
    own, together = seconds_of(told, MARKET), seconds_of(told, TOGETHER)
    assert (own[9].high, own[9].trades, own[9].partial) == ("900", 1, False)
    assert (together[9].high, together[9].trades, together[9].partial) == ("100", 0, True)
    assert [number for number, each in together.items() if each.partial] == [9]
    minutes = {
        name: of_all(told, market)["1m"][-1]
        for name, market in (("own", MARKET), ("all", TOGETHER))
    }
    assert {
        name: (each.trades, each.partial)
        for name, each in minutes.items()
        if isinstance(each, Candle)
    } == {"own": (15, False), "all": (14, True)}


def test_a_late_outlier_is_an_outlier() -> None:
    [*_, doubted] = screened(
        [*each_second(range(1, 9)), numbered(9, NOON_US, NOON_US + 9 * SECOND_US, "900")]
    )
    assert isinstance(doubted.payload, Trade)
    assert (doubted.payload.suspect, doubted.payload.late) == (True, False)


def test_a_late_outlier_makes_what_was_final_partial() -> None:
    ticks = each_second(range(1, 9))
    ticks.append(numbered(9, NOON_US + 3 * SECOND_US, NOON_US + 9 * SECOND_US, "900"))
    told = played(candles(), screened(ticks), NOON_US + 15 * SECOND_US)
    third = seconds_of(told, TOGETHER)[3]
    assert (third.trades, third.version, third.correction, third.partial) == (1, 2, True, True)


def test_where_our_clock_is_slow_the_candles_of_all_say_that_they_lack_trades() -> None:
    ahead_us = AHEAD_MAX_US + SECOND_US
    ticks = [
        numbered(
            number,
            NOON_US + number * SECOND_US + (ahead_us if number > 6 else 0),
            NOON_US + number * SECOND_US,
        )
        for number in range(1, 24)
    ]
    told = played(candles(), screened(ticks), NOON_US + 24 * SECOND_US)
    together = seconds_of(told, TOGETHER)
    assert max(together) > 20
    lacking = {number for number, each in together.items() if not each.trades}
    # Times so far ahead are taken for the farthest that is believed.
    assert lacking == set(range(7, max(together) + 1))
    assert {number for number, each in together.items() if each.partial} == lacking - {7, 8}


def test_what_is_left_out_before_anything_is_taken_is_lacking_in_the_first() -> None:
    doubted = Trade("100", "1", "buy", "1", NOON_US + 1, NOON_US + 1, suspect=True)
    ticks = [Tick(TRADES, doubted), numbered(2, NOON_US + 2)]
    told = played(candles(), ticks, NOON_US + 5 * SECOND_US)
    assert [each.partial for each in seconds_of(told, TOGETHER).values()] == [True, False, False]


def test_after_a_restart_what_is_left_out_is_still_lacking() -> None:
    ticks = screened([*each_second(range(1, 9)), numbered(9, NOON_US + 9 * SECOND_US, price="900")])
    cut_us = NOON_US + 9 * SECOND_US + 1
    told = played(candles(), ticks, cut_us)
    history: dict[str, list[Payload]] = {}
    for tick in [*told, *ticks, status("live", cut_us)]:
        history.setdefault(tick.channel.name, []).append(tick.payload)
    one = candles(None)
    one.restore(history, cut_us)
    again = played(one, each_second(range(10, 16)), NOON_US + 16 * SECOND_US)
    assert [
        each.partial for number, each in seconds_of(again, TOGETHER).items() if number == 9
    ] == [True]
    assert not seconds_of(again, MARKET)[9].partial


ROWS = st.lists(
    st.tuples(st.integers(0, 2 * SECOND_US), st.integers(100, 105), st.integers(0, 12 * SECOND_US)),
    min_size=1,
    max_size=30,
)


@settings(max_examples=30, deadline=None)
@given(rows=ROWS, ids=st.sampled_from(["consecutive", "unique", "none"]))
def test_the_candles_of_all_are_those_of_the_only_venue(
    rows: list[tuple[int, int, int]], ids: Promise
) -> None:
    at_us, ticks = NOON_US, []
    for number, (step_us, price, late_us) in enumerate(rows):
        at_us += step_us + 1
        ticks.append(numbered(number + 1, at_us, at_us + late_us, str(price)))
    received = screened(sorted(ticks, key=lambda tick: tick.payload.received_us or 0), ids)
    one: Candles = candles()
    told = played(one, received, at_us + 80 * SECOND_US)
    assert of_all(told, TOGETHER) == of_all(told, MARKET)
