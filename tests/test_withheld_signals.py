"""A signal that could not be told: nothing goes by it, it is said again, the log says so once."""

import asyncio
import signal as signals
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import uvloop
from redis.asyncio import Redis

from feeds.deriving import bookkeeper
from feeds.deriving.derived_feed import DerivedFeed
from feeds.deriving.price_places import find_places
from feeds.ledger.verification import verify_ledger
from feeds.market import Channel, Outcome, Payload, Price, Reference, Signal, Tick
from tests.conftest import RedisServer
from tests.gateway_server import Publishing
from tests.test_derived_feed import (
    OUTCOME,
    PRICES,
    SIGNALS,
    deriving,
    first,
    now_us,
    published,
    signal,
)
from tests.until import until

LOOPS = {"uvloop": uvloop.new_event_loop}

READ_ONLY = "attempt to write a readonly database"


class Insistent:
    """Says it once, and again after it was withheld."""

    may_speak = False

    def __init__(self) -> None:
        self.has_spoken = False

    def take(self, ticks: Iterable[Tick], at_us: int) -> list[Tick]:
        for tick in ticks:
            payload = tick.payload
            if isinstance(payload, Price) and payload.price and not self.has_spoken:
                self.has_spoken = Insistent.may_speak
                said = signal(payload.computed_us, payload.price)
                return [Tick(Channel.parse(SIGNALS), said)] if Insistent.may_speak else []
        return []

    def wake(self, at_us: int) -> list[Tick]:
        return []

    def next_us(self) -> int | None:
        return None

    def restore(self, told: Mapping[str, Sequence[Payload]], at_us: int) -> None:
        self.has_spoken = any(told.get(SIGNALS, ()))

    def withhold(self, payload: Signal | Outcome) -> None:
        if isinstance(payload, Signal):
            self.has_spoken = False


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookkeeper, "_OPEN_AGAIN_S", 0.05)
    monkeypatch.setattr(bookkeeper, "_PLACE_LIMIT_S", 0.3)
    monkeypatch.setattr(Insistent, "may_speak", False)


@contextmanager
def hanging(server: RedisServer) -> Iterator[None]:
    assert server.process is not None
    server.process.send_signal(signals.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signals.SIGCONT)


@asynccontextmanager
async def insisting(redis: Redis, publish: Publishing, ledger: Path) -> AsyncIterator[DerivedFeed]:
    async with deriving(redis, publish, ledger, Insistent) as feed:
        await first(redis, PRICES)
        yield feed


def said_of_books(log: pytest.LogCaptureFixture) -> list[str]:
    names = ("feeds.deriving.bookkeeper", "feeds.ledger.book")
    return [one.getMessage() for one in log.records if one.name in names]


async def test_while_redis_hangs_signals_are_withheld_and_then_said_again(
    redis_server: RedisServer,
    redis: Redis,
    publish: Publishing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "ledger.sqlite"
    async with insisting(redis, publish, path) as feed:
        with hanging(redis_server):
            monkeypatch.setattr(Insistent, "may_speak", True)
            await until(lambda: feed.books.withheld >= 3)
            monkeypatch.setattr(bookkeeper, "_PLACE_LIMIT_S", 15.0)
        _, told = await first(redis, SIGNALS)
        _, outcome = await first(redis, OUTCOME)
        told_signals = len(await published(redis, SIGNALS))
    assert (told_signals, outcome["signal"]) == (1, told["id"])
    assert said_of_books(caplog) == [
        "signals are not told: their prices are not published",
        f"signals are told again; withheld={feed.books.withheld}",
    ]
    found = verify_ledger(path, now_us())
    assert (found.wrong, found.signals, found.outcomes) == (None, 1, 1)


async def test_while_the_ledger_cant_be_written_they_are_withheld_and_then_said_again(
    redis: Redis,
    publish: Publishing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    blocked = tmp_path / "no-directory"
    blocked.write_text("")
    async with insisting(redis, publish, blocked / "ledger.sqlite") as feed:
        monkeypatch.setattr(bookkeeper, "_PLACE_LIMIT_S", 15.0)
        monkeypatch.setattr(Insistent, "may_speak", True)
        await until(lambda: feed.books.withheld >= 3)
        blocked.unlink()
        _, told = await first(redis, SIGNALS)
        _, outcome = await first(redis, OUTCOME)
    assert outcome["signal"] == told["id"]
    began, ended = said_of_books(caplog)
    assert began.startswith("signals are not told: the ledger ")
    assert ended == f"signals are told again; withheld={feed.books.withheld}"


@asynccontextmanager
async def read_only(feed: DerivedFeed) -> AsyncIterator[None]:
    """Its disk takes nothing, until the end of this."""

    async def set_to(state: str) -> None:
        ledger = feed.books._ledger
        assert ledger is not None
        disk = ledger._book._table._connection
        await ledger._run(lambda: disk.execute(f"PRAGMA query_only = {state}"))

    await until(lambda: feed.books.is_open)
    await set_to("ON")
    yield
    await set_to("OFF")


async def test_they_are_said_to_be_told_again_when_something_could_be_written_and_not_before(
    redis: Redis,
    publish: Publishing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "ledger.sqlite"
    monkeypatch.setattr(bookkeeper, "_PLACE_LIMIT_S", 15.0)
    async with insisting(redis, publish, path) as feed:
        async with read_only(feed):
            monkeypatch.setattr(Insistent, "may_speak", True)
            await until(lambda: feed.books.withheld >= 10)
            assert len(said_of_books(caplog)) == 1
            assert feed.books.trouble is not None
        _, told = await first(redis, SIGNALS)
        _, outcome = await first(redis, OUTCOME)
    assert outcome["signal"] == told["id"]
    began, ended = said_of_books(caplog)
    assert began == f"signals are not told: the ledger {path} can't be used: {READ_ONLY}"
    assert ended == f"signals are told again; withheld={feed.books.withheld}"


def reference(tick: Tick) -> Reference:
    assert isinstance(tick.payload, Price)
    return Reference(PRICES, tick.payload.price or "", tick.payload.computed_us)


def prices(count: int) -> list[Tick]:
    rows = [
        Price("live", "median-v1", 1, 3, 2, 50, 10_000, (), 1_000 + each, f"{each}", "1")
        for each in range(1, count + 1)
    ]
    return [Tick(Channel.parse(PRICES), row) for row in rows]


@pytest.mark.parametrize("number", [1, 45, 90])
async def test_a_price_is_found_wherever_it_stands_in_its_stream(
    redis: Redis, publish: Publishing, number: int
) -> None:
    rows = prices(90)
    await publish(rows)
    wanted = reference(rows[number - 1])
    found = await find_places(redis, [wanted], 15.0)
    assert found[wanted].seq == number
    assert found[wanted].price == wanted.price


async def test_a_price_that_nobody_published_is_not_waited_for_for_ever(
    redis: Redis, publish: Publishing
) -> None:
    rows = prices(10)
    await publish(rows[:9])
    there, missing = reference(rows[8]), reference(rows[9])
    assert (await find_places(redis, [there, missing], 2.0)).keys() == {there}


async def test_a_standstill_of_our_own_is_not_counted_as_waiting(
    redis: Redis, publish: Publishing
) -> None:
    rows = prices(3)
    await publish(rows)
    looking = asyncio.create_task(find_places(redis, [reference(rows[0])], 1.0))
    for _ in range(4):
        await asyncio.sleep(0)
        time.sleep(1.1)  # noqa: ASYNC251 - the standstill
    assert await looking
