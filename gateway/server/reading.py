"""EDGE (uvicorn): how we read. In slices, each after the last was heard; what we owe is bounded.

One read brings up to 250 KiB. That may be 40,000 frames, and hold everyone up for half a second.
"""

import asyncio
from typing import Any, Final

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from gateway.server.gate import Gate
from gateway.server.rules import RuledProtocol

_SLICE_BYTES: Final = 2_048
"""At most 340 frames: 4 ms."""
_UNSENT_PONGS_BYTES: Final = 16_384
"""Pongs for one who doesn't read them; then 1008. They are 127 bytes at most."""

_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class ReadingProtocol(WebSocketsSansIOProtocol):
    """Messages come to the queue; the reading of more waits until it is empty."""

    rules_class = RuledProtocol

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.writable = Gate()  # type: ignore[assignment]  # all of an Event that uvicorn uses
        self.rules = self.conn = self.rules_class(
            max_size=self.config.ws_max_size, logger=self.logger, now_s=self.loop.time
        )
        self.unparsed = b""
        self.next_slice: asyncio.Handle | None = None
        self.unsent_pongs_bytes = 0

    def say_goodbye(self, code: int, reason: str) -> None:
        """Sends a close frame; the socket is really gone a bounded time later."""
        raise NotImplementedError

    def end(self) -> None:
        """The same without a word."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        if not self.handshake_initiated:
            self._parse_head(data)
        elif not self.handshake_complete:
            # It has to wait for our answer (RFC 6455, 4.1).
            self.transport.abort()
        elif not self.unparsed and len(data) <= _SLICE_BYTES:
            self._parse(data)
        else:
            self.unparsed += data
            self._pause_reading()
            self.read_on()

    def _parse_head(self, head: bytes) -> None:
        """The HTTP protocol class has read it whole; websockets may still find fault with it."""
        try:
            super().data_received(head)
            is_sound = self.handshake_initiated
        except UnicodeError:  # in a path or a header
            is_sound = False
        if not is_sound:
            self.handshake_initiated = self.handshake_complete = self.close_sent = True
            # websockets has an answer to a line that is too long, and none to the rest.
            self.transport.write(b"".join(self.conn.data_to_send()) or _BAD_REQUEST)
            self.end()

    async def receive(self) -> ASGIReceiveEvent:
        message = await self.queue.get()
        self.read_on()
        return message

    def read_on(self) -> None:
        """Goes on, if what was parsed has been heard."""
        if not self.queue.empty() and not self.close_sent:
            return
        if self.unparsed:
            if self.next_slice is None:
                self.next_slice = self.loop.call_soon(self._parse_slice)
        elif self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def _parse_slice(self) -> None:
        self.next_slice = None
        data, self.unparsed = self.unparsed[:_SLICE_BYTES], self.unparsed[_SLICE_BYTES:]
        if not self.disconnected:
            self._parse(data)
            self.read_on()

    def _parse(self, data: bytes) -> None:
        # After a failure nothing is heard any more: uvicorn would say goodbye with every read.
        if self.conn.parser_exc is None:
            super().data_received(data)

    def _pause_reading(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def handle_text(self, event: Frame) -> None:
        super().handle_text(event)
        _forget_data(event)

    def handle_bytes(self, event: Frame) -> None:
        super().handle_bytes(event)
        _forget_data(event)

    def handle_cont(self, event: Frame) -> None:
        super().handle_cont(event)
        _forget_data(event)

    def send_receive_event_to_app(self) -> None:
        """uvicorn's, but that text that is no UTF-8 is the client's failure and not logged."""
        data, self.frames = b"".join(self.frames), []
        if self.close_sent:
            return
        if self.curr_msg_data_type == "text":
            try:
                text = data.decode()
            except UnicodeDecodeError:
                self.say_goodbye(CloseCode.INVALID_DATA, "text that is not UTF-8")
                return
            self.queue.put_nowait({"type": "websocket.receive", "text": text})
        else:
            self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
        self._pause_reading()

    def handle_ping(self) -> None:
        pongs = b"".join(self.conn.data_to_send())
        if self.close_sent:
            return  # a close frame is the last
        self.unsent_pongs_bytes = 0 if self.writable.is_set() else self.unsent_pongs_bytes
        self.unsent_pongs_bytes += len(pongs)
        if self.unsent_pongs_bytes > _UNSENT_PONGS_BYTES:
            self.say_goodbye(CloseCode.POLICY_VIOLATION, "pings, and nobody reads the pongs")
        else:
            self.transport.write(pongs)


def _forget_data(frame: Frame) -> None:
    """The parser keeps the last frame until the next one comes: that may be 64 KiB for hours."""
    frame.data = b""
