"""EDGE (asyncio): accepts connections that speak TLS, and gives them to the server once they do.

In the place of the event loop's own listener, which lets anyone be silent for a minute before the
handshake, and shows nobody who that is.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final

from gateway.server.half_open import HalfOpen

_log = logging.getLogger(__name__)

_SHUTDOWN_LIMIT_S: Final = 3.0
"""For TLS' own goodbye."""
_REST_S: Final = 0.5
"""Where no more can be accepted: as a rule, all descriptors are taken."""


class Handshakes:
    """One listening socket's."""

    def __init__(
        self,
        context: ssl.SSLContext,
        half_open: HalfOpen,
        protocol: Callable[[], asyncio.Protocol],
    ) -> None:
        self._context = context
        self._half_open = half_open
        self._protocol = protocol

    async def run(self, listening: socket.socket) -> None:
        """Until cancelled; handshakes that are not done by then are given up."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    accepted, address = await loop.sock_accept(listening)
                except ConnectionError:
                    continue  # gone before its turn
                except OSError as error:
                    _log.warning("no connection can be accepted error=%s", error)
                    await asyncio.sleep(_REST_S)
                    continue
                group.create_task(self._let_in(accepted, address[0]))

    async def _let_in(self, accepted: socket.socket, address: str) -> None:
        limit_s = self._half_open.enter(address)
        if limit_s is None:
            accepted.close()
            return
        loop = asyncio.get_running_loop()
        try:
            # What it raises is the client's doing: no TLS, no version in common, gone, too slow.
            with contextlib.suppress(OSError):
                await loop.connect_accepted_socket(
                    self._protocol,
                    accepted,
                    ssl=self._context,
                    ssl_handshake_timeout=limit_s,
                    ssl_shutdown_timeout=_SHUTDOWN_LIMIT_S,
                )
        except Exception:
            # A mistake of ours must cost one connection, and be seen.
            _log.exception("a TLS handshake failed")
        finally:
            self._half_open.leave(address)
