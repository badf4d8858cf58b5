"""A SIGHUP that somebody sends, and the one of a terminal that is closed, mean different things."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
LIMIT_S = 30.0

PROGRAM = """
import asyncio, os, signal, sys
from gateway.commands.stopping import on_stop
async def main():
    terminal, mode = sys.argv[1:]
    if terminal:
        os.open(terminal, os.O_RDWR)  # of a new session: it is ours from now on
    # Also where the tests themselves run under nohup.
    signal.signal(signal.SIGHUP, signal.SIG_IGN if mode == "nohup" else signal.SIG_DFL)
    stopping = asyncio.Event()
    def stop():
        print("stop", flush=True)
        stopping.set()
    def reread():
        print("reread", flush=True)
    on_stop(stop, None if mode == "nothing to read" else reread)
    print("ready", flush=True)
    await stopping.wait()
asyncio.run(main())
"""


class Stopping:
    """A process that says what it makes of signals."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def says(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            return (await self.process.stdout.readline()).decode().strip()


@asynccontextmanager
async def stopping(terminal: str = "", mode: str = "") -> AsyncIterator[Stopping]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, terminal, mode),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        told = Stopping(process)
        assert await told.says() == "ready"
        yield told
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_without_a_terminal_a_hang_up_means_to_read_again() -> None:
    async with stopping() as told:
        for _ in range(2):
            told.process.send_signal(signal.SIGHUP)
            assert await told.says() == "reread"
        told.process.send_signal(signal.SIGTERM)
        assert await told.says() == "stop"


async def test_where_there_is_nothing_to_read_it_means_the_end() -> None:
    async with stopping(mode="nothing to read") as told:
        told.process.send_signal(signal.SIGHUP)
        assert await told.says() == "stop"


@pytest.mark.parametrize("mode", ["", "nohup"])
async def test_a_terminal_that_is_closed_means_the_end_unless_started_by_nohup(mode: str) -> None:
    ours, theirs = os.openpty()
    try:
        async with stopping(os.ttyname(theirs), mode) as told:
            os.close(theirs)
            told.process.send_signal(signal.SIGHUP)
            assert await told.says() == "reread"
            os.close(ours)
            ours = -1
            if mode == "nohup":
                # It goes on, until it is asked to end.
                told.process.send_signal(signal.SIGTERM)
            assert await told.says() == "stop"
    finally:
        if ours >= 0:
            os.close(ours)
