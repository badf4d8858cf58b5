"""A connection after its hand-over: what its client says, told to its listener in order.

In the place of uvicorn's queue, and of the task that waited at it: an asyncio.Queue takes 3.2 KiB
(Python 3.11), a waiting Starlette application 9 KiB. A task lives only while there is something
to hear.
"""

import asyncio
from typing import TYPE_CHECKING

from uvicorn._types import ASGIReceiveEvent

from gateway.server.sink import Listener

if TYPE_CHECKING:
    from gateway.server.websocket import StreamProtocol

_NO_CLOSE = 1006
"""It ended without a close frame (RFC 6455, 7.4.1)."""


class Hearing:
    """As much of a queue as uvicorn's class uses. Ends with the first `websocket.disconnect`."""

    __slots__ = ("_connection", "_events", "_is_awake", "_listener")

    def __init__(self, connection: "StreamProtocol", listener: Listener) -> None:
        self._connection = connection
        self._listener = listener
        self._events: list[ASGIReceiveEvent] = []
        self._is_awake = False

    def empty(self) -> bool:
        return not self._events

    async def get(self) -> ASGIReceiveEvent:
        return self._events.pop(0)

    def put_nowait(self, event: ASGIReceiveEvent) -> None:
        self._events.append(event)
        if not self._is_awake:
            self._is_awake = True
            self._connection.start(self._hear())

    async def _hear(self) -> None:
        is_over, code = True, _NO_CLOSE
        try:
            while self._events:
                event = await self._connection.receive()
                if event["type"] != "websocket.receive":
                    code = event["code"] if event["type"] == "websocket.disconnect" else code
                    return
                text, data = event.get("text"), event.get("bytes")
                await self._listener.hear(text if text is not None else data or b"")
                if self._events:
                    await asyncio.sleep(0)  # others are waiting too
            is_over = self._is_awake = False
        finally:
            # Also where the server has lost patience and cancels its tasks.
            if is_over:
                self._listener.leave(code)
                self._connection.end()
                # They refer to each other: see StreamProtocol._let_go.
                del self._listener, self._connection
