"""One gateway process: the application on uvicorn, with our WebSocket protocol class."""

import gc
import socket
from collections.abc import Mapping
from functools import partial

import uvicorn
from starlette.applications import Starlette

from gateway.admin import AdminListener
from gateway.app import create_app
from gateway.plans import PLANS, Plan
from gateway.server.http import HalfOpen, RequestProtocol
from gateway.server.websocket import StreamProtocol
from gateway.settings import GatewaySettings, TokenSettings

_BACKLOG = 4_096


def listening_socket(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A bound socket; port 0 is any free one. `shared`: other workers bind it too.

    Raises OSError where the address can't be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def configured(
    settings: GatewaySettings,
    redis_url: str,
    admin: AdminListener | None = None,
    *,
    plans: Mapping[str, Plan] = PLANS,
    token: TokenSettings | None = None,
) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(settings, redis_url, admin, plans=plans, token=token),
        # uvicorn takes a class here, and only ever calls it.
        http=partial(RequestProtocol, half_open=HalfOpen(crowd=64, most=4_096)),  # type: ignore[arg-type]
        loop="uvloop",
        ws=StreamProtocol,
        ws_max_size=settings.frame_bytes_max,
        ws_ping_interval=settings.ping_interval_s,
        ws_ping_timeout=settings.pong_limit_s,
        # It would break encode-once, cost 30 KiB a connection, and inflate bombs.
        ws_per_message_deflate=False,
        lifespan="on",
        # uvicorn would log paths with their queries, and a query may hold what it must not.
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_limit_s)),
    )


def serve(
    settings: GatewaySettings,
    redis_url: str,
    *,
    shared: bool = False,
    admin: AdminListener | None = None,
    plans: Mapping[str, Plan] = PLANS,
    token: TokenSettings | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT. Raises OSError where the address is taken."""
    bound = listening_socket(settings.host, settings.port, shared=shared)
    config = configured(settings, redis_url, admin, plans=plans, token=token)
    server = uvicorn.Server(config)
    assert isinstance(config.app, Starlette)
    config.app.state.connections = server.server_state.connections
    config.load()
    spare_the_start()
    server.run(sockets=[bound])


def spare_the_start() -> None:
    """What is there before the first message stays: the garbage collector need not look at it.

    Of 53,000 objects that is 33 ms of each full collection, in which nothing else happens (Python
    3.11 at 2.5 GHz, 2026-11-21); of the CPU under 1 %. Higher thresholds saved nothing (3 % of the
    CPU either way, nearly all of it while clients connect), and made single pauses longer.
    """
    gc.collect()
    gc.freeze()
