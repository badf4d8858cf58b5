"""`tickgate run` as a newcomer meets it: real processes, a real Redis, a plain client."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from gateway.access.key_store import KEYS_KEY
from tests.conftest import RedisServer
from tests.running_tickgate import (
    COMMAND,
    LIMIT_S,
    RunningTickgate,
    environment,
    run_to_end,
    tickgate_run,
)
from tests.until import is_gone, until

ATTEMPT_LIMIT_S = 5.0


@pytest.fixture
async def tickgate(tmp_path: Path) -> AsyncIterator[RunningTickgate]:
    async with tickgate_run(tmp_path) as running:
        yield running


def exists(path: str | Path) -> bool:
    return Path(path).exists()


async def until_ticks_flow(tickgate: RunningTickgate, key: str) -> None:
    """Tries again while the gateway, or the channels, are only just coming back."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                # In this order: connecting has a limit of its own, and is not to be cancelled.
                async with (
                    tickgate.subscribed("trade:sim:*", key=key) as subscriber,
                    asyncio.timeout(ATTEMPT_LIMIT_S),
                ):
                    await subscriber.ticks(3)
            except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed):
                await asyncio.sleep(0.05)
            else:
                return


# Its end and its parts ------------------------------------------------------------------------


async def test_ctrl_c_ends_it_with_one_line_and_leaves_keys_and_the_ledger(tmp_path: Path) -> None:
    # Time for its client, which is in this process, to go: else it would say that it had none.
    async with tickgate_run(tmp_path, TICKGATE_GATEWAY_SHUTDOWN_LIMIT_S="15") as tickgate:
        pids = tickgate.all_pids()
        assert len(pids) == 4
        directory = os.path.dirname(tickgate.running.redis_url.removeprefix("unix://"))
        async with tickgate.subscribed("trade:sim:*") as subscriber:
            await subscriber.ticks(1)
            assert await tickgate.stop(signal.SIGINT) == 0
        assert all(is_gone(pid) for pid in pids)
        assert not exists(directory)
        left = {name for name in os.listdir(tmp_path) if not name.startswith("ledger-")}
        assert left == {"lock", "redis.log", "redis.rdb"}
        stopping = "stopping (Ctrl-C again: at once)"
        await until(lambda: stopping in tickgate.lines)
        said = tickgate.lines[tickgate.lines.index(stopping) :]
        # What the generated market says of a machine that stands still is no word about the end.
        assert [line for line in said if " feeds.sim: sim " not in line] == [stopping]


async def test_sigterm_ends_it_too(tickgate: RunningTickgate) -> None:
    pids = tickgate.all_pids()
    assert await tickgate.stop(signal.SIGTERM) == 0
    assert all(is_gone(pid) for pid in pids)


async def test_workers_share_the_port(tmp_path: Path) -> None:
    async with tickgate_run(tmp_path, "--workers", "2") as tickgate:
        assert len(tickgate.pids()["gateway"]) == 2
        async with tickgate.subscribed("quote:sim:*") as subscriber:
            await subscriber.ticks(3)


async def test_without_a_venue_that_can_be_reached_it_serves_and_says_so(tmp_path: Path) -> None:
    closed = {"TICKGATE_VENUE_KRAKEN_URL": "ws://127.0.0.1:1"}
    async with tickgate_run(tmp_path, TICKGATE_VENUES="kraken,sim", **closed) as tickgate:
        await tickgate.says("kraken can't be reached")
        async with tickgate.subscribed("trade:sim:*") as subscriber:
            await subscriber.ticks(1)


async def test_feeds_and_gateway_may_run_apart(tmp_path: Path, redis_server: RedisServer) -> None:
    variables = environment(tmp_path, REDIS_URL=redis_server.url)
    feeds = await asyncio.create_subprocess_exec(*COMMAND, "feeds", env=variables)
    gateway = await asyncio.create_subprocess_exec(
        *COMMAND, "gateway", env=variables, stdout=asyncio.subprocess.PIPE
    )
    apart = RunningTickgate(gateway, tmp_path)
    _, key, _ = await run_to_end("keys", "create", data_dir=tmp_path, REDIS_URL=redis_server.url)
    async with asyncio.TaskGroup() as group:
        group.create_task(apart.read())
        await apart.says("listening: http://127.0.0.1:")
        await until_ticks_flow(apart, key.strip())
        feeds.terminate()
        gateway.terminate()
        assert await feeds.wait() == 0
        assert await gateway.wait() == 0


