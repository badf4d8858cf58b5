"""EDGE (uvicorn): the HTTP protocol class. A request comes whole, small and soon, or not at all.

Requests here have no bodies worth waiting for. What is refused is no failure of ours: not logged.
"""

import asyncio
from collections import Counter
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_REQUEST_LIMIT_S: Final = 5.0
"""From the connection, or a request's first byte, to its last."""
_CROWDED_LIMIT_S: Final = 1.0
"""The same for an address that keeps many waiting."""
_CLOSE_LIMIT_S: Final = 3.0
"""For a peer that doesn't read to take our answer."""
_HEAD_BYTES_MAX: Final = 8_000
_HEADERS_MAX: Final = 100
"""websockets takes a line of 8 KiB and 128 headers, and has no answer to more."""


class HalfOpen:
    """Connections of each address whose request has not come yet."""

    def __init__(self, *, crowd: int, most: int) -> None:
        self._crowd = crowd
        self._most = most
        self._of: Counter[str] = Counter()

    def enter(self, address: str) -> float | None:
        """How long it may take, in seconds; None: the address has too many already.

        A whole crowd may come at once and in good faith, so more than a few get less time.
        """
        count = self._of[address]
        if count >= self._most:
            return None
        self._of[address] = count + 1
        return _REQUEST_LIMIT_S if count < self._crowd else _CROWDED_LIMIT_S

    def leave(self, address: str) -> None:
        self._of[address] -= 1
        if not self._of[address]:
            del self._of[address]


class _HeadTooLargeError(Exception):
    """Out of the parser's callback, which makes an HttpParserError of it."""


class RequestProtocol(HttpToolsProtocol):
    """uvicorn's httptools class with limits. `half_open` is shared by a server's connections."""

    def __init__(self, *arguments: Any, half_open: HalfOpen, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.half_open = half_open
        self.waiting: asyncio.TimerHandle | None = None
        """While a request is due."""
        self.abort_timer: asyncio.TimerHandle | None = None
        self.head_bytes: int | None = None
        """None while no head is being read."""

    @property
    def address(self) -> str:
        return self.client[0] if self.client else ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self.abort_timer is not None:
            self.abort_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        if self.waiting is None:
            self._wait()
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
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stop_waiting()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._stop_waiting()
        super().handle_websocket_upgrade()

    def timeout_keep_alive_handler(self) -> None:
        self._end()

    def shutdown(self) -> None:
        super().shutdown()
        self._abort_in_time()

    def _refuse(self) -> None:
        self.send_400_response("This is no request that can be answered.")
        self._end()

    def _wait(self) -> None:
        limit_s = self.half_open.enter(self.address)
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
            self.abort_timer = self.loop.call_later(_CLOSE_LIMIT_S, self.transport.abort)
