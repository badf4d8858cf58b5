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

from feeds.errors import ConnectionLostError, VenueUnreachableError
from feeds.settings import ConnectionSettings

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ERRNO = re.compile(r"\[Errno (\d+)\]")
_REASON_CHARS = 100


@contextlib.asynccontextmanager
async def open_socket(url: str, settings: ConnectionSettings) -> AsyncIterator[ClientConnection]:
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
        )
    except (OSError, WebSocketException, ImportError, ValueError) as error:
        raise VenueUnreachableError(f"can't be reached ({_in_words(error, settings)})") from error
    try:
        yield opened
    finally:
        await _close(opened, settings.close_limit_s)


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