# Deaths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["Redis", "feeds", "gateway"])
async def test_a_killed_part_is_started_again_and_ticks_flow(
    tickgate: RunningTickgate, victim: str
) -> None:
    [pid] = tickgate.pids()[victim]
    os.kill(pid, signal.SIGKILL)
    await tickgate.says(f"{victim} ended (killed by signal 9); starting it again")
    await until(lambda: tickgate.pids().get(victim, [pid]) != [pid])

    await until_ticks_flow(tickgate, tickgate.key)
    assert "Traceback" not in tickgate.output


async def test_a_killed_tickgate_leaves_no_process_and_can_be_started_again(
    tickgate: RunningTickgate,
) -> None:
    pids = tickgate.all_pids()
    directory = os.path.dirname(tickgate.running.redis_url.removeprefix("unix://"))
    tickgate.process.kill()
    await until(lambda: all(is_gone(pid) for pid in pids))
    assert exists(directory)
    async with tickgate_run(tickgate.data_dir) as second:
        assert not exists(directory)
        async with second.subscribed("trade:sim:*") as subscriber:
            await subscriber.ticks(1)


# Keys -----------------------------------------------------------------------------------------


async def test_a_key_made_before_the_start_is_valid_and_survives_a_kill(tmp_path: Path) -> None:
    status, key, said = await run_to_end("keys", "create", "--label", "bot", data_dir=tmp_path)
    assert status == 0
    assert "shown only now" in said
    async with tickgate_run(tmp_path) as tickgate:
        async with tickgate.subscribed("trade:sim:*", key=key.strip()) as subscriber:
            await subscriber.ticks(1)
        tickgate.process.kill()
        await tickgate.process.wait()
    _, listed, _ = await run_to_end("keys", "list", data_dir=tmp_path)
    assert "bot" in listed
    assert key.strip() not in listed


async def test_revoking_a_key_that_is_none_says_so(tmp_path: Path) -> None:
    status, _, said = await run_to_end("keys", "revoke", "nobody", data_dir=tmp_path)
    assert status == 2
    where, refusal = said.splitlines()
    assert where.startswith(f"no Tickgate runs on {tmp_path}: these are the keys kept there")
    assert "--data-dir" in where
    assert refusal == "tickgate: there is no key nobody: see `tickgate keys list`"


async def test_the_demo_key_of_an_earlier_run_is_gone(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    async with tickgate_run(tmp_path, REDIS_URL=redis_server.url) as first:
        old = first.key
        assert list(first.pids()) == ["feeds", "gateway"]
        first.process.kill()
        await first.process.wait()
    async with (
        tickgate_run(tmp_path, REDIS_URL=redis_server.url) as second,
        Redis.from_url(redis_server.url) as redis,
    ):
        assert [name.decode() for name in await redis.hkeys(KEYS_KEY)] == [second.key.split("_")[1]]
        with pytest.raises(InvalidStatus):
            async with second.subscribed("trade:sim:*", key=old):
                pass


async def test_only_its_own_demo_key_is_taken_back_at_the_end(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    url = redis_server.url
    _, key, _ = await run_to_end(
        "keys", "create", "--label", "demo", data_dir=tmp_path, REDIS_URL=url
    )
    mine = key.split("_")[1].encode()
    other = tmp_path / "other"
    other.mkdir()
    async with tickgate_run(tmp_path, REDIS_URL=url) as first, Redis.from_url(url) as redis:
        async with tickgate_run(other, REDIS_URL=url) as second:
            demos = {each.key.split("_")[1].encode() for each in (first, second)}
            assert set(await redis.hkeys(KEYS_KEY)) == {mine, *demos}
        assert set(await redis.hkeys(KEYS_KEY)) == {mine, first.key.split("_")[1].encode()}
        assert await first.stop() == 0
        assert await redis.hkeys(KEYS_KEY) == [mine]


async def test_the_demo_key_is_not_kept_by_its_own_redis(tickgate: RunningTickgate) -> None:
    demo = tickgate.key.split("_")[1]
    _, listed, _ = await run_to_end("keys", "list", data_dir=tickgate.data_dir)
    assert demo in listed
    assert await tickgate.stop() == 0
    _, listed, _ = await run_to_end("keys", "list", data_dir=tickgate.data_dir)
    assert demo not in listed
