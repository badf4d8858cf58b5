"""The processes that `tickgate run` starts, from the inside; `tickgate feeds` may stand alone."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NoReturn

import uvloop
from redis.asyncio import Redis

from feeds.bus_line import BusLine
from feeds.feeds_at_work import FeedsAtWork
from feeds.market import Clock, SystemClock
from feeds.metrics import METRICS
from feeds.run import run_feeds
from gateway.access.plans import plans_from
from gateway.admin.listener import AdminListener, ProcessName, Table
from gateway.admin.token import FILE
from gateway.commands.failure import CommandFailure
from gateway.commands.settings import Settings, certificate_of
from gateway.commands.stopping import stopping_event
from gateway.configuration import SettingsError
from gateway.serve import serve, spare_the_start
from gateway.telemetry.logs import begin_log, teller
from gateway.telemetry.spans import NO_SPANS

if TYPE_CHECKING:
    from gateway.telemetry.tracing import Tracing


def feeds_process(settings: Settings, redis_url: str) -> None:
    """Publishes until asked to end. Raises FeedError."""
    begin_log(settings.logs, "feeds")
    admin = _admin_listener(settings, "feeds")
    tracing, clock = _tracing(settings, "feeds"), SystemClock()

    async def tell(at_work: FeedsAtWork) -> None:
        await admin.run([Table(METRICS, lambda: at_work)], at_work.look)

    async def until_stopped() -> None:
        await run_feeds(
            settings,
            redis_url,
            clock=clock,
            random=Random(),  # noqa: S311 - spreads reconnects
            stopping=stopping_event(),
            beside=tell,
            line=_line(settings, tracing, clock),
        )

    spare_the_start()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(until_stopped())
        if tracing is not None:
            tracing.close()
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
    begin_log(settings.logs, "gateway")
    admin = _admin_listener(settings, "gateway", replaces=bool(ready))
    try:
        certificate = certificate_of(settings.tls)
    except SettingsError as error:
        # It was good when everything was started, and may be so again.
        raise CommandFailure(str(error)) from None
    tracing = _tracing(settings, "gateway")
    serve(
        settings.gateway,
        settings.redis_url,
        shared=True,
        admin=admin,
        plans=plans_from(settings.plan),
        token=settings.token,
        certificate=certificate,
        ready=int(ready) if ready else None,
        spans=NO_SPANS if tracing is None else tracing,
    )
    if tracing is not None:
        tracing.close()


def _tracing(settings: Settings, process: ProcessName) -> "Tracing | None":
    """None where nothing is traced, and then nothing of it is loaded."""
    if not settings.traces.endpoint:
        return None
    from gateway.telemetry.tracing import begin_tracing  # noqa: PLC0415 - an extra

    return begin_tracing(settings.traces, process)


def _line(
    settings: Settings, tracing: "Tracing | None", clock: Clock
) -> Callable[[Redis], BusLine]:
    """By which ticks leave: one that gives some of them a trace, where that is set."""
    if tracing is None or not settings.traces.ticks_per_s:
        return BusLine
    from feeds.tracing import TracedLine  # noqa: PLC0415 - an extra

    tracer, ticks_per_s = tracing.tick_tracer, settings.traces.ticks_per_s
    return lambda redis: TracedLine(redis, tracer, clock, ticks_per_s)


def _admin_listener(
    settings: Settings, process: ProcessName, *, replaces: bool = False
) -> AdminListener:
    tell = teller(settings.logs, process)

    def say(line: str) -> None:
        with contextlib.suppress(OSError):  # The terminal may be gone.
            tell(line)

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
