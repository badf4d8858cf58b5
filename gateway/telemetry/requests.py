"""EDGE (ASGI): each HTTP request's id, its span, its line in the log, its place in the counts.

The id goes into every line logged within and back as X-Request-Id. WebSockets pass by untouched:
theirs is the session's.
"""

import logging
from time import perf_counter
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.fanout.counts import Counts
from gateway.telemetry.log_context import id_from, request_id
from gateway.telemetry.log_filter import without_secrets
from gateway.telemetry.spans import Spans

HEADER: Final = "X-Request-Id"

_log = logging.getLogger(__name__)

_PROBES: Final = frozenset(("/healthz", "/readyz"))
"""Asked every few seconds, by machines: neither traced nor logged."""
_FAILED: Final = 500


class Requests:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp, spans: Spans) -> None:
        self._app = app
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        own_id = id_from(headers.get(HEADER))
        request_id.set(own_id)  # A request is a task of its own.
        started_s, status = perf_counter(), _FAILED

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = own_id
            await send(message)

        counts: Counts = scope["app"].state.worker.counts
        is_probe = scope["path"] in _PROBES
        try:
            if is_probe:
                await self._app(scope, receive, answer)
                return
            method, path = scope["method"], without_secrets(scope["path"])
            traceparent = headers.get("traceparent")
            told = {"request": own_id, "method": method, "path": path}
            with self._spans.span("rest", traceparent, **told) as span:
                await self._app(scope, receive, answer)
                span.tell("status", status)
        finally:
            took_s = perf_counter() - started_s
            counts.answered(status, took_s)
            if not is_probe:
                line = "answered method=%s path=%s status=%d ms=%.1f"
                _log.info(line, method, path, status, 1_000 * took_s)
