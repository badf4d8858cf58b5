"""EDGE (websockets): a venue's socket, opened and closed within limits, its failures in words.

No permessage-deflate: inflating costs a core more than the bandwidth of a few dozen pairs saves,
and 16 kB may inflate to 16 MiB. Frames and queues are bounded; a SOCKS or HTTP proxy of the
environment is honoured (settings), never for loopback.
"""

import asyncio
import contextlib
import errno
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidProxy, InvalidStatus, WebSocketException
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import Event, State

from feeds.errors import ConnectionLostError, VenueUnreachableError
from feeds.settings import ConnectionSettings

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ERRNO = re.compile(r"\[Errno (\d+)\]")
_REASON_CHARS = 100

_HEAD_END = b"\r\n\r\n"
_WHOLE_TEXT = 0x81
"""The first byte of a text message in one piece: final, no reserved bits, opcode 1."""
_LONGER, _MASKED = 126, 128
"""A frame's second byte is the length, or 126: it is in the next 2 bytes, or 127: in the next 8;
from 128 on the frame is masked, as a server's must not be."""


class VenueSocket(ClientConnection):
    """Gives the messages of one read of the socket together.

    Cuts out text messages in one piece, which is what venues send. All else goes to websockets,
    and only whole frames do, so that neither is ever in the middle of one when the other goes on.
    """

    # A message of 160 bytes, 30 a read: 1.3 µs; cut by websockets 5.9; by `recv` 9.2 (a socket
    # alone, uvloop, websockets 17.4, a 2-core Xeon at 2.5 GHz, Python 3.11, 2026-11).

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._messages: list[str | bytes] = []
        self._pieces = bytearray()
        """Of a message in several frames, which websockets holds to the same limit."""
        self._in_pieces = False
        self._is_text = False
        self._came = asyncio.Event()
        self._is_paused = False
        self._rest = b""
        """The beginning of a frame."""
        self._head = b""
        """The last bytes of a handshake that goes on."""
        assert self.max_queue_high is not None
        self._messages_max = self.max_queue_high
        assert self.protocol.max_message_size is not None
        self._bytes_max = self.protocol.max_message_size

    async def messages(self) -> list[str | bytes]:
        """All that came since the last call, in order; waits for the first.

        Raises ConnectionClosed once all was given and the connection is lost.
        """
        while not self._messages:
            if self.connection_lost_waiter.done():
                raise self.close_exc
            self._came.clear()
            await self._came.wait()
        messages, self._messages = self._messages, []
        if self._is_paused and not self.transport.is_closing():
            self._is_paused = False
            self.transport.resume_reading()
        return messages

    def data_received(self, data: bytes) -> None:
        if self.protocol.state is State.CONNECTING:
            data = self._after_handshake(data)
        data, self._rest = self._rest + data, b""
        if self.protocol.state is State.OPEN:
            data = self._cut(data)
        if self.protocol.state is State.OPEN:
            self._rest = data
        elif data:
            # It is being closed, or was never opened: from here on all is for websockets.
            super().data_received(data)
        if self._messages:
            self._came.set()
        if len(self._messages) > self._messages_max and not self.transport.is_closing():
            self._is_paused = True
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._came.set()

    def process_event(self, event: Event) -> None:
        if not (isinstance(event, Frame) and event.opcode in DATA_OPCODES):
            super().process_event(event)
            return
        if not self._in_pieces:
            self._is_text = event.opcode is Opcode.TEXT
        self._in_pieces = not event.fin
        self._pieces += event.data
        if event.fin:
            message = bytes(self._pieces)
            self._messages.append(_text(message) if self._is_text else message)
            self._pieces.clear()

    def _after_handshake(self, data: bytes) -> bytes:
        """Has websockets read the handshake; what came after it."""
        seen = self._head + data
        at = seen.find(_HEAD_END)
        stop = len(data) if at < 0 else at + len(_HEAD_END) - len(self._head)
        self._head = seen[-len(_HEAD_END) + 1 :]
        super().data_received(data[:stop])
        return data[stop:]

    def _cut(self, data: bytes) -> bytes:
        """Takes all whole frames; what is left, which is for websockets if it ends now."""
        at, end = 0, len(data)
        while end - at >= 2:
            start, length = at + 2, data[at + 1]
            is_masked = length >= _MASKED
            if length >= _LONGER and not is_masked:
                start += 2 if length == _LONGER else 8
                if start > end:
                    break
                length = int.from_bytes(data[at + 2 : start])
            if is_masked or length > self._bytes_max:
                # A fault, and websockets knows which: it ends the connection.
                super().data_received(data[at:])
                return b""
            stop = start + length
            if stop > end:
                break
            if data[at] == _WHOLE_TEXT and not self._in_pieces:
                self._messages.append(_text(data[start:stop]))
            else:
                super().data_received(data[at:stop])
                if self.protocol.state is not State.OPEN:
                    return data[stop:]
            at = stop
        return data[at:]


