"""One gateway process: the application on uvicorn, with our WebSocket protocol class."""

import socket

import uvicorn

from gateway.app import create_app
from gateway.server.websocket import StreamProtocol
from gateway.settings import GatewaySettings

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


def configured(settings: GatewaySettings, redis_url: str) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(settings, redis_url),
        http="httptools",
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


def serve(settings: GatewaySettings, redis_url: str, *, shared: bool = False) -> None:
    """Serves until SIGTERM or SIGINT. Raises OSError where the address is taken."""
    bound = listening_socket(settings.host, settings.port, shared=shared)
    uvicorn.Server(configured(settings, redis_url)).run(sockets=[bound])
