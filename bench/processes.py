"""The product's own processes, started for a benchmark and stopped with it."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bench.cpu import pinned
from gateway.commands.greeting import answers_ready

REPOSITORY: Final = Path(__file__).resolve().parents[1]
START_LIMIT_S: Final = 60.0


def environment(redis_url: str, *, ticks_per_s: float, symbols: int, seed: int) -> dict[str, str]:
    """Of processes that take ticks of `sim` from a feed through this Redis to a gateway."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("TICKGATE_")}
    return clean | {
        "PYTHONPATH": str(REPOSITORY),
        "REDIS_URL": redis_url,
        "TICKGATE_CONFIG": os.devnull,
        "TICKGATE_GATEWAY_PORT": "0",
        "TICKGATE_VENUES": "sim",
        "TICKGATE_SIM_SYMBOLS": str(symbols),
        "TICKGATE_SIM_TICKS_PER_S": str(ticks_per_s),
        "TICKGATE_SIM_SEED": str(seed),
    }


@contextlib.asynccontextmanager
async def started(
    command: str, environ: Mapping[str, str], core: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`tickgate COMMAND`, on any core or on that one, stopped at the end of the block."""
    words = [sys.executable, "-m", "gateway.cli", command]
    process = await asyncio.create_subprocess_exec(
        *(words if core is None else pinned(core, *words)),
        env=environ,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(15):
                await process.wait()
        except TimeoutError:
            process.kill()


async def ready(gateway: asyncio.subprocess.Process) -> str:
    """The gateway's URL, once it serves."""
    assert gateway.stdout is not None
    async with asyncio.timeout(START_LIMIT_S):
        while not (line := await gateway.stdout.readline()).startswith(b"listening: "):
            assert line, "the gateway ended before it listened"
        url = urlsplit(line.split()[1].decode())
        # It is another process: there is no event.
        while not await answers_ready(url.hostname or "", url.port or 0):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    return url.geturl()
