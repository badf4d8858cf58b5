"""Recordings, played: every digit and the order kept, times moved to now by one map."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from feeds.derived.settings import DerivedChoices
from feeds.derived.signal_settings import SignalSettings
from feeds.errors import SettingError
from feeds.market import Channel, Publication, Quote, SystemClock, Tick, Trade
from feeds.market.bus_names import log_key
from feeds.recordings.recording import BadLine, Frame, Row, read_rows
from feeds.recordings.replay import ReplayFeed, ReplayProgress, Timeline
from feeds.run import run_replay
from feeds.settings import FeedSettings
from feeds.venues import VENUES
from tests.manual_clock import ManualClock
from tests.toy_venue import ToyParser, trade
from tests.venue_server import TickList, binance_trade, until

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

START_NS = 1_700_000_000_000_000_000
SETTINGS = FeedSettings(
    # The model that learns takes seconds of a core to load, in which the loop stands still.
    derived=DerivedChoices(signal=SignalSettings(models=("trend",)))
)


class Drained(TickList):
    """A bus that publishes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.registered: list[Channel] = []
        self.drains = 0

    def register(self, channels: list[Channel]) -> None:
        self.registered += channels

    async def drain(self) -> None:
        self.drains += 1


def rows_of(path: Path) -> Iterator[Row]:
    with path.open("rb") as stream:
        yield from read_rows(stream)


def recorded(*moments_ms: int | None) -> list[Row]:
    """One toy trade a row, received so many milliseconds after START_NS."""
    return [
        Frame(line, None if ms is None else START_NS + ms * 1_000_000, trade(line))
        for line, ms in enumerate(moments_ms, 1)
    ]


def a_replay(bus: Drained, found: list[Row], clock: Any, **options: Any) -> ReplayFeed:
    return ReplayFeed(lambda: iter(found), lambda: ToyParser(None), bus, clock, **options)


