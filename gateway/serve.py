"""One gateway process: the application on uvicorn, with our protocol classes, on TLS where set."""

import asyncio
import logging
import signal
import socket
from collections.abc import Mapping
from functools import partial

import uvicorn
from starlette.applications import Starlette

from gateway.access.plans import PLANS, Plan
from gateway.admin.listener import AdminListener
from gateway.app import create_app
from gateway.processes.child_process import hear_hang_ups
from gateway.processes.garbage import spare_the_start
from gateway.processes.readiness import tell_ready
from gateway.server.half_open import HalfOpen
from gateway.server.handshakes import Handshakes
from gateway.server.http import RequestProtocol
from gateway.server.websocket import StreamProtocol
from gateway.settings import GatewaySettings, TokenSettings
from gateway.telemetry.log_filter import filter_logs
from gateway.telemetry.spans import NO_SPANS, Spans
from gateway.web.proxies import NO_PROXIES, Proxies
from gateway.web.tls import Certificate, CertificateError

_log = logging.getLogger(__name__)

_BACKLOG = 4_096
_LAST_ONES_S = 0.2
_CROWD = 64
_HALF_OPEN_MAX = 4_096
"""Of one address: see HalfOpen."""


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
    spans: Spans = NO_SPANS,
) -> uvicorn.Config:
    filter_logs()
    proxies = Proxies(settings.trusted_proxies)
    half_open = HalfOpen(crowd=_CROWD, most=_HALF_OPEN_MAX, proxies=proxies)
    return uvicorn.Config(
        create_app(settings, redis_url, admin, plans=plans, token=token, spans=spans),
        # uvicorn takes classes here, and only ever calls them.
        http=partial(RequestProtocol, half_open=half_open, proxies=proxies),  # type: ignore[arg-type]
        loop="uvloop",
        ws=partial(StreamProtocol, proxies=proxies),  # type: ignore[arg-type]
        # It believes every process of this machine, unless told otherwise; and comes after the
        # limits by address.
        proxy_headers=False,
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


class Server(uvicorn.Server):
    """uvicorn's, but that TLS is ours: see Handshakes. SIGHUP has the certificate read again."""

    def __init__(
        self,
        config: uvicorn.Config,
        certificate: Certificate | None = None,
        proxies: Proxies = NO_PROXIES,
    ) -> None:
        """`certificate`: None for connections without TLS."""
        super().__init__(config)
        self._certificate = certificate
        self._half_open = HalfOpen(crowd=_CROWD, most=_HALF_OPEN_MAX, proxies=proxies)
        self._accepting: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        certificate = self._certificate
        if certificate is None:
            await super().startup(sockets)
            return
        assert sockets is not None
        await super().startup([])
        handshakes = Handshakes(certificate.context, self._half_open, self._protocol)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, _read_again, certificate)
        hear_hang_ups()
        for bound in sockets:
            bound.listen(_BACKLOG)
            bound.setblocking(False)
            accepting = loop.create_task(handshakes.run(bound), name="handshakes")
            accepting.add_done_callback(self._end_deaf)
            self._accepting.append(accepting)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for accepting in self._accepting:
            accepting.cancel()
        if self._accepting:
            await asyncio.wait(self._accepting)
        for server in self.servers:
            server.close()
        # Whoever came just before is let in, and then told when to go as all the others are.
        await asyncio.sleep(_LAST_ONES_S)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(
            config=self.config,  # type: ignore[call-arg]
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )

    def _end_deaf(self, accepting: "asyncio.Task[None]") -> None:
        """Whoever accepts nobody any more must not go on looking well."""
        if not accepting.cancelled() and (error := accepting.exception()) is not None:
            _log.critical("nobody accepts connections; this process ends", exc_info=error)
            self.should_exit = True


def _read_again(certificate: Certificate) -> None:
    try:
        certificate.read_again()
    except CertificateError as error:
        _log.warning("the certificate of before is still shown error=%s", error)


def serve(
    settings: GatewaySettings,
    redis_url: str,
    *,
    shared: bool = False,
    admin: AdminListener | None = None,
    plans: Mapping[str, Plan] = PLANS,
    token: TokenSettings | None = None,
    certificate: Certificate | None = None,
    ready: int | None = None,
    spans: Spans = NO_SPANS,
) -> None:
    """Serves until SIGTERM or SIGINT. Raises OSError where the address is taken.

    `certificate`: None for connections without TLS. `ready`: see `readiness.tell_ready`.
    """
    bound = listening_socket(settings.host, settings.port, shared=shared)
    config = configured(settings, redis_url, admin, plans=plans, token=token, spans=spans)
    server = Server(config, certificate, Proxies(settings.trusted_proxies))
    assert isinstance(config.app, Starlette)
    config.app.state.connections = server.server_state.connections
    if ready is not None:
        config.app.state.beside = lambda worker: tell_ready(
            ready, lambda: worker.is_ready and _listens(bound)
        )
    config.load()
    spare_the_start()
    server.run(sockets=[bound])


def _listens(bound: socket.socket) -> bool:
    return bool(bound.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
