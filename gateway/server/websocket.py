"""EDGE (uvicorn): the WebSocket protocol class, which lets the application write ready frames.

Frames that its FrameSink writes and frames of the protocol itself (pongs, pings, close) are whole
when they reach the transport, so they can't mix; after a close frame nothing is written any more.
"""

import asyncio
import socket
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, Final

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from gateway.errors import CLOSES
from gateway.server.ending import abort
from gateway.server.hearing import Hearing
from gateway.server.reading import ReadingProtocol
from gateway.server.sink import EXTENSION, FrameSink, Listener
from gateway.web.proxies import FORWARDED_FOR, FORWARDED_PROTO, NO_PROXIES, Proxies

_CLOSE_LIMIT_S: Final = 3.0
"""From a close frame to the end of the socket, whether or not the peer reads."""
_TCP_NOTSENT_LOWAT: Final = 25
"""linux/tcp.h; the socket module has no name for it before Python 3.12."""
_NOT_SENT_BYTES: Final = 16_384
"""More is refused by the kernel: what it swallowed can't be conflated any more."""
_UNANSWERED_LIMIT_MS: Final = 30_000
"""For what was sent to be acknowledged by the other kernel; the default is some 15 minutes."""


class StreamProtocol(ReadingProtocol):
    """uvicorn's sans-I/O class with a FrameSink, and with ends that come."""

    def __init__(self, *arguments: Any, proxies: Proxies = NO_PROXIES, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.proxies = proxies
        self.sink = FrameSink(self)
        self.is_over = False
        """Nobody listens any more."""
        self.close_timeout = _CLOSE_LIMIT_S
        self.abort_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        plain = self.transport.get_extra_info("socket")
        is_plain = self.transport.get_extra_info("ssl_object") is None
        # Nothing buffered and something buffered are told apart: see broadcast. uvloop 0.23 calls
        # a TLS transport full when what it has buffered is not less than the limit.
        self.transport.set_write_buffer_limits(high=0 if is_plain else 1)
        if plain is not None:
            plain.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _NOT_SENT_BYTES)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNANSWERED_LIMIT_MS)
        if plain is not None and is_plain:
            self.sink.descriptor = plain.fileno()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)
        if self.abort_timer is not None:
            self.abort_timer.cancel()
        self._let_go()

    def handle_close(self, event: Frame) -> None:
        self._leave()
        super().handle_close(event)
        self._end_in_time()

    def handle_parser_exception(self) -> None:
        self._leave()
        if self.close_sent:
            # What else it would write are pongs, and the close frame was the last.
            self.conn.data_to_send()
            self.transport.close()
        else:
            super().handle_parser_exception()
        self._end_in_time()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.sink.listener is not None:
            self.sink.listener.busy()

    def _leave(self) -> None:
        """Nothing is written after this: a close frame is the last, and descriptors are reused."""
        self.sink.descriptor = -1
        self.sink.is_leaving = True
        if self.sink.listener is not None:
            self.sink.listener.busy()

    def handle_connect(self, event: Request) -> None:
        if self.client is not None and self.proxies.trusts(self.client[0]):
            self._hear_proxy(self.client[0], event)
        super().handle_connect(event)
        if hasattr(self, "scope"):
            extensions = self.scope["extensions"]
            assert extensions is not None
            extensions[EXTENSION] = {"sink": self.sink}
        # The parser's frame has the request for as long as it parses; the scope has copies.
        event.headers.clear()
        if self.close_sent:
            failure, self.conn.handshake_exc = self.conn.handshake_exc, None
            if failure is not None:
                failure.with_traceback(None)  # it has all that called websockets: us, too
            self.end()

    def _hear_proxy(self, peer: str, request: Request) -> None:
        """From here on it is the client's connection."""
        told = request.headers.get_all
        address = self.proxies.client_of(peer, told(FORWARDED_FOR))
        is_secure = self.proxies.is_secure(
            peer, told(FORWARDED_PROTO), default=self.scheme == "wss"
        )
        self.scheme = "wss" if is_secure else "ws"
        if address != peer:
            self.client = (address, 0)

    async def send(self, message: ASGISendEvent) -> None:
        await self.writable.wait()
        if self.sink.is_leaving:
            # The application can't know it yet; uvicorn 0.54 would call it the application's fault
            # where it was the server that said goodbye.
            raise ClientDisconnected
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            # A refusal is an answer: uvicorn 0.54 would log it as a handshake that was forgotten.
            self.handshake_complete = True
        if message["type"] == "websocket.accept":
            self._forget_request()

    def _forget_request(self) -> None:
        """One without a key may take its time. What an application needs, it has read by now."""
        del self.request, self.response
        headers = self.scope["headers"]
        assert isinstance(headers, list)
        headers.clear()

    def send_500_response(self) -> None:
        self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _refuse(self, status: HTTPStatus) -> None:
        """Before the upgrade. Nothing can be said after it; uvicorn 0.54 would try."""
        if self.initial_response is not None or self.handshake_complete:
            return
        self._leave()
        self.handshake_complete = self.close_sent = True
        self.conn.send_response(self.conn.reject(status, status.phrase))
        self.transport.write(b"".join(self.conn.data_to_send()))

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.sink.listener is not None:
            self.sink.listener.ready()

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
        self.read_on()  # the peer's own close has to be read
        self.close_timer = self.loop.call_later(self.close_timeout, abort, self.transport)

    def keepalive_timeout(self) -> None:
        self.pong_timer = None
        row = CLOSES["no_pong"]
        self.say_goodbye(row.code, row.text)

    async def run_asgi(self) -> None:
        """A connection that was handed over outlives the application."""
        try:
            await self._run_application()
        finally:
            if self.sink.listener is None:
                self.end()

    async def _run_application(self) -> None:
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            return
        except Exception:
            self.logger.exception("Exception in ASGI application")
            self.send_500_response()
        else:
            if not self.handshake_complete:
                self.logger.error("ASGI callable returned without completing handshake.")
                self.send_500_response()

    def hand_over(self, listener: Listener) -> None:
        """What the application has not received is heard by the listener."""
        assert self.handshake_complete
        unheard, hearing = self.queue, Hearing(self, listener)
        self.queue = hearing  # type: ignore[assignment]  # all of a Queue that uvicorn uses
        while not unheard.empty():
            hearing.put_nowait(unheard.get_nowait())
        self.rules.know()
        # Never needed again, and 3 KiB with the request.
        del self.scope

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """As a task of the server's, which waits for its tasks when it stops."""
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.on_task_complete)

    def end(self) -> None:
        """Nobody listens any more."""
        self.is_over = True
        if self.close_timer is None:
            self.transport.close()
        self._end_in_time()
        self._let_go()

    def _let_go(self) -> None:
        """Once the socket is gone and nobody listens: what refers to each other would wait for the
        garbage collector, 320 blocks of memory a connection (Python 3.11, 2026-11-21)."""
        if self.is_over and self.disconnected:
            self.sink.let_go()

    def shutdown(self) -> None:
        if self.sink.listener is not None:
            # It says when, and goodbye then.
            self.sink.listener.shut_down()
            return
        if self.handshake_complete:
            row = CLOSES["draining"]
            self.say_goodbye(row.code, row.text)
        else:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
            self.transport.close()
        self._end_in_time()

    def _end_in_time(self) -> None:
        """`transport.close` waits for a peer that may never read again: hence an abort, in 3 s."""
        if self.abort_timer is None and not self.disconnected:
            self.abort_timer = self.loop.call_later(self.close_timeout, abort, self.transport)
