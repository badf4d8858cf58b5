"""The generated market: the same every time, never crossed, and on time."""

import asyncio
import logging
from collections import Counter
from decimal import Decimal

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from feeds.errors import SettingError
from feeds.market import Quote, SystemClock, Tick, Trade, digits
from feeds.settings import SimSettings
from feeds.sim import Market, Schedule, SimFeed
from tests.manual_clock import ManualClock
from tests.venue_server import TickList, running, until

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def ticks(count: int, symbols: int = 8, seed: int = 1) -> list[Tick]:
    market = Market(symbols, seed)
    return [market.tick(number, number) for number in range(count)]


def test_the_same_seed_gives_the_same_ticks_in_the_same_order() -> None:
    assert ticks(5_000, seed=42) == ticks(5_000, seed=42)
    assert ticks(5_000, seed=42) != ticks(5_000, seed=43)


def test_the_first_ticks_of_seed_1_never_change() -> None:
    made = ticks(1_000, symbols=14)
    assert made[0].channel.name == "quote:sim:ETH-USD"
    assert made[0].payload == Quote("3559.90", "3559.97", "0.2411", "25.7440", 0, 0)
    assert made[999].channel.name == "quote:sim:ETH-USD"
    assert made[999].payload == Quote("3559.40", "3559.45", "13.8132", "0.8785", 999, 999)


def test_times_change_nothing_else() -> None:
    market, later = Market(3, 1), Market(3, 1)
    a = [market.tick(1, 2) for _ in range(100)]
    b = [later.tick(900, 901) for _ in range(100)]
    assert [tick.channel for tick in a] == [tick.channel for tick in b]
    assert b[0].payload.received_us == 901


def test_about_half_are_trades_and_all_pairs_take_part() -> None:
    made = ticks(20_000, symbols=20)
    kinds = Counter(tick.channel.kind for tick in made)
    assert 9_000 < kinds["trade"] < 11_000
    by_channel = Counter(tick.channel.name for tick in made)
    assert len(by_channel) == 40
    assert min(by_channel.values()) > 300


def test_pairs_look_real_first_and_are_numbered_after_that() -> None:
    symbols = list(dict.fromkeys(channel.symbol for channel in Market(14, 1).channels))
    assert symbols[:2] == ["BTC-USD", "ETH-USD"]
    assert symbols[12:] == ["SIM13-USD", "SIM14-USD"]
    assert all(symbol.endswith("-USD") for symbol in symbols)


@given(seed=st.integers(0, 2**64), symbols=st.integers(1, 30))
def test_trades_happen_at_the_bid_or_the_ask_of_a_market_that_is_never_crossed(
    seed: int, symbols: int
) -> None:
    quotes: dict[str, Quote] = {}
    for tick in ticks(300, symbols, seed):
        payload = tick.payload
        match payload:
            case Quote():
                quotes[tick.channel.symbol] = payload
                assert 0 < Decimal(payload.bid) < Decimal(payload.ask)
                texts = [payload.bid, payload.ask, payload.bid_size, payload.ask_size]
            case Trade():
                quote = quotes[tick.channel.symbol]
                assert payload.price == {"buy": quote.ask, "sell": quote.bid}[payload.side]
                texts = [payload.price, payload.size]
        assert all(text and digits(text) == text and Decimal(text) > 0 for text in texts)


def test_digits_are_as_many_as_the_pairs_steps_and_trade_ids_count() -> None:
    trades = [tick.payload for tick in ticks(2_000, symbols=1) if isinstance(tick.payload, Trade)]
    assert {len(trade.price.partition(".")[2]) for trade in trades} == {2}
    assert {len(trade.size.partition(".")[2]) for trade in trades} == {4}
    assert [trade.id for trade in trades] == [str(n + 1) for n in range(len(trades))]


def test_prices_move_but_stay_within_half_and_double() -> None:
    prices = [
        Decimal(tick.payload.bid)
        for tick in ticks(60_000, symbols=1)
        if isinstance(tick.payload, Quote)
    ]
    assert len(set(prices)) > 1_000
    assert Decimal(34_450) <= min(prices) <= max(prices) <= Decimal(137_800)


