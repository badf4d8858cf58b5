"""EDGE: the end of a connection whose deadline has passed: at once, in the kernel too."""

import asyncio
import contextlib
import socket
import struct
from typing import Final

_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER, on, for no time."""


def abort(transport: asyncio.WriteTransport) -> None:
    """A plain close keeps what is unsent for a peer whose window is shut, until the kernel gives up
    some 30 s later; a reset lets go of it. What the peer's kernel has, it may still read."""
    plain = transport.get_extra_info("socket")
    if plain is not None:
        with contextlib.suppress(OSError):
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
