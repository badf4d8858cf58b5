"""EDGE (websockets): a client's connection to a gateway, opened within limits, failures in words.

Redirects are not followed: the key would go along to wherever they point.
"""

import asyncio
import os
import re
import socket
import ssl
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as _connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.http11 import Response
from websockets.typing import Subprotocol

from gateway.consumer.errors import (
    KeyRefusedError,
    RefusedError,
    StreamError,
    UnreachableError,
    closed,
)
from gateway.protocol import SUBPROTOCOLS, EncodingName, Welcome

OPEN_LIMIT_S: Final = 10.0
ANSWER_LIMIT_S: Final = 10.0
_PING_S: Final = 20.0
_CLOSE_LIMIT_S: Final = 1.0
_FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
"""An ack of a wildcard names each of its channels."""
_PATH: Final = "/v1/stream"
_LOOPBACK: Final = frozenset(("localhost", "127.0.0.1", "::1"))
_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")
_TOLD_CHARS: Final = 200


class _Refused(msgspec.Struct):
    """The body of a refused upgrade."""

    code: str
    message: str


class _Connect(_connect):
    def process_redirect(self, exc: Exception) -> Exception:
        return exc


def stream_url(url: str) -> str:
    """A gateway's http address is as good as its stream's ws one."""
    parts = urlsplit(url.strip())
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path if parts.path not in ("", "/") else _PATH
    return parts._replace(scheme=scheme, path=path).geturl()


def place_of(url: str) -> str:
    """HOST:PORT: as much of a URL as may be shown: what else it holds may be a secret."""
    return urlsplit(url).netloc.rpartition("@")[2]


async def open_socket(
    url: str, key: str, encoding: EncodingName
) -> tuple[ClientConnection, Welcome]:
    """A connection that has been welcomed. Raises StreamError."""
    if not (key and key.isascii() and key.isprintable() and " " not in key):
        raise KeyRefusedError("what was given as the key is none: it has blanks or strange letters")
    subprotocol = next(name for name, row in SUBPROTOCOLS.items() if row == encoding)
    try:
        opened = await _Connect(
            url,
            subprotocols=[Subprotocol(subprotocol)],
            additional_headers={"X-API-Key": key},
            compression=None,
            proxy=None if urlsplit(url).hostname in _LOOPBACK else True,
            open_timeout=OPEN_LIMIT_S,
            ping_interval=_PING_S,
            ping_timeout=_PING_S,
            close_timeout=_CLOSE_LIMIT_S,
            max_size=_FRAME_BYTES_MAX,
        )
    except InvalidStatus as error:
        raise _refusal(error.response) from None
    except (OSError, WebSocketException, ImportError, ValueError) as error:
        raise _unreachable(url, error) from None
    try:
        return opened, await _welcome(url, opened, encoding)
    except BaseException:
        opened.transport.abort()
        raise


def why_closed(error: ConnectionClosed) -> StreamError:
    """The gateway's reason where it gave one, else ours, else that it just broke."""
    theirs, ours = error.rcvd, error.sent
    frame = theirs if theirs is not None and error.rcvd_then_sent is not False else ours
    if frame is None:
        return closed(1006, "it broke")
    return closed(frame.code, frame.reason[:_TOLD_CHARS])


async def _welcome(url: str, opened: ClientConnection, encoding: EncodingName) -> Welcome:
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            frame = await opened.recv(decode=False)
        if encoding == "json":
            return msgspec.json.decode(frame, type=Welcome)
        return msgspec.msgpack.decode(frame, type=Welcome)
    except ConnectionClosed as error:
        raise why_closed(error) from None
    except (TimeoutError, msgspec.DecodeError):
        raise UnreachableError(f"what answers at {place_of(url)} is no Tickgate") from None


def _refusal(response: Response) -> StreamError:
    status = response.status_code
    try:
        told = msgspec.json.decode(response.body or b"", type=_Refused)
    except msgspec.DecodeError:
        phrase = next((row.phrase for row in HTTPStatus if row == status), "no reason given")
        told = _Refused("http", phrase)
    message = told.message[:_TOLD_CHARS].rstrip(".")
    if status in (401, 403):
        return KeyRefusedError(f"the gateway refuses the key: {message}")
    return RefusedError(status, told.code, message, response.headers.get("Retry-After", ""))


def _unreachable(url: str, error: Exception) -> UnreachableError:
    if isinstance(error, InvalidURI):
        unusable = UnreachableError(f"not the address of a stream: {url} (ws://HOST:PORT{_PATH})")
        unusable.next = "stop"
        return unusable
    return UnreachableError(f"no gateway at {place_of(url)}: {_in_words(error)}")


def _in_words(error: Exception) -> str:
    said = str(error)[:_TOLD_CHARS] or "the connection broke"
    match error:
        case TimeoutError():
            return f"no answer within {OPEN_LIMIT_S:g} s"
        case socket.gaierror():
            return "there is no such name"
        case ssl.SSLCertVerificationError():
            return f"its TLS certificate is not valid: {error.verify_message}"
        case OSError():
            # Where several addresses failed, asyncio joins their texts and drops their numbers.
            found = _ERRNO.search(str(error))
            number = error.errno or (int(found[1]) if found else None)
            return os.strerror(number).lower() if number else said
    return said
