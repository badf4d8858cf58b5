"""The feeds process, from the inside: one that `tickgate run` starts, or `tickgate feeds` alone."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

import uvloop
from redis.asyncio import Redis

from feeds.bus_line import BusLine
from feeds.feeds_at_work import FeedsAtWork
from feeds.market import Clock, SystemClock
from feeds.metrics import METRICS
from feeds.run import run_feeds
from gateway.admin.listener import Table
from gateway.commands.processes import admin_listener, tracing_of
from gateway.commands.settings import Settings
from gateway.commands.stopping import leave, stopping_event
from gateway.processes.garbage import spare_the_start
from gateway.telemetry.logs import begin_log

if TYPE_CHECKING:
    from gateway.telemetry.tracing import Tracing


def feeds_process(settings: Settings, redis_url: str) -> None:
    """Publishes until asked to end. Raises FeedError."""
    begin_log(settings.logs, "feeds")
    admin = admin_listener(settings, "feeds")
    tracing, clock = tracing_of(settings, "feeds"), SystemClock()

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


def _line(
    settings: Settings, tracing: "Tracing | None", clock: Clock
) -> Callable[[Redis], BusLine]:
    """By which ticks leave: one that gives some of them a trace, where that is set."""
    if tracing is None or not settings.traces.ticks_per_s:
        return BusLine
    from feeds.tracing import TracedLine  # noqa: PLC0415 - an extra

    tracer, ticks_per_s = tracing.tick_tracer, settings.traces.ticks_per_s
    return lambda redis: TracedLine(redis, tracer, clock, ticks_per_s)