@contextlib.asynccontextmanager
async def open_socket(url: str, settings: ConnectionSettings) -> AsyncIterator["VenueSocket"]:
    """Raises VenueUnreachableError where it can't be opened."""
    try:
        opened = await connect(
            url,
            compression=None,
            proxy=True if settings.proxy_from_environment and not _is_loopback(url) else None,
            open_timeout=settings.open_limit_s,
            ping_interval=settings.keepalive_s,
            ping_timeout=None,
            close_timeout=settings.close_limit_s,
            max_size=settings.frame_bytes_max,
            max_queue=settings.frames_queued_max,
            create_connection=VenueSocket,
        )
        assert isinstance(opened, VenueSocket)
    except (OSError, WebSocketException, ImportError, ValueError) as error:
        raise VenueUnreachableError(f"can't be reached ({_in_words(error, settings)})") from error
    try:
        yield opened
    finally:
        await _close(opened, settings.close_limit_s)


def _text(payload: bytes) -> str | bytes:
    """As bytes where it is no UTF-8: the parser finds that out, and it costs that message only."""
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return payload


async def send(opened: ClientConnection, frame: str, limit_s: float) -> None:
    """Raises ConnectionLostError where the venue does not take it."""
    try:
        async with asyncio.timeout(limit_s):
            await opened.send(frame)
    except TimeoutError as error:
        raise ConnectionLostError(f"takes nothing that we send (for {limit_s:g} s)") from error
    except ConnectionClosed as error:
        raise lost(error) from error


def lost(error: ConnectionClosed) -> ConnectionLostError:
    """How a connection ended, in words."""
    ours, theirs = error.sent, error.rcvd
    if theirs is not None and error.rcvd_then_sent is not False:
        said = f"{theirs.code} {theirs.reason[:_REASON_CHARS]}".rstrip()
        return ConnectionLostError(f"closed the connection ({said})")
    if ours is not None and ours.code == 1009:
        return ConnectionLostError("sent a frame larger than we take")
    if ours is not None and ours.code != 1000:
        said = f"{ours.code} {ours.reason[:_REASON_CHARS]}".rstrip()
        return ConnectionLostError(f"had to be left ({said})")
    return ConnectionLostError("is cut off (the connection broke)")


async def _close(opened: ClientConnection, limit_s: float) -> None:
    try:
        async with asyncio.timeout(limit_s):
            await opened.close()
    except (TimeoutError, OSError, WebSocketException):
        pass  # It is being left anyway; what counts is that it ends in time.
    finally:
        opened.transport.abort()


def _is_loopback(url: str) -> bool:
    return (urlsplit(url).hostname or "") in _LOOPBACK


def _in_words(error: Exception, settings: ConnectionSettings) -> str:
    match error:
        case TimeoutError():
            words = f"no answer within {settings.open_limit_s:g} s"
        case socket.gaierror():
            words = "its name is not known to DNS, or DNS is not reachable"
        case ssl.SSLCertVerificationError():
            words = f"its TLS certificate is not valid: {error.verify_message}"
        case ssl.SSLError():
            words = f"TLS failed: {(error.reason or str(error)).lower().replace('_', ' ')}"
        case InvalidProxy():
            # Its text has the proxy's URL, and that may have a password.
            words = "the proxy in the environment is not valid"
        case InvalidStatus():
            words = f"HTTP {error.response.status_code}"
        case OSError():
            words = _errno_in_words(error)
        case _:
            words = str(error)
    return words[:_REASON_CHARS]


def _errno_in_words(error: OSError) -> str:
    number = error.errno
    if number is None:
        # Several addresses failed: asyncio joins their texts and drops their numbers.
        found = _ERRNO.search(str(error))
        number = int(found[1]) if found else None
    if number == errno.ECONNREFUSED:
        return "connection refused"
    if number:
        return os.strerror(number).lower()
    return str(error) or "the connection broke"