def test_the_nth_tick_is_due_at_start_plus_n_over_rate_however_late_others_were() -> None:
    schedule = Schedule(100.0, 50.0, SimSettings())
    assert list(schedule.due(50.0)) == [0]
    assert schedule.wait_s(50.0) == pytest.approx(0.01)
    assert list(schedule.due(50.009)) == []
    assert list(schedule.due(50.035)) == [1, 2, 3]
    assert schedule.wait_s(50.035) == pytest.approx(0.005)
    assert [schedule.offset_us(n) for n in (0, 1, 3)] == [0, 10_000, 30_000]


def test_catching_up_is_in_bursts_and_skips_nothing_within_the_limit() -> None:
    schedule = Schedule(1_000.0, 0.0, SimSettings(burst_ticks_max=500))
    bursts = [schedule.due(1.9995) for _ in range(5)]
    assert [len(burst) for burst in bursts] == [500, 500, 500, 500, 0]
    assert [n for burst in bursts for n in burst] == list(range(2_000))
    assert schedule.skipped == 0


def test_beyond_the_limit_what_was_due_is_skipped_and_counted() -> None:
    schedule = Schedule(1_000.0, 0.0, SimSettings(burst_ticks_max=10_000, behind_limit_s=5.0))
    due = schedule.due(59.9995)
    assert len(due) == 5_000
    assert schedule.skipped == 55_000
    assert due[-1] == 59_999
    assert -schedule.wait_s(59.9995) < 0


@given(st.lists(st.floats(0, 3), max_size=50), st.floats(0.1, 5_000))
def test_however_it_is_woken_each_tick_is_due_once_in_order_and_never_early(
    pauses: list[float], rate: float
) -> None:
    schedule = Schedule(rate, 0.0, SimSettings(burst_ticks_max=100, behind_limit_s=1e9))
    now_s, made = 0.0, []
    for pause_s in pauses:
        now_s += pause_s
        due = schedule.due(now_s)
        assert len(due) <= 100
        assert all(schedule.offset_us(n) <= now_s * 1e6 + 1 for n in due)
        made += due
    assert made == list(range(len(made)))


@pytest.mark.parametrize(
    "settings",
    [SimSettings(symbols=0), SimSettings(ticks_per_s=0.0), SimSettings(ticks_per_s=float("nan"))],
)
def test_a_market_that_cannot_be_is_refused(settings: SimSettings) -> None:
    with pytest.raises(SettingError, match="sim"):
        SimFeed(settings, TickList(), SystemClock())


async def test_the_feed_stamps_intended_and_actual_time_and_becomes_live() -> None:
    sink = TickList()
    feed = SimFeed(SimSettings(ticks_per_s=2_000.0), sink, SystemClock())
    assert feed.status().state == "waiting"
    async with running(feed.run()):
        made = (await sink.reach(200))[:200]
        assert feed.status().state == "live"
    times = [tick.payload.venue_us for tick in made]
    assert times == [times[0] + 500 * n for n in range(200)]
    assert all(tick.payload.received_us >= tick.payload.venue_us for tick in made)
    assert [tick.channel.symbol for tick in made] == [tick.channel.symbol for tick in ticks(200)]


async def test_stamps_follow_the_wall_clock_when_it_is_set_and_the_pace_does_not() -> None:
    clock, sink = ManualClock(), TickList()
    began_us = clock.now_ns() // 1_000
    feed = SimFeed(SimSettings(ticks_per_s=100.0), sink, clock)
    async with running(feed.run()):
        await sink.reach(1)
        clock.set_back(3_600)
        clock.advance(0.01)
        await sink.reach(2)
    assert sink.ticks[1].payload.venue_us == began_us - 3_600_000_000 + 10_000


async def test_it_says_once_that_it_cannot_keep_up_and_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, sink = ManualClock(), TickList()
    settings = SimSettings(ticks_per_s=1_000.0, burst_ticks_max=100, behind_limit_s=2.0)
    feed = SimFeed(settings, sink, clock)
    with caplog.at_level(logging.WARNING, "feeds.sim"):
        async with running(feed.run()):
            await sink.reach(1)
            clock.advance(10.0)
            await sink.reach(2_001)
            await until(lambda: len(caplog.messages) == 2)
    assert caplog.messages[0] == "sim can't keep up: 1000 ticks/s asked, 10.0 s behind"
    assert caplog.messages[1].startswith("sim keeps up again")
    assert len(caplog.messages) == 2
    assert feed.skipped_ticks == 8_000
    assert feed.late_ticks >= 1_900
