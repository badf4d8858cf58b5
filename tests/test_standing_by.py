"""Two feeds processes on one Redis, as operators start them: killed, stopped and woken up again."""

import asyncio
import contextlib
import itertools
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis

from feeds.market import Publication, Trade
from feeds.market.bus_names import head_key, log_key
from feeds.sim import Market
from tests.conftest import RedisServer
from tests.running_tickgate import COMMAND, environment
from tests.until_answer import until_answer

CHANNEL = "trade:sim:BTC-USD"
STANDS_BY = "standing by for sim: another process publishes it"
TAKES_OVER = "publishing sim now"


class Feeds:
    """A `tickgate feeds` process, told from the other one by the trades of its seed."""

    def __init__(self, process: Process, seed: int) -> None:
        self.seed = seed
        self._process = process
        self._output = ""

    async def says(self, text: str) -> None:
        assert self._process.stderr is not None
        async with asyncio.timeout(40):
            while text not in self._output:
                line = await self._process.stderr.readline()
                assert line, self._output
                self._output += line.decode()
        self._output = self._output.partition(text)[2]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)


@contextlib.asynccontextmanager
async def feeds_on(redis: RedisServer, directory: Path, seed: int) -> AsyncIterator[Feeds]:
    """The generated market of a seed, from its first trade on."""
    data_dir = directory / str(seed)
    data_dir.mkdir()
    told = environment(
        data_dir,
        REDIS_URL=redis.url,
        TICKGATE_SIM_SEED=str(seed),
        TICKGATE_SIM_SYMBOLS="1",
        TICKGATE_SIM_TICKS_PER_S="200",
        # Not lost because the machine stands still for a moment.
        TICKGATE_PUBLISHER_LEASE_S="4",
    )
    process = await asyncio.create_subprocess_exec(*COMMAND, "feeds", env=told, stderr=PIPE)
    try:
        yield Feeds(process, seed)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def trades(redis: Redis) -> list[Publication]:
    entries: Any = await redis.xrange(log_key(CHANNEL))
    return [Publication.decode(fields[b"m"]) for _, fields in entries]


def trades_of(seed: int, count: int) -> dict[int, tuple[str, str, str]]:
    """Price, size and side of the first trades of a seed's market, by their ids."""
    market, found = Market(1, seed), dict[int, tuple[str, str, str]]()
    while len(found) < count:
        trade = market.tick(0, 0).payload
        if isinstance(trade, Trade):
            found[int(trade.id)] = (trade.price, trade.size, trade.side)
    return found


def lives(log: list[Publication], *processes: Feeds) -> list[Feeds]:
    """Who published, one after the other: each of them trade by trade, none twice or left out."""
    assert [one.seq for one in log] == list(range(log[0].seq, log[0].seq + len(log)))
    assert len({one.epoch for one in log}) == 1
    assert not any(one.missing for one in log)
    told = [msgspec.json.decode(one.payload) for one in log]
    most = max(int(one["id"]) for one in told)
    made = {process: trades_of(process.seed, most) for process in processes}

    def teller(one: Any) -> Feeds:
        trade = (one["px"], one["sz"], one["side"])
        (found,) = (process for process in processes if made[process][int(one["id"])] == trade)
        return found

    found: list[Feeds] = []
    for process, life in itertools.groupby(told, key=teller):
        ids = [int(one["id"]) for one in life]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        found.append(process)
    return found


async def head(redis: Redis) -> int:
    return int(await redis.hget(head_key(CHANNEL), "seq") or 0)


async def who_holds(one: Feeds, two: Feeds) -> tuple[Feeds, Feeds]:
    """The one that publishes, and the one that stands by and says so."""
    ones = {asyncio.create_task(each.says(STANDS_BY)): each for each in (one, two)}
    try:
        (said,), others = await asyncio.wait(ones, return_when=asyncio.FIRST_COMPLETED)
        await said
    finally:
        for task in ones:
            task.cancel()
        await asyncio.wait(ones)
    return ones[next(iter(others))], ones[said]


async def grows(redis: Redis, by: int = 5) -> None:
    before = await head(redis)

    async def has_grown() -> bool:
        return await head(redis) >= before + by

    await until_answer(has_grown)


async def test_one_takes_over_when_the_other_stalls_or_dies_and_nothing_is_said_twice(
    redis_server: RedisServer, redis: Redis, tmp_path: Path
) -> None:
    async with (
        feeds_on(redis_server, tmp_path, 1) as one,
        feeds_on(redis_server, tmp_path, 2) as two,
    ):
        holder, standby = await who_holds(one, two)
        await grows(redis)
        assert lives(await trades(redis), one, two) == [holder]
        holder.signal(signal.SIGSTOP)
        await standby.says(TAKES_OVER)
        await grows(redis)
        holder.signal(signal.SIGCONT)
        # What it had in hand when it was stopped is the other one's to say.
        await holder.says(STANDS_BY)
        await grows(redis)
        assert lives(await trades(redis), one, two) == [holder, standby]
        standby.signal(signal.SIGKILL)
        await holder.says(TAKES_OVER)
        await grows(redis)
        assert lives(await trades(redis), one, two) == [holder, standby, holder]
