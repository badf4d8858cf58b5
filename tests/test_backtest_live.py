"""Backtest = live: what a running Tickgate said of a market, a backtest says of its recording."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import msgspec
from redis.asyncio import Redis

from feeds.backtest.drive import Heard
from feeds.backtest.source import Event
from feeds.derived import DERIVATIONS
from feeds.derived.chain import Chain
from feeds.derived.settings import CandleSettings, DerivedChoices, DerivedSettings
from feeds.derived.signal_settings import ReversionSettings, SignalSettings, TrendSettings
from feeds.market import Signal, SystemClock
from feeds.market.bus_names import DIRECTORY_KEY
from feeds.run import run_feeds
from feeds.settings import FeedSettings, LedgerSettings, SimSettings
from tests.backtest_files import QUICK, messages, run, ticks, told
from tests.gateway_server import GatewayServer
from tests.running_tickgate import COMMAND, LIMIT_S, environment
from tests.test_backtest_readers import events
from tests.until import until

SIGNALS_MIN = 6
LATENESS_MS = 3_000
"""For so long this machine may stand still: what a second is made of has come before it is over.
Live what came meanwhile is taken in first, and then the clock is looked at; a recording does not
know that anybody stood still, and has the second end in time."""
HEARD = ("trade:sim:BTC-USD", "quote:sim:BTC-USD", "status:sim:VENUE")
MODELS = ("trend", "reversion")
"""`flow` reads the quotes until the moment at which it is asked: live that is some milliseconds
later, as the timer goes, so that it may have heard one quote more."""


def _choices() -> DerivedChoices:
    """Models that speak after some seconds, and about every second."""
    signal = SignalSettings(
        models=MODELS,
        trend=TrendSettings(
            horizon=1, enter=0.01, leave=0.005, fast=2, slow=3, macd=(2, 3, 2), atr=2
        ),
        reversion=ReversionSettings(horizon=1, enter=0.01, leave=0.005, rsi=2, bollinger=3),
    )
    return DerivedChoices(signal=signal, candle=CandleSettings(lateness_ms=LATENESS_MS))


@contextlib.asynccontextmanager
async def _watching(gateway: GatewayServer, directory: Path) -> AsyncIterator[Path]:
    """`tickgate watch` into a file, begun before there is anything to hear."""
    names = [*HEARD, *(f"signal:{model}:BTC-USD" for model in MODELS)]
    path = directory / "watched.jsonl"
    url = f"http://127.0.0.1:{gateway.port}"
    with path.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "watch", "--url", url, *names,
            env=environment(directory, TICKGATE_KEY=gateway.key), stdout=out,
        )  # fmt: skip
        try:
            sessions = gateway.worker.hub.sessions
            await until(lambda: any(len(one.channels) == len(names) for one in sessions), LIMIT_S)
            yield path
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _signals(path: Path) -> list[Signal]:
    lines = path.read_bytes().splitlines(keepends=True)
    return [
        msgspec.json.decode(line, type=Signal)
        for line in lines
        if b'"ch":"signal:' in line and b'"ref"' in line and line.endswith(b"\n")
    ]


def _enough(path: Path) -> list[Signal]:
    signals = _signals(path)
    return signals if len(signals) >= SIGNALS_MIN else []


def _heard_until_us(path: Path) -> int:
    """When the feed heard the newest tick of the recording: there a backtest's clock ends."""
    lines = path.read_bytes().splitlines(keepends=True)
    ticks = [line for line in lines if b'"ch":"trade:' in line and line.endswith(b"\n")]
    return max((int(msgspec.json.decode(line).get("rx", 0)) for line in ticks), default=0)


async def test_a_recorded_run_gives_the_signals_that_were_told_live(
    gateway: GatewayServer, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    names = [*HEARD, *(f"signal:{model}:BTC-USD" for model in MODELS)]
    await redis.sadd(DIRECTORY_KEY, *names)
    settings = FeedSettings(
        venues=("sim",),
        sim=SimSettings(symbols=1, ticks_per_s=40),
        derived=_choices(),
        ledger=LedgerSettings(path=str(tmp_path / "ledger.sqlite")),
    )
    stopping = asyncio.Event()
    async with _watching(gateway, tmp_path) as path, asyncio.TaskGroup() as group:
        running = run_feeds(
            settings, redis_url, clock=SystemClock(), random=Random(7), stopping=stopping
        )
        group.create_task(running)
        try:
            signals = await until(lambda: _enough(path), LIMIT_S)
            told_us = max(signal.computed_us for signal in signals)
            # Live a timer tells them; a backtest's time goes by the ticks of its recording.
            await until(lambda: _heard_until_us(path) > told_us, LIMIT_S)
        finally:
            stopping.set()
    live = {signal.id: _said(signal) for signal in signals}
    again = {s.id: _said(s) for s in run([path], _choices()).heard.signals}
    assert len(live) >= SIGNALS_MIN
    assert {id_: again.get(id_) for id_ in live} == live


def _said(signal: Signal) -> object:
    """All but the moment at which a timer went, and what was the newest price then."""
    return (
        signal.model, signal.version, signal.direction, signal.score, signal.horizon_s,
        signal.reasons, signal.last_move, signal.probability_up, signal.simulated,
        signal.reference.channel,
    )  # fmt: skip


def test_ticks_give_the_same_however_they_are_handed_on(tmp_path: Path) -> None:
    path = messages(tmp_path / "watched.jsonl", ticks(60))
    found, _ = events(path)
    assert _handed_on(found, 1) == _handed_on(found, 3) == told(run([path]))


def _handed_on(found: list[Event], at_once: int) -> list[bytes]:
    """As a live edge does: woken when due, and some ticks of one moment at a time."""
    chain = Chain(DERIVATIONS, DerivedSettings(**msgspec.structs.asdict(QUICK), simulated=True))
    heard = Heard("1s", "BTC-USD")
    for at_us, some in found:
        while (due_us := chain.next_us()) is not None and due_us < at_us:
            heard.hear(chain.wake(due_us), due_us)
        for first in range(0, len(some), at_once):
            heard.hear(chain.take(some[first : first + at_once], at_us), at_us)
    return [msgspec.json.encode(each) for each in heard.entries]
