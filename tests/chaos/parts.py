"""The processes that are harmed: a Redis, a gateway of two workers and the toy venue's feed.

All are ended by the kernel with the process that started them, whatever happens to it.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import jwt
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.commands.greeting import answers_ready
from gateway.processes.die_with_parent import ended_with_us
from gateway.processes.embedded_redis import find_redis_server
from tests.running_tickgate import COMMAND, REPOSITORY, environment

HOST: Final = "127.0.0.1"
START_LIMIT_S: Final = 60.0
_POLL_S: Final = 0.02
_DEATHS_WINDOW_S: Final = 60.0
_DEATHS_MAX: Final = 4
"""Of one worker within that: after one more but one its supervisor would give up, as it should."""
_ISSUER: Final = "https://users.example"
_SECRET: Final = "what only the gateway and who signs for its users know"


async def _started(
    command: tuple[str, ...], log: Path, environ: Mapping[str, str], *, piped: bool = False
) -> Process:
    with log.open("ab") as told:
        return await asyncio.create_subprocess_exec(
            *ended_with_us(command),
            env=environ,
            stdin=DEVNULL,
            stdout=PIPE if piped else told,
            stderr=told,
            start_new_session=True,
        )


async def ended(process: Process | None, number: signal.Signals = signal.SIGKILL) -> None:
    if process is not None and process.returncode is None:
        process.send_signal(number)
        await process.wait()


class RedisProcess:
    """A redis-server that writes down all it is told, so that it may keep its memory or lose it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._data = directory / "data"
        self._kept = directory / "kept"
        self.socket = directory / "redis.sock"
        self.process: Process | None = None
        self.client = Redis(
            unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0), socket_timeout=None
        )
        """Straight to it, whatever stands between it and the others."""

    async def start(self) -> None:
        """Returns when it answers, its memory read."""
        self._data.mkdir(exist_ok=True)
        command = (str(find_redis_server()), "--port", "0", "--unixsocket", str(self.socket))
        command += ("--save", "", "--appendonly", "yes", "--dir", str(self._data))
        self.process = await _started(command, self._directory / "redis.log", os.environ)
        async with asyncio.timeout(START_LIMIT_S):
            while not await self.answers():
                assert self.process.returncode is None, "redis-server ended: see redis.log"
                await asyncio.sleep(_POLL_S)

    async def answers(self) -> bool:
        try:
            return bool(await self.client.ping())
        except (RedisError, OSError):
            return False

    async def kill(self) -> None:
        await ended(self.process)

    def forget(self) -> None:
        """To be called while it is dead: it will know nothing."""
        shutil.rmtree(self._data)

    def keep(self) -> None:
        """What it knows now is put aside."""
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.copytree(self._data, self._kept)

    def recall(self) -> None:
        """To be called while it is dead: it will know what was put aside."""
        self.forget()
        self._kept.rename(self._data)


class Gateway:
    """`tickgate gateway --workers 2`: a supervisor and its workers, on one port for ever."""

    def __init__(self, directory: Path, redis_port: int, port: int) -> None:
        self.port = port
        self.process: Process | None = None
        self._directory = directory
        self._deaths: deque[float] = deque()
        secret = directory / "secret"
        secret.write_text(_SECRET)
        self._environment = environment(
            directory,
            REDIS_URL=f"redis://{HOST}:{redis_port}/0",
            TICKGATE_GATEWAY_PORT=str(self.port),
            TICKGATE_GATEWAY_HEARTBEAT_MS="1000",
            TICKGATE_GATEWAY_PING_INTERVAL_S="3",
            TICKGATE_GATEWAY_PONG_LIMIT_S="3",
            # Clients that Redis' loss of memory does not make strangers.
            TICKGATE_TOKEN_ISSUER=_ISSUER,
            TICKGATE_TOKEN_ALGORITHM="HS256",
            TICKGATE_TOKEN_KEYS=str(secret),
        )

    @property
    def token(self) -> str:
        """Who shows it may subscribe to everything."""
        claims = {"iss": _ISSUER, "aud": "tickgate", "sub": "chaos", "plan": "unlimited"}
        return jwt.encode(claims | {"exp": time.time() + 80_000}, _SECRET, "HS256")

    async def start(self) -> None:
        """Returns when it serves. Redis may be away: the supervisor is started until it is back."""
        async with asyncio.timeout(START_LIMIT_S):
            while True:
                log = self._directory / "gateway.log"
                command = (*COMMAND, "gateway", "--workers", "2")
                self.process = await _started(command, log, self._environment)
                while self.process.returncode is None:
                    if await answers_ready(HOST, self.port):
                        self._deaths.clear()
                        return
                    await asyncio.sleep(_POLL_S)

    @property
    def gave_up(self) -> bool:
        return self.process is None or self.process.returncode is not None

    def workers(self) -> list[int]:
        """Their process ids."""
        if self.process is None or self.process.returncode is not None:
            return []
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            return [int(pid) for pid in children.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            return []  # It has ended a moment ago.

    def may_lose_one(self) -> bool:
        """Whether a worker may die without its supervisor's despair; counts it."""
        now_s = time.monotonic()
        while self._deaths and now_s - self._deaths[0] > _DEATHS_WINDOW_S:
            self._deaths.popleft()
        self._deaths.append(now_s)
        return len(self._deaths) <= _DEATHS_MAX

    async def kill(self) -> None:
        """All of it: the kernel ends the workers with their supervisor."""
        workers = self.workers()
        await ended(self.process)
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class FeedTold(NamedTuple):
    """What a feed that was asked to end said last."""

    run: int
    last: dict[str, int]
    dropped: int


class Feed:
    """The toy venue's, started again and again: each start is a run of its own."""

    def __init__(self, directory: Path, redis_port: int, ticks_per_s: float) -> None:
        self.run = 0
        self.process: Process | None = None
        self._directory = directory
        self._words = (f"redis://{HOST}:{redis_port}/0", ticks_per_s)

    async def start(self) -> None:
        self.run += 1
        url, ticks_per_s = self._words
        words = ("tests.chaos.feed", url, str(self.run), str(ticks_per_s))
        environ = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        log = self._directory / "feed.log"
        self.process = await _started((sys.executable, "-m", *words), log, environ, piped=True)

    async def kill(self) -> None:
        await ended(self.process)

    async def stop(self) -> FeedTold:
        """Returns when Redis has all that it said."""
        assert self.process is not None
        assert self.process.stdout is not None
        async with asyncio.timeout(START_LIMIT_S):
            # One that was started a moment ago would end without a word.
            assert await self.process.stdout.readline(), "the feed ended: see feed.log"
            self.process.terminate()
            told: dict[str, Any] = json.loads(await self.process.stdout.read())
            await self.process.wait()
        return FeedTold(self.run, told["last"], told["dropped"])


def suspend(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)


def resume(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
