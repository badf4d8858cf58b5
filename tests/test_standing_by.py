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

from feeds.market import Publication
from feeds.market.bus_names import head_key, log_key
from tests.conftest import RedisServer
from tests.running_tickgate import COMMAND, environment
from tests.until_answer import until_answer

CHANNEL = "trade:sim:BTC-USD"
STANDS_BY = "standing by for sim: another process publishes it"
TAKES_OVER = "publishing sim now"


class Feeds:
    """A `tickgate feeds` process."""

    def __init__(self, process: Process) -> None:
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
async def feeds_on(
    redis: RedisServer, directory: Path, name: str, **variables: str
) -> AsyncIterator[Feeds]:
    """The generated market, from its first trade on: one process is told from another by that."""
    data_dir = directory / name
    data_dir.mkdir()
    told = environment(
        data_dir,
        REDIS_URL=redis.url,
        TICKGATE_SIM_SYMBOLS="1",
        TICKGATE_SIM_TICKS_PER_S="200",
        **variables,
    )
    process = await asyncio.create_subprocess_exec(*COMMAND, "feeds", env=told, stderr=PIPE)
    try:
        yield Feeds(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def trades(redis: Redis) -> list[Publication]:
    entries: Any = await redis.xrange(log_key(CHANNEL))
    return [Publication.decode(fields[b"m"]) for _, fields in entries]


def lives(log: list[Publication]) -> list[int]:
    """How many trades each process' market had when the other one's came."""
    ids = [int(msgspec.json.decode(one.payload)["id"]) for one in log]
    assert [one.seq for one in log] == list(range(log[0].seq, log[0].seq + len(log)))
    assert len({one.epoch for one in log}) == 1
    assert not any(one.missing for one in log)
    ends = [before for before, after in itertools.pairwise(ids) if after != before + 1]
    return [*ends, ids[-1]]


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
        feeds_on(redis_server, tmp_path, "one") as one,
        feeds_on(redis_server, tmp_path, "two") as two,
    ):
        holder, standby = await who_holds(one, two)
        await grows(redis)
        assert len(lives(await trades(redis))) == 1
        holder.signal(signal.SIGSTOP)
        await standby.says(TAKES_OVER)
        await grows(redis)
        holder.signal(signal.SIGCONT)
        # What it had in hand when it was stopped is the other one's to say.
        await holder.says(STANDS_BY)
        await grows(redis)
        assert len(lives(await trades(redis))) == 2
        standby.signal(signal.SIGKILL)
        await holder.says(TAKES_OVER)
        await grows(redis)
        assert len(lives(await trades(redis))) == 3
