"""Question: how soon does /readyz say that Redis is gone, and that it is back?

A real `tickgate gateway` on a redis-server of its own that is killed and started again (as by a
crash), and stopped and continued (as by a machine that hangs: the socket stays open). Asked every
10 ms. In the end: what one answer costs. `python -m bench.readiness`
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from bench.processes import environment, ready, started
from bench.verdict import Asked, at_most, console, keep, table_of
from gateway.processes.embedded_redis import find_redis_server

_LIMIT_S: Final = 3.0
_PATIENCE_S: Final = 20.0
_POLL_S: Final = 0.01
_ASKED_TIMES: Final = 500


class Flip(msgspec.Struct, frozen=True):
    """One run: from what was done to Redis until /readyz said so."""

    fault: str
    gone_s: float
    back_s: float


class Readiness:
    """One gateway's /readyz, over one kept connection."""

    def __init__(self, url: str) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=5)

    def status(self) -> int:
        self._connection.request("GET", "/readyz")
        response = self._connection.getresponse()
        response.read()
        return response.status

    async def becomes(self, status: int) -> float:
        """Seconds from now until it answers so."""
        began_s = time.perf_counter()
        while self.status() != status:
            if time.perf_counter() - began_s > _PATIENCE_S:
                raise TimeoutError(f"/readyz did not become {status}")
            await asyncio.sleep(_POLL_S)
        return time.perf_counter() - began_s

    def cost_us(self) -> float:
        """Of one answer, the client's part included."""
        began_s = time.perf_counter()
        for _ in range(_ASKED_TIMES):
            self.status()
        return (time.perf_counter() - began_s) / _ASKED_TIMES * 1e6


class _Redis:
    """A redis-server that is made to fail."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "redis.sock"
        self._command = [str(find_redis_server()), "--port", "0", "--unixsocket", str(self.path)]
        self._command += ["--save", "", "--dir", str(directory)]
        self._process = self._started()

    def _started(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        self._process = self._started()

    def stop(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)


async def _flip(
    readiness: Readiness, fault: str, break_it: Callable[[], None], mend: Callable[[], None]
) -> Flip:
    await readiness.becomes(200)
    break_it()
    gone_s = await readiness.becomes(503)
    mend()
    return Flip(fault, gone_s, await readiness.becomes(200))


async def run(repeats: int) -> tuple[list[Flip], float]:
    with tempfile.TemporaryDirectory(prefix="tg-") as directory:
        redis = _Redis(Path(directory))
        try:
            told = environment(f"unix://{redis.path}", ticks_per_s=1, symbols=1, seed=1)
            told |= {"TICKGATE_ADMIN_PORT": "0", "TICKGATE_DATA_DIR": directory}
            async with started("gateway", told) as gateway:
                readiness = Readiness(await ready(gateway))
                flips = []
                for _ in range(repeats):
                    flips.append(await _flip(readiness, "killed", redis.kill, redis.restart))
                    flips.append(await _flip(readiness, "hangs", redis.stop, redis.go_on))
                return flips, readiness.cost_us()
        finally:
            redis.kill()


def asked_of(flips: list[Flip]) -> list[Asked]:
    rows = []
    for fault in ("killed", "hangs"):
        own = [flip for flip in flips if flip.fault == fault]
        gone_s, back_s = max(one.gone_s for one in own), max(one.back_s for one in own)
        rows.append(at_most(f"/readyz says 503 after Redis {fault}", gone_s, _LIMIT_S, " s"))
        rows.append(at_most("... and 200 after its return", back_s, _LIMIT_S, " s"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.readiness", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="[5]")
    parser.add_argument("--output", type=Path, help="[bench/results/readiness-<date>.json]")
    options = parser.parse_args()
    flips, cost_us = asyncio.run(run(options.repeats))
    asked = asked_of(flips)
    screen = console()
    screen.print(
        table_of(asked), f"one answer: {cost_us:.0f} us, the asking client's part included"
    )
    question = (__doc__ or "").splitlines()[0].removeprefix("Question: ")
    runs = [*flips, {"answer_us": cost_us}]
    path = keep("readiness", question, vars(options), runs, asked, options.output)
    screen.print(f"kept: {path}")
    sys.exit(0 if all(row.met for row in asked) else 1)


if __name__ == "__main__":
    main()
