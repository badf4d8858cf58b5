"""create_app: the one place where the gateway's parts are joined."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from feeds.market import SystemClock
from gateway.http import ROUTES
from gateway.settings import GatewaySettings
from gateway.transports.native import serve_stream
from gateway.worker import Worker

_log = logging.getLogger(__name__)


def create_app(settings: GatewaySettings, redis_url: str) -> Starlette:
    """The ASGI application of one worker. Starts, not ready, also while Redis is away."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Every wait is bounded where it is made. redis-py's own limits go through wait_for, which
        # swallows cancellations on Python 3.11.
        redis = Redis.from_url(
            redis_url,
            socket_timeout=None,
            socket_connect_timeout=None,
            # At once, for a pooled connection that died with Redis; redis-py's own pauses would
            # only hide an outage, and its end.
            retry=Retry(NoBackoff(), 1),
        )
        worker = Worker(settings, redis, redis_url, SystemClock())
        app.state.worker = worker
        async with redis, asyncio.TaskGroup() as group:
            running = group.create_task(worker.run(), name="worker")
            running.add_done_callback(_end_process_of_a_failed)
            yield
            running.cancel()

    return Starlette(
        routes=[*ROUTES, WebSocketRoute("/v1/stream", serve_stream)], lifespan=lifespan
    )


def _end_process_of_a_failed(running: "asyncio.Task[None]") -> None:
    """A worker without its bus must not go on looking well: the process ends, and is restarted."""
    if not running.cancelled() and (error := running.exception()) is not None:
        _log.critical("the worker failed; this process ends", exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)
