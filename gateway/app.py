"""create_app: the one place where the gateway's parts are joined."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Mount, WebSocketRoute

from feeds.market import Clock, SystemClock
from gateway.access.key_store import KeyStore
from gateway.access.limit_store import LimitStore
from gateway.access.plans import PLANS, Plan
from gateway.access.token_keys import TokenKeys, TokenKeysError
from gateway.access.tokens import Tokens
from gateway.admin.keys import AdminKeys
from gateway.admin.listener import AdminListener, Table
from gateway.admin.token import AdminTokenError, admin_token
from gateway.dashboard import dashboard_routes, keys_routes
from gateway.docs import DOCS_ROUTES
from gateway.http import ROUTES
from gateway.metrics import METRICS, observed
from gateway.rest import EXCEPTION_HANDLERS, REST_ROUTES, Rest, Sources
from gateway.rest.readings import Readings
from gateway.settings import GatewaySettings, TokenSettings
from gateway.telemetry.requests import HEADER, Requests
from gateway.telemetry.spans import NO_SPANS, Spans
from gateway.transports.native import refuse_path, serve_stream
from gateway.web.origins import Origins
from gateway.worker import Worker

_log = logging.getLogger(__name__)


def create_app(
    settings: GatewaySettings,
    redis_url: str,
    admin: AdminListener | None = None,
    *,
    plans: Mapping[str, Plan] = PLANS,
    token: TokenSettings | None = None,
    spans: Spans = NO_SPANS,
) -> Starlette:
    """The ASGI application of one worker. Starts, not ready, also while Redis is away.

    `state.connections` may be set to what the server holds: the metrics tell how many there are;
    `state.beside` to what makes a coroutine, given the worker, that is to run beside it.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        redis = _redis(redis_url)
        clock = SystemClock()
        tokens = None if token is None else await _tokens(token, clock)
        worker = Worker(settings, redis, redis_url, clock, plans=plans, tokens=tokens, spans=spans)
        app.state.worker = worker
        # A connection of its own: whoever reads history waits for it, the bus does not.
        history = _redis(redis_url)
        app.state.rest = Rest(
            worker.holders.admission, worker.holders.limits, _sources(worker, Readings(history))
        )
        async with redis, history, asyncio.TaskGroup() as group:
            running = group.create_task(worker.run(), name="worker")
            table = Table(METRICS, lambda: observed(worker, app.state.connections))
            tasks = [running]
            if admin is not None:
                routes = _admin_routes(admin, KeyStore(redis, clock), worker.holders.limits, plans)
                running_admin = admin.run([table], routes=routes)
                tasks.append(group.create_task(running_admin, name="admin"))
            if app.state.beside is not None:
                tasks.append(group.create_task(app.state.beside(worker), name="beside"))
            for task in tasks:
                task.add_done_callback(_end_process_of_a_failed)
            yield
            for task in tasks:
                task.cancel()

    streams = (
        WebSocketRoute("/v1/stream", serve_stream),
        WebSocketRoute("/{path:path}", refuse_path),
    )
    routes = [*dashboard_routes(), *ROUTES, *REST_ROUTES, *DOCS_ROUTES, *streams]
    middleware = [Middleware(Requests, spans=spans), *_cors(settings.origins)]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=middleware,
        exception_handlers=EXCEPTION_HANDLERS,
    )
    app.state.connections = ()
    app.state.beside = None
    app.state.origins = Origins(settings.origins)
    return app


def _redis(url: str) -> Redis:
    # Every wait is bounded where it is made. redis-py's own limits go through wait_for, which
    # swallows cancellations on Python 3.11.
    return Redis.from_url(
        url,
        socket_timeout=None,
        socket_connect_timeout=None,
        # At once, for a pooled connection that died with Redis; redis-py's own pauses would
        # only hide an outage, and its end.
        retry=Retry(NoBackoff(), 1),
    )


def _sources(worker: Worker, readings: Readings) -> Sources:
    return Sources(
        worker.directory,
        worker.look_up,
        readings,
        worker.holders.tickets,
        worker.holders.usage,
        worker.settings.feed_silence_limit_s,
        worker.clock,
    )


def _cors(origins: tuple[str, ...]) -> list[Middleware]:
    """Pages of listed sites may buy tickets and read the answers, too."""
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "X-API-Key", "If-None-Match"),
            expose_headers=("ETag", "RateLimit", "RateLimit-Policy", "Retry-After", HEADER),
        )
    ]


async def _tokens(settings: TokenSettings, clock: Clock) -> Tokens | None:
    """None where no issuer is set. Raises TokenKeysError where PyJWT is not installed."""
    if not settings.issuer:
        return None
    keys = TokenKeys(
        settings.keys,
        settings.algorithm,
        clock,
        refresh_s=settings.refresh_s,
        age_max_s=settings.keys_age_max_s,
    )
    tokens = Tokens(settings, keys, clock)
    try:
        await keys.load()
    except TokenKeysError as error:
        # API keys are good without them; and who issues tokens may be back in a minute.
        _log.warning("tokens are refused until their keys can be read error=%s", error)
    return tokens


def _admin_routes(
    admin: AdminListener, store: KeyStore, limits: LimitStore, plans: Mapping[str, Plan]
) -> list[BaseRoute]:
    """The API of keys, where there is a place for its token."""
    if admin.token_file is None:
        return []
    try:
        token = admin_token(admin.token_file)
    except AdminTokenError as error:
        _log.warning("there is no admin API of keys error=%s", error)
        return []
    api = AdminKeys(store, limits, plans, token).application()
    return [Mount("/keys", api), *keys_routes()]


def _end_process_of_a_failed(task: "asyncio.Task[None]") -> None:
    """A worker without its bus must not go on looking well: the process ends, and is restarted."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("the %s failed; this process ends", task.get_name(), exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)
