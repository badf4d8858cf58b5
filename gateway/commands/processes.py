"""The processes that `tickgate run` starts, from the inside; `tickgate feeds` may stand alone."""

import asyncio
import contextlib
import logging
import os
import sys
from pathlib import Path
from random import Random
from typing import NoReturn

import click
import uvloop

from feeds.market import SystemClock
from feeds.metrics import METRICS, FeedsAtWork
from feeds.run import run_feeds
from gateway.admin import AdminListener, ProcessName, Table
from gateway.admin_token import FILE
from gateway.commands.failure import CommandFailure
from gateway.commands.settings import Settings, certificate_of
from gateway.commands.stopping import stopping_event
from gateway.configuration import SettingsError
from gateway.plans import plans_from
from gateway.serve import serve, spare_the_start

_LOG_FORMAT = "%(asctime)s %(name)s: %(message)s"
_LOG_TIME = "%H:%M:%S"


def feeds_process(settings: Settings, redis_url: str) -> None:
    """Publishes until asked to end. Raises FeedError."""
    log_to_stderr()
    admin = _admin_listener(settings, "feeds")

    async def tell(at_work: FeedsAtWork) -> None:
        await admin.run([Table(METRICS, lambda: at_work)], at_work.look)

    async def until_stopped() -> None:
        await run_feeds(
            settings,
            redis_url,
            clock=SystemClock(),
            random=Random(),  # noqa: S311 - spreads reconnects
            stopping=stopping_event(),
            beside=tell,
        )

    spare_the_start()
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


def gateway_process(settings: Settings, ready: str = "") -> None:
    """One worker; its parent keeps the port. Raises OSError.

    `ready`: the descriptor to which it says that it serves, where somebody waits for that.
    """
    log_to_stderr()
    admin = _admin_listener(settings, "gateway", replaces=bool(ready))
    try:
        certificate = certificate_of(settings.tls)
    except SettingsError as error:
        # It was good when everything was started, and may be so again.
        raise CommandFailure(str(error)) from None
    serve(
        settings.gateway,
        settings.redis_url,
        shared=True,
        admin=admin,
        plans=plans_from(settings.plan),
        token=settings.token,
        certificate=certificate,
        ready=int(ready) if ready else None,
    )


def _admin_listener(
    settings: Settings, process: ProcessName, *, replaces: bool = False
) -> AdminListener:
    def say(line: str) -> None:
        with contextlib.suppress(OSError):  # The terminal may be gone.
            click.echo(line, err=True)

    workers = settings.gateway.workers if process == "gateway" else 1
    token_file = Path(settings.admin.token_file or Path(settings.data_dir) / FILE)
    return AdminListener(
        settings.admin,
        process,
        clock=SystemClock(),
        say=say,
        workers=workers,
        token_file=token_file if process == "gateway" and settings.admin.enabled else None,
        replaces=replaces,
    )


def log_to_stderr() -> None:
    """Warnings and worse: what a person at the terminal should know."""
    logging.basicConfig(level=logging.WARNING, format=_LOG_FORMAT, datefmt=_LOG_TIME)
