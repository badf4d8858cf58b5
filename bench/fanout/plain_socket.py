"""One WebSocket subscriber as a plain blocking socket, where only its being there is measured."""

import json
import socket
from collections.abc import Sequence
from typing import Final

_ANSWER_LIMIT_S: Final = 10.0
_COMMAND_CHANNELS: Final = 50
"""The protocol's limit for one command."""


def upgraded(port: int, key: str | None, receive_buffer: int = 0) -> socket.socket:
    """An open WebSocket; with a key it has been welcomed. `receive_buffer`: 0 is the system's."""
    one = socket.socket()
    one.settimeout(_ANSWER_LIMIT_S)
    if receive_buffer:
        # Before connecting: later, the window has been promised already.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    one.connect(("127.0.0.1", port))
    shown = f"X-API-Key: {key}\r\n" if key else ""
    one.sendall(
        b"GET /v1/stream HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        + shown.encode()
        + b"\r\n"
    )
    _await(one, b'"type":"welcome"' if key else b"\r\n\r\n")
    return one


def subscribe(one: socket.socket, names: Sequence[str]) -> None:
    """Returns when the ack has come; what came with it is thrown away."""
    for start in range(0, len(names), _COMMAND_CHANNELS):
        chosen = names[start : start + _COMMAND_CHANNELS]
        command = json.dumps({"op": "subscribe", "id": 1, "channels": chosen}).encode().ljust(126)
        assert 126 <= len(command) < 65_536, "one form of the length is enough here"
        # Masked with zeros, which change nothing.
        one.sendall(b"\x81\xfe" + len(command).to_bytes(2, "big") + bytes(4) + command)
        _await(one, b'"err":[]')


def _await(one: socket.socket, mark: bytes) -> None:
    heard = b""
    while mark not in heard:
        more = one.recv(65_536)
        assert more, f"closed by the gateway after {heard[-200:]!r}"
        heard += more
