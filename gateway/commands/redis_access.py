"""Which Redis a command talks to, and whether it answers: asked before anything is built on it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.commands.failure import CommandFailure
from gateway.commands.settings import Settings
from gateway.processes.embedded_redis import DIRECTORY_PREFIX, EmbeddedRedis, brief_redis, save
from gateway.processes.running import find_running, locked, take_left_behind

ANSWER_LIMIT_S: Final = 3.0


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Redis]:
    """A Redis that has answered; what it is asked next, the caller bounds (see `in_time`).

    Raises CommandFailure where none answers.
    """
    # The timeouts of redis-py go through asyncio.wait_for, which on Python 3.11 swallows
    # cancellations, and so Ctrl-C.
    async with Redis.from_url(
        url, retry=Retry(NoBackoff(), 0), socket_timeout=None, socket_connect_timeout=None
    ) as redis:
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                await redis.ping()
        except TimeoutError:
            reason = f"no answer within {ANSWER_LIMIT_S:.0f} s"
        except (RedisError, OSError) as error:
            reason = str(error).rstrip(".")
        else:
            yield redis
            return
    raise CommandFailure(f"no Redis answers at {without_secrets(url)} ({reason}): see REDIS_URL")


@contextlib.asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """Bounds what a Redis is asked. Raises CommandFailure when the time is up."""
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            yield
    except TimeoutError:
        raise CommandFailure(f"Redis gave no answer within {ANSWER_LIMIT_S:.0f} s") from None


@contextlib.asynccontextmanager
async def redis_of(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Redis]:
    """The configured Redis; else the one of the running Tickgate; else, briefly, one of our own.

    One that is Tickgate's own writes its file at the end: API keys are to survive.
    """
    data_dir = Path(settings.data_dir)
    if settings.redis_url:
        async with connected(settings.redis_url) as redis:
            yield redis
    elif (running := find_running(data_dir)) is not None:
        async with connected(running.redis_url) as redis:
            yield redis
            if running.embedded:
                await save(redis)
    else:
        click.echo(
            f"no Tickgate runs on {data_dir}: these are the keys kept there; for those of "
            "another directory, --data-dir",
            err=True,
        )
        with locked(data_dir):
            clear_left_behind(data_dir)
            async with brief_redis(data_dir, environ) as url, connected(url) as redis:
                yield redis


def clear_left_behind(data_dir: Path) -> None:
    """Removes the socket's directory of an instance that was killed; for who holds the lock."""
    left = take_left_behind(data_dir)
    if left is not None and left.embedded:
        directory = Path(left.redis_url.removeprefix("unix://")).parent
        if directory.name.startswith(DIRECTORY_PREFIX):
            EmbeddedRedis(Path(), data_dir, directory).remove()


def redis_url_of(settings: Settings) -> str:
    """The configured Redis, else the one of the running Tickgate. Raises CommandFailure."""
    if settings.redis_url:
        return settings.redis_url
    running = find_running(Path(settings.data_dir))
    if running is None:
        raise CommandFailure(
            "there is no Redis to work with: set REDIS_URL, or start everything with `tickgate run`"
        )
    return running.redis_url


def without_secrets(url: str) -> str:
    """A Redis URL as it may be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