def offsets_us(ticks: list[Tick], now_ns: int) -> list[int]:
    return [tick.payload.received_us - now_ns // 1_000 for tick in ticks]


@pytest.mark.parametrize(
    ("speed", "expected"),
    [(1.0, [0, 20_000, 21_000]), (10.0, [0, 2_000, 2_100]), (None, [-21_000, -1_000, 0])],
)
async def test_times_are_moved_to_now_by_one_map(speed: float | None, expected: list[int]) -> None:
    clock, bus = ManualClock(), Drained()
    await a_replay(bus, recorded(0, 20, 21), clock, speed=speed).run()
    assert offsets_us(bus.ticks, clock.now_ns()) == expected


async def test_a_replay_is_a_venue_of_its_own_with_the_same_kinds_and_symbols() -> None:
    bus = Drained()
    await a_replay(bus, recorded(0, 1), ManualClock(), speed=None).run()
    assert bus.registered == [Channel("trade", "replay", "BTC-USD")]
    [first, second] = bus.ticks
    assert first.channel == second.channel == bus.registered[0]
    assert first.payload.price == "68900.50"
    assert [first.payload.id, second.payload.id] == ["1", "2"]


async def test_the_recorded_pace_is_kept_and_frames_going_back_in_time_wait_for_nothing() -> None:
    bus = Drained()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await a_replay(bus, recorded(0, 60, 30, 90), SystemClock(), speed=1.0).run()
    assert loop.time() - began_s > 0.08
    assert [tick.payload.id for tick in bus.ticks] == ["1", "2", "3", "4"]


async def test_as_fast_as_possible_waits_for_no_time() -> None:
    bus = Drained()
    day_ms = 86_400_000
    await a_replay(bus, recorded(0, day_ms, 2 * day_ms), ManualClock(), speed=None).run()
    assert len(bus.ticks) == 3


async def test_an_undated_recording_plays_at_once_and_gets_no_receive_time() -> None:
    bus = Drained()
    await a_replay(bus, recorded(None, None), ManualClock(), speed=1.0).run()
    assert [tick.payload.received_us for tick in bus.ticks] == [None, None]


async def test_parse_errors_are_counted_told_of_once_and_the_rest_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus, found = Drained(), recorded(0, 1)
    found[1:1] = [BadLine(2, "no row"), Frame(3, START_NS, "<html>")]
    seen: list[ReplayProgress] = []
    await a_replay(bus, found, ManualClock(), speed=None, progress=seen.append).run()
    assert len(bus.ticks) == 2
    assert (seen[-1].parse_errors, seen[-1].frames, seen[-1].ticks) == (2, 3, 2)
    assert len(caplog.messages) == 1
    assert "line 2 is bad (no row)" in caplog.messages[0]


async def test_bad_lines_leave_the_event_loop_its_turns() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    found = [*recorded(0), *(BadLine(line, "no row") for line in range(2, 10_002))]
    counting = asyncio.create_task(count_turns())
    await a_replay(Drained(), found, ManualClock(), speed=1.0).run()
    counting.cancel()
    assert turns >= 20


async def test_the_bus_is_waited_for_so_that_nothing_is_dropped() -> None:
    bus = Drained()
    await a_replay(bus, recorded(*range(5_000)), ManualClock(), speed=None).run()
    assert bus.drains == 6


async def test_its_status_ends_with_closed() -> None:
    replay = a_replay(Drained(), recorded(0), ManualClock())
    assert replay.status().state == "waiting"
    await replay.run()
    assert (replay.status().state, replay.status().reason) == ("closed", "the recording has ended")


@given(
    st.integers(-(10**15), 10**15),
    st.integers(0, 10**16),
    st.floats(0.01, 1_000),
    st.lists(st.integers(-(10**12), 10**12), min_size=2),
)
def test_a_timeline_never_turns_order_round(
    recorded_us: int, played_us: int, speed: float, times: list[int]
) -> None:
    line = Timeline(recorded_us, played_us, speed)
    played = [line.played_us(recorded_us + time) for time in sorted(times)]
    assert played == sorted(played)
    assert line.played_us(recorded_us) == played_us


@given(st.integers(0, 10**16), st.integers(0, 10**16), st.integers(-(10**13), 10**13))
def test_at_1x_it_is_one_constant_offset(recorded_us: int, played_us: int, time: int) -> None:
    line = Timeline(recorded_us, played_us)
    assert line.played_us(recorded_us + time) == played_us + time


def test_a_time_that_is_not_there_stays_so() -> None:
    line = Timeline(1_000, 5_000)
    assert line.moved(Quote("1", "2")) == Quote("1", "2")
    assert line.moved(Trade("1", "2", "buy", "7", 900, 1_000)) == Trade(
        "1", "2", "buy", "7", 4_900, 5_000
    )


async def published(redis: Redis, channel: str) -> list[dict[str, Any]]:
    entries = await redis.xrange(log_key(channel))
    return [json.loads(Publication.decode(fields[b"m"]).payload) for _, fields in entries]


async def test_a_file_reaches_the_bus_with_its_status(
    tmp_path: Path, redis_url: str, redis: Redis
) -> None:
    path = tmp_path / "binance.rec"
    path.write_text("".join(f"{START_NS + n} {binance_trade(n)}\n" for n in range(3)))
    progress = await run_replay(
        lambda: rows_of(path),
        "binance",
        SETTINGS,
        redis_url,
        clock=SystemClock(),
        stopping=asyncio.Event(),
        speed=None,
    )
    assert (progress.ticks, progress.parse_errors) == (3, 0)
    trades = await published(redis, "trade:replay:BTC-USDT")
    assert [(found["id"], found["px"], found["side"]) for found in trades] == [
        (str(number), "61000.10000000", "sell") for number in range(3)
    ]
    assert (await published(redis, "status:replay:VENUE"))[-1]["state"] == "closed"
    assert await redis.sismember("tickgate:channels", "trade:replay:BTC-USDT")


async def test_stopping_ends_a_replay_that_waits(tmp_path: Path, redis_url: str) -> None:
    path = tmp_path / "slow.rec"
    path.write_text(f"{START_NS} {{}}\n{START_NS + 3_600_000_000_000} {{}}\n")
    stopping = asyncio.Event()
    seen: list[ReplayProgress] = []
    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        group.create_task(
            run_replay(
                lambda: rows_of(path),
                "binance",
                SETTINGS,
                redis_url,
                clock=SystemClock(),
                stopping=stopping,
                progress=seen.append,
            )
        )
        await until(lambda: bool(seen))
        stopping.set()


@pytest.mark.parametrize(
    ("venue", "speed", "complaint"),
    [("nasdaq", 1.0, "no such venue: nasdaq"), ("binance", 0.0, "a number of more than 0")],
)
async def test_what_cannot_be_played_is_refused_before_anything_is_connected(
    venue: str, speed: float, complaint: str
) -> None:
    with pytest.raises(SettingError, match=complaint):
        await run_replay(
            lambda: iter(()),
            venue,
            FeedSettings(),
            "redis://127.0.0.1:1",
            clock=SystemClock(),
            stopping=asyncio.Event(),
            speed=speed,
        )


async def test_ten_real_minutes_come_out_whole(shared: Path) -> None:
    expected = json.loads((shared / "replay" / "EXPECTED.json").read_text())["spot_btcusdt"]
    paths = [shared / "replay" / name for name in expected["files"]]

    def read() -> Iterator[Row]:
        return itertools.chain.from_iterable(rows_of(path) for path in paths)

    clock, bus = ManualClock(), Drained()
    feed = ReplayFeed(read, lambda: VENUES["binance"].parser(None), bus, clock, speed=None)
    await feed.run()
    trades = [tick.payload for tick in bus.ticks if isinstance(tick.payload, Trade)]
    quotes = [tick.payload for tick in bus.ticks if isinstance(tick.payload, Quote)]
    assert len(trades) == expected["trades"]
    assert len(quotes) == expected["messages"]["bookTicker"]
    volume = sum(Decimal(trade.size) for trade in trades)
    notional = sum(Decimal(trade.price) * Decimal(trade.size) for trade in trades)
    assert str(volume) == expected["base_volume"]
    assert str(round(notional / volume, 8)) == expected["vwap"]
    assert max(trade.price for trade in trades) == expected["high"]
    assert min(trade.price for trade in trades) == expected["low"]
    assert [trades[0].id, trades[0].price] == [str(each) for each in expected["first_trade"][:2]]
    assert [trades[-1].id, trades[-1].price] == [str(each) for each in expected["last_trade"][:2]]
    span_ms = expected["last_trade"][2] - expected["first_trade"][2]
    assert trades[-1].venue_us - trades[0].venue_us == span_ms * 1_000
    assert [quotes[-1].bid, quotes[-1].ask_size] == [
        expected["last_bookTicker"][key] for key in ("b", "A")
    ]
    received = [tick.payload.received_us for tick in bus.ticks]
    assert received == sorted(received)
    assert received[-1] <= clock.now_ns() // 1_000
