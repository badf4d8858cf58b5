"""A `tickgate run` as its users meet it: one for all who are here, as nobody ends it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed

from tests.running_tickgate import (
    LIMIT_S,
    RunningTickgate,
    environment,
    run_to_end,
    tickgate_run,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("running")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tickgate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningTickgate]:
    async with tickgate_run(tmp_path_factory.mktemp("running")) as running:
        yield running


async def test_a_plain_client_gets_sim_ticks_without_a_hole(tickgate: RunningTickgate) -> None:
    async with tickgate.subscribed("trade:sim:BTC-USD") as subscriber:
        ack = await subscriber.message(type="ack")
        ticks = await subscriber.ticks(5)
    assert ack["err"] == []
    first = int(str(ticks[0]["seq"]))
    assert [tick["seq"] for tick in ticks] == list(range(first, first + 5))
    assert {tick["ch"] for tick in ticks} == {"trade:sim:BTC-USD"}


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("Watch prices in the terminal:", "quote"),
        ("Subscribe with a few lines of Python:", "trade"),
        ("Subscribe with any WebSocket client:", "trade"),
    ],
)
async def test_a_printed_command_works_as_pasted_from_anywhere(
    tickgate: RunningTickgate, title: str, kind: str
) -> None:
    pasted = tickgate.output.split(f"{title}\n\n")[1].split("\n\n")[0]
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-c", pasted),
        cwd="/",
        env=environment(tickgate.data_dir),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert shell.stdout is not None
    ticks = 0
    try:
        async with asyncio.timeout(LIMIT_S):
            async for line in shell.stdout:
                ticks += f'"ch":"{kind}:sim:'.encode() in line and b'"seq":' in line
                if ticks == 3:
                    break
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        await shell.communicate()
    assert ticks == 3


async def test_a_key_made_while_it_runs_is_valid_and_ends_when_revoked(
    tickgate: RunningTickgate,
) -> None:
    _, key, _ = await run_to_end("keys", "create", data_dir=tickgate.data_dir)
    key = key.strip()
    async with tickgate.subscribed("trade:sim:*", key=key) as subscriber:
        await subscriber.ticks(1)
        revoked = await run_to_end("keys", "revoke", key.split("_")[1], data_dir=tickgate.data_dir)
        assert revoked[0] == 0
        with pytest.raises(ConnectionClosed) as closed:
            await subscriber.ticks(10_000)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4003


async def test_a_second_one_on_the_same_data_is_told_of_the_first(
    tickgate: RunningTickgate,
) -> None:
    status, _, said = await run_to_end("run", data_dir=tickgate.data_dir)
    assert status == 1
    running = f"tickgate: tickgate is running already: process {tickgate.process.pid}, "
    assert said.startswith(running + tickgate.url)
    assert said.count("\n") == 1


async def test_a_second_one_with_other_data_does_not_share_the_port(
    tickgate: RunningTickgate, tmp_path: Path
) -> None:
    port = tickgate.url.rpartition(":")[2]
    other = tmp_path / "other"
    other.mkdir()
    status, _, said = await run_to_end("run", "--port", port, data_dir=other)
    assert status == 1
    assert said == (
        f"tickgate: port {port} on 127.0.0.1 is taken by another program;"
        " choose one with --port or TICKGATE_GATEWAY_PORT\n"
    )
