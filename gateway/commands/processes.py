"""The processes that `tickgate run` starts, from the inside; `tickgate feeds` may stand alone."""

import asyncio
import contextlib
import logging
import os
import sys
from random import Random
from typing import NoReturn

import uvloop

from feeds.market import SystemClock
from feeds.run import run_feeds
from gateway.commands.settings import Settings
from gateway.commands.stopping import stopping_event
from gateway.serve import serve

_LOG_FORMAT = "%(asctime)s %(name)s: %(message)s"
_LOG_TIME = "%H:%M:%S"


def feeds_process(settings: Settings, redis_url: str) -> None:
    """Publishes until asked to end. Raises FeedError."""
    log_to_stderr()

    async def until_stopped() -> None:
        await run_feeds(
            settings,
            redis_url,
            clock=SystemClock(),
            random=Random(),  # noqa: S311 - spreads reconnects
            stopping=stopping_event(),
        )

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(until_stopped())
        leave()


def leave() -> NoReturn:
    """Ends the process, with status 0, and waits for no thread.

    A cancelled look-up of a name goes on in one, and closing a loop waits for it: with a name
    server that doesn't answer, for long.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    logging.shutdown()
    os._exit(0)


def gateway_process(settings: Settings) -> None:
    """One worker; its parent keeps the port. Raises OSError."""
    log_to_stderr()
    serve(settings.gateway, settings.redis_url, shared=True)


def log_to_stderr() -> None:
    """Warnings and worse: what a person at the terminal should know."""
    logging.basicConfig(level=logging.WARNING, format=_LOG_FORMAT, datefmt=_LOG_TIME)
