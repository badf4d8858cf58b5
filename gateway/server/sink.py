"""What our server offers to an application, as the ASGI scope's extension `tickgate.frames`.

A FrameSink takes ready frames; and the whole connection may be handed over to a Listener. Then
the application returns: an idle connection keeps no task, no coroutine and no scope alive.
"""

from typing import TYPE_CHECKING, Final, Protocol

from gateway.errors import CloseRow

if TYPE_CHECKING:
    from gateway.server.websocket import StreamProtocol

EXTENSION: Final = "tickgate.frames"


class Listener(Protocol):
    """Who is told everything that happens to a connection."""

    async def hear(self, message: str | bytes) -> None:
        """What the client says; one message after the other. Raises nothing."""

    def busy(self) -> None:
        """The socket takes no more, or is about to be closed."""

    def ready(self) -> None:
        """The socket takes more again."""

    def shut_down(self) -> None:
        """The server stops: it says goodbye in its own words, and soon."""

    def leave(self, code: int) -> None:
        """It is over; `code` is that of the close, whoever closed. Once.

        Nothing is told after it but `busy` and `ready`.
        """


class FrameSink:
    """The socket of one connection, as a session sees it."""

    __slots__ = ("_connection", "descriptor", "is_leaving", "listener")

    def __init__(self, connection: "StreamProtocol") -> None:
        self._connection: StreamProtocol | None = connection
        self.descriptor = -1
        self.is_leaving = False
        """The client has closed, or is gone."""
        self.listener: Listener | None = None

    async def hand_over(self, listener: Listener) -> None:
        """Returns at once. The listener hears what the application has not received yet."""
        assert self._connection is not None
        self.listener = listener
        self._connection.hand_over(listener)

    def is_ready(self) -> bool:
        connection = self._connection
        return connection is not None and connection.writable.is_set()

    def write(self, frames: bytes) -> None:
        connection = self._connection
        if connection is None or self.is_leaving or connection.transport.is_closing():
            return
        connection.transport.write(frames)

    def close(self, row: CloseRow) -> None:
        if self._connection is not None:
            self._connection.say_goodbye(row.code, row.text)

    def let_go(self) -> None:
        """The socket is gone, and nobody listens: what is asked of it from now on does nothing."""
        self._connection = self.listener = None
