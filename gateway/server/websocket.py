"""EDGE (uvicorn): the WebSocket protocol class, which lets the application write ready frames.

The ASGI scope's extension `tickgate.frames` holds a FrameSink. Frames it writes and frames of the
protocol itself (pongs, pings, close) are whole when they reach the transport, so they can't mix;
after a close frame nothing is written any more.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from gateway.errors import CLOSES, CloseRow

EXTENSION: Final = "tickgate.frames"

_CLOSE_LIMIT_S: Final = 3.0
"""From a close frame to the end of the socket, whether or not the peer reads."""
_TCP_NOTSENT_LOWAT: Final = 25
"""linux/tcp.h; the socket module has no name for it before Python 3.12."""
_NOT_SENT_BYTES: Final = 16_384
"""More is refused by the kernel: what it swallowed can't be conflated any more."""


class FrameSink:
    """The socket of one connection, as a session sees it."""

    __slots__ = ("_connection", "descriptor", "is_leaving", "on_busy", "on_ready", "on_shutdown")

    def __init__(self, connection: "StreamProtocol") -> None:
        self._connection = connection
        self.descriptor = -1
        self.is_leaving = False
        """The client has closed, or is gone."""
        self.on_busy: Callable[[], None] | None = None
        """Called when the socket takes no more, or is about to be closed."""
        self.on_ready: Callable[[], None] | None = None
        """Called when the socket takes more again."""
        self.on_shutdown: Callable[[], None] | None = None
        """Called when the server stops: the application says goodbye in its own words."""

    def is_ready(self) -> bool:
        return self._connection.writable.is_set()

    def write(self, frames: bytes) -> None:
        connection = self._connection
        if not self.is_leaving and not connection.transport.is_closing():
            connection.transport.write(frames)

    def close(self, row: CloseRow) -> None:
        self._connection.say_goodbye(row.code, row.text)


class StreamProtocol(WebSocketsSansIOProtocol):
    """uvicorn's sans-I/O class with a FrameSink, and with ends that come."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.sink = FrameSink(self)
        self.close_timeout = _CLOSE_LIMIT_S
        self.abort_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Nothing buffered and something buffered are told apart: see broadcast.
        self.transport.set_write_buffer_limits(high=0)
        plain = self.transport.get_extra_info("socket")
        if plain is not None and self.transport.get_extra_info("ssl_object") is None:
            self.sink.descriptor = plain.fileno()
            plain.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _NOT_SENT_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)
        if self.abort_timer is not None:
            self.abort_timer.cancel()

    def handle_close(self, event: Frame) -> None:
        self._leave()
        super().handle_close(event)

    def handle_parser_exception(self) -> None:
        self._leave()
        super().handle_parser_exception()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.sink.on_busy is not None:
            self.sink.on_busy()

    def _leave(self) -> None:
        """Nothing is written after this: a close frame is the last, and descriptors are reused."""
        self.sink.descriptor = -1
        self.sink.is_leaving = True
        if self.sink.on_busy is not None:
            self.sink.on_busy()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            extensions = self.scope["extensions"]
            assert extensions is not None
            extensions[EXTENSION] = {"sink": self.sink}

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            # A refusal is an answer: uvicorn 0.54 would log it as a handshake that was forgotten.
            self.handshake_complete = True

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.sink.on_ready is not None:
            self.sink.on_ready()

    def say_goodbye(self, code: int, reason: str) -> None:
        """Sends a close frame; the socket is really gone a bounded time later."""
        if self.close_sent or self.disconnected or not self.handshake_complete:
            return
        self._leave()
        self._end_in_time()
        if self.conn.state is not State.OPEN:
            # The peer has said goodbye before us.
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            # The peer's own close has to be read.
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    def keepalive_timeout(self) -> None:
        self.pong_timer = None
        row = CLOSES["no_pong"]
        self.say_goodbye(row.code, row.text)

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self._end_in_time()

    def shutdown(self) -> None:
        if self.sink.on_shutdown is not None:
            self.sink.on_shutdown()
        else:
            super().shutdown()
        self._end_in_time()

    def _end_in_time(self) -> None:
        """`transport.close` waits for a peer that may never read again: hence an abort, in 3 s."""
        if self.abort_timer is None and not self.disconnected:
            self.abort_timer = self.loop.call_later(self.close_timeout, self.transport.abort)
