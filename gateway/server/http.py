"""EDGE (uvicorn): the HTTP protocol class. A request comes whole, small and soon, or not at all.

Requests here have no bodies worth waiting for. What is refused is no failure of ours: not logged.
"""

import asyncio
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.server.ending import abort
from gateway.server.half_open import HalfOpen
from gateway.web.proxies import FORWARDED_FOR, FORWARDED_PROTO, NO_PROXIES, Proxies

_CLOSE_LIMIT_S: Final = 3.0
"""For a peer that doesn't read to take our answer."""
_HEAD_BYTES_MAX: Final = 8_000
_HEADERS_MAX: Final = 100
"""websockets takes a line of 8 KiB and 128 headers, and has no answer to more."""


class _HeadTooLargeError(Exception):
    """Out of the parser's callback, which makes an HttpParserError of it."""


class RequestProtocol(HttpToolsProtocol):
    """uvicorn's httptools class with limits. `half_open` is shared by a server's connections."""

    def __init__(
        self, *arguments: Any, half_open: HalfOpen, proxies: Proxies = NO_PROXIES, **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self.half_open = half_open
        self.proxies = proxies
        self.waiting: asyncio.TimerHandle | None = None
        """While a request is due."""
        self.address = ""
        """Who has the place of one that waits: the peer, or whom a listed proxy speaks for."""
        self.abort_timer: asyncio.TimerHandle | None = None
        self.head_bytes: int | None = None
        """None while no head is being read."""

    @property
    def peer(self) -> str:
        return self.client[0] if self.client else ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(self.peer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self.abort_timer is not None:
            self.abort_timer.cancel()
        # uvicorn lets it run on for one that was reset, and what is no more would be ended.
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        if self.waiting is None:
            self._wait(self.peer)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
        except httptools.HttpParserError:
            self._refuse()
        else:
            if self.head_bytes is not None:
                self.head_bytes += len(data)
                if self.head_bytes > _HEAD_BYTES_MAX:
                    self._refuse()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head_bytes = 0

    def on_headers_complete(self) -> None:
        self.head_bytes = None
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > _HEAD_BYTES_MAX or len(self.headers) > _HEADERS_MAX:
            raise _HeadTooLargeError
        if self.proxies.trusts(self.peer):
            self._hear_proxy()
        super().on_headers_complete()

    def _hear_proxy(self) -> None:
        """From here on the request is the client's, as is the time for its rest."""
        address = self.proxies.client_of(self.peer, self._told(FORWARDED_FOR))
        is_secure = self.proxies.is_secure(
            self.peer, self._told(FORWARDED_PROTO), default=self.scheme == "https"
        )
        self.scope["scheme"] = "https" if is_secure else "http"
        if address != self.peer:
            self.scope["client"] = (address, 0)
            if self.waiting is not None:
                self._stop_waiting()
                self._wait(address)

    def _told(self, header: str) -> list[str]:
        name = header.encode()
        return [value.decode("latin-1") for named, value in self.headers if named == name]

    def on_message_complete(self) -> None:
        self._stop_waiting()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._stop_waiting()
        super().handle_websocket_upgrade()
        # It is done with, and they refer to each other; uvicorn lets go only of one that is lost.
        self.parser = None  # type: ignore[assignment]

    def timeout_keep_alive_handler(self) -> None:
        self._end()

    def shutdown(self) -> None:
        super().shutdown()
        self._abort_in_time()

    def _refuse(self) -> None:
        self.send_400_response("This is no request that can be answered.")
        self._end()

    def _wait(self, address: str) -> None:
        self.address = address
        limit_s = self.half_open.enter(address)
        if limit_s is None:
            self.transport.abort()
        else:
            self.waiting = self.loop.call_later(limit_s, self._end)

    def _stop_waiting(self) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
            self.waiting = None
            self.half_open.leave(self.address)

    def _end(self) -> None:
        self._stop_waiting()
        self.transport.close()
        self._abort_in_time()

    def _abort_in_time(self) -> None:
        if self.abort_timer is None:
            self.abort_timer = self.loop.call_later(_CLOSE_LIMIT_S, abort, self.transport)
