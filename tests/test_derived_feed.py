"""Derived channels, live: a real Redis, a real ledger; what is made of ticks, proven and told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from redis.asyncio import Redis

from feeds.batch import Fence
from feeds.chosen import check_derived, ledger_path
from feeds.derived import Derived
from feeds.derived.outcomes import OUTCOMES
from feeds.derived.price import PRICE
from feeds.derived.settings import DerivedChoices, DerivedSettings
from feeds.deriving import bookkeeper, heard, past
from feeds.deriving.bookkeeper import Bookkeeper
from feeds.deriving.derived_feed import DerivedFeed
from feeds.errors import SettingError
from feeds.ledger.store import Ledger
from feeds.market import (
    Candle,
    Channel,
    Payload,
    Price,
    Publication,
    Quote,
    Reference,
    Signal,
    SystemClock,
    Tick,
    Trade,
)
from feeds.market.bus_names import DIRECTORY_KEY, TRACK_RECORDS_KEY, lease_keys, log_key
from feeds.settings import HistorySettings, LedgerSettings, PublisherSettings
from tests.gateway_server import Publishing, publishing_on
from tests.until import until
from tests.until_answer import until_answer

LOOPS = {"uvloop": uvloop.new_event_loop}

PRICES = "price:agg:BTC-USD"
SIGNALS = "signal:oracle:BTC-USD"
OUTCOME = "outcome:oracle:BTC-USD"

HORIZON_S = 4
"""As long as it is, an outcome waits for a price after it: longer than a machine stands still."""
ALL_PRICES = PublisherSettings(history=HistorySettings(newest=2_000))
"""However long the disk takes until what was made of a price is told."""


def now_us() -> int:
    return SystemClock().now_ns() // 1_000


def signal(at_us: int, price: str = "100.5") -> Signal:
    return Signal(
        id=f"oracle-1:BTC-USD:{at_us}",
        model="oracle",
        version=1,
        direction="bull",
        score=0.5,
        computed_us=at_us,
        horizon_s=HORIZON_S,
        expires_us=at_us + 60_000_000,
        reference=Reference(PRICES, price, at_us),
        reasons={"hope": 1.0},
        simulated=True,
    )


class Oracle:
    """Says something once, after the first live price."""

    def __init__(self) -> None:
        self.has_spoken = False

    def take(self, ticks: Iterable[Tick], at_us: int) -> list[Tick]:
        for tick in ticks:
            payload = tick.payload
            if isinstance(payload, Price) and payload.price and not self.has_spoken:
                self.has_spoken = True
                said = signal(payload.computed_us, payload.price)
                return [Tick(Channel.parse(SIGNALS), said)]
        return []

    def wake(self, at_us: int) -> list[Tick]:
        return []

    def next_us(self) -> int | None:
        return None

    def restore(self, told: Mapping[str, Sequence[Payload]], at_us: int) -> None:
        self.has_spoken = any(told.get(SIGNALS, ()))


class Stumbling(Oracle):
    """Fails at the first tick that it ever hears."""

    falls = 0

    def take(self, ticks: Iterable[Tick], at_us: int) -> list[Tick]:
        Stumbling.falls += 1
        if Stumbling.falls == 1:
            raise ZeroDivisionError("as derivations do")
        return super().take(ticks, at_us)


def row(made: type[Oracle]) -> Derived:
    reads = frozenset(("price",))
    return Derived("signal", "Oracle", reads, lambda _: made(), frozenset(("signal",)))


@contextlib.asynccontextmanager
async def deriving(
    redis: Redis,
    publish: Publishing,
    ledger: Path | None,
    made: type[Oracle] = Oracle,
) -> AsyncIterator[DerivedFeed]:
    rows = (PRICE, row(made), OUTCOMES)
    settings = DerivedSettings(simulated=True)
    publisher, clock = publish.publisher, SystemClock()
    feed = DerivedFeed(rows, settings, ["sim"], publisher, redis, clock=clock, ledger=ledger)
    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        await feed.load()
        running = group.create_task(feed.run())
        quoting = group.create_task(quote_always(feed))
        yield feed
        running.cancel()
        quoting.cancel()


async def quote_always(feed: DerivedFeed) -> None:
    """A market that moves: a quote and a trade, again and again."""
    channels = Channel.parse("quote:sim:BTC-USD"), Channel.parse("trade:sim:BTC-USD")
    for number in range(100_000):
        at_us = now_us()
        quote = Quote("100", f"101.{number % 10}", "1", "1", at_us, at_us)
        trade = Trade("100", "1", "buy", str(number), at_us, at_us)
        feed.offer([Tick(channels[0], quote), Tick(channels[1], trade)])
        await asyncio.sleep(0.02)


async def published(redis: Redis, channel: str) -> list[tuple[Publication, dict[str, Any]]]:
    entries: Any = await redis.xrange(log_key(channel))
    found = [Publication.decode(fields[b"m"]) for _, fields in entries]
    return [(one, msgspec.json.decode(one.payload)) for one in found]


async def first(redis: Redis, channel: str) -> tuple[Publication, dict[str, Any]]:
    return (await until_answer(lambda: published(redis, channel)))[0]


async def test_a_signal_names_the_message_of_its_price_and_is_in_the_ledger_before_it_is_told(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.sqlite"
    async with publishing_on(redis_url, ALL_PRICES) as publish, deriving(redis, publish, path):
        _, told = await first(redis, SIGNALS)
        _, outcome = await first(redis, OUTCOME)
        known = await redis.smembers(DIRECTORY_KEY)
        prices = await published(redis, PRICES)
        await until_answer(lambda: redis.hget(TRACK_RECORDS_KEY, "oracle"))
    for reference in (told["ref"], outcome["ref"]):
        [(place, price)] = [one for one in prices if one[0].seq == reference["seq"]]
        assert reference["epoch"] == place.epoch
        assert (reference["px"], reference["at"]) == (price["px"], price["at"])
    assert outcome["signal"] == told["id"]
    assert {PRICES.encode(), SIGNALS.encode(), OUTCOME.encode()} <= known
    ledger = await Ledger.open(path, simulated=True, clock=SystemClock())
    kept = await ledger.recent(10)
    await ledger.close()
    assert [msgspec.to_builtins(one)["ref"] for one in kept] == [told["ref"], outcome["ref"]]


async def test_without_a_ledger_no_signal_is_told_and_prices_go_on(
    redis: Redis, publish: Publishing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bookkeeper, "_OPEN_AGAIN_S", 0.05)
    blocked = tmp_path / "no-directory"
    blocked.write_text("")
    async with deriving(redis, publish, blocked / "ledger.sqlite") as feed:
        await until(lambda: feed.books.withheld == 1)
        count = len(await published(redis, PRICES))
        await until_answer(lambda: has_more_than(redis, PRICES, count))
        assert not await published(redis, SIGNALS)
        status = feed.status()
        assert (status.state, status.by) == ("live", "feed")
        assert "signals are not told: the ledger" in (status.reason or "")
        blocked.unlink()
        await until(lambda: feed.books.trouble is None)
        assert feed.status().reason is None


async def test_a_signal_that_came_before_the_ledger_was_found_amiss_is_withheld_too(
    redis: Redis, publish: Publishing, tmp_path: Path
) -> None:
    (tmp_path / "no-directory").write_text("")
    path = tmp_path / "no-directory" / "ledger.sqlite"
    books = Bookkeeper(path, publish.publisher, redis, SystemClock(), simulated=True)
    books.take([signal(now_us())])
    async with asyncio.TaskGroup() as group:
        running = group.create_task(books.run())
        await until(lambda: books.withheld == 1)
        running.cancel()


async def has_more_than(redis: Redis, channel: str, count: int) -> bool:
    return len(await published(redis, channel)) > count


async def test_what_a_crash_left_in_the_ledger_untold_is_told_at_the_next_start(
    redis: Redis, publish: Publishing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a ledger in time the oracle could not know that it has spoken.
    monkeypatch.setattr(past, "_LEDGER_LIMIT_S", 15.0)
    path = tmp_path / "ledger.sqlite"
    ledger = await Ledger.open(path, simulated=True, clock=SystemClock())
    left = signal(now_us())
    await ledger.append([left])
    await ledger.close()
    async with deriving(redis, publish, path):
        _, told = await first(redis, SIGNALS)
        _, outcome = await first(redis, OUTCOME)
    assert (told["id"], outcome["signal"]) == (left.id, left.id)
    assert outcome["partial"]
    assert [one["id"] for _, one in await published(redis, SIGNALS)] == [left.id]


async def test_a_derivation_that_fails_stops_no_tick_and_begins_again(
    redis: Redis, publish: Publishing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stumbling, "falls", 0)
    async with deriving(redis, publish, tmp_path / "ledger.sqlite", Stumbling) as feed:
        await until(lambda: feed.counts.restarts == 1)
        assert feed.status().state == "stale"
        count = len(await published(redis, "trade:sim:BTC-USD"))
        await until_answer(lambda: has_more_than(redis, "trade:sim:BTC-USD", count))
        await first(redis, SIGNALS)
        assert feed.status().state == "live"
    assert feed.counts.restarts == 1


async def test_who_stands_by_passes_ticks_on_and_keeps_only_the_newest(
    redis: Redis, publish: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heard, "_TICKS_MAX", 100)
    publisher = publish.publisher
    feed = DerivedFeed((PRICE,), DerivedSettings(), ["sim"], publisher, redis, clock=SystemClock())
    channel = Channel.parse("trade:sim:BTC-USD")
    some = [Tick(channel, Trade("100", "1", "buy", str(number))) for number in range(30)]
    for _ in range(20):
        feed.offer(some)
        await publisher.drain()
    assert feed.waiting_ticks == 0
    assert feed.held_ticks <= 130
    assert publisher.counts.published == 600


@pytest.mark.parametrize(
    ("chosen", "complaint"),
    [
        ({"price": {"conversions": ["USDT"]}}, "derived.price.conversions: not a symbol"),
        ({"price": {"conversions": ["USD-USD"]}}, "USD-USD is no pair of two currencies"),
        ({"price": {"venues_min": 0}}, "derived.price.venues_min must be 1 to 1000, is 0"),
        ({"candle": {"correctable_s": 61}}, "derived.candle.correctable_s must be 0 to 60, is 61"),
    ],
)
def test_settings_by_which_nothing_could_be_derived_are_refused(
    chosen: dict[str, object], complaint: str
) -> None:
    with pytest.raises(SettingError, match=complaint):
        check_derived(msgspec.convert(chosen, DerivedChoices))


@pytest.mark.parametrize(
    ("simulated", "name"), [(True, "ledger-simulated.sqlite"), (False, "ledger.sqlite")]
)
def test_a_simulated_market_has_a_ledger_of_its_own(simulated: bool, name: str) -> None:
    path = ledger_path(LedgerSettings(path="/somewhere/ledger.sqlite"), simulated=simulated)
    assert path == Path("/somewhere") / name


async def test_what_is_derived_is_published_under_one_lease_whatever_venue_it_is_about(
    redis: Redis, publish: Publishing
) -> None:
    fenced: list[str] = []
    publisher = publish.publisher
    publisher.on_fenced = fenced.append
    publisher.publish_under(Fence("agg", lease_keys("agg")[0], "not the holder"))
    quote = Quote("100", "101")
    candle = Candle(0, "1", "1", "1", "1", "0", "0", "1", "0", 0, final=True)
    publisher.offer(
        [
            Tick(Channel.parse("quote:kraken:BTC-USD"), quote),
            Tick(Channel.parse("candle.1m:kraken:BTC-USD"), candle),
            Tick(Channel.parse("signal:trend:BTC-USD"), signal(1)),
        ]
    )
    await until(lambda: fenced)
    assert set(fenced) == {"agg"}
    await first(redis, "quote:kraken:BTC-USD")
    assert not await published(redis, "candle.1m:kraken:BTC-USD")
    publisher.yield_to_another("agg")
    await publisher.drain()
    assert publisher.counts.yielded == 2
