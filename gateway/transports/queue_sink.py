"""A session's socket on an ASGI server that isn't ours: ready frames, sent by `websocket.send`."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.errors import CloseRow
from gateway.fanout.frames import unframed
from gateway.protocol import EncodingName
from gateway.server.sink import Listener

_READY_BYTES = 65_536
_NO_CODE = 1005
"""What the client said is not asked for here."""


async def messages_of(websocket: WebSocket) -> AsyncIterator[str | bytes]:
    """What the client says, until it or we have closed."""
    while True:
        event = await websocket.receive()
        if event["type"] == "websocket.disconnect":
            return
        text = event.get("text")
        yield event["bytes"] if text is None else text


class QueueSink:
    """Bounded by the session: it writes only while `is_ready`."""

    def __init__(self, websocket: WebSocket, encoding: EncodingName) -> None:
        self._websocket = websocket
        self._is_text = encoding == "json"
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._closing: CloseRow | None = None
        self._wake = asyncio.Event()
        self.descriptor = -1
        self._listener: Listener | None = None

    async def hand_over(self, listener: Listener) -> None:
        """Returns when the connection is over; `busy` and `shut_down` are never told."""
        self._listener = listener
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(self._run(), name="sink")
            try:
                async for message in messages_of(self._websocket):
                    await listener.hear(message)
            finally:
                listener.leave(_NO_CODE if self._closing is None else self._closing.code)
            if self._closing is None:
                sending.cancel()

    def is_ready(self) -> bool:
        return self._bytes < _READY_BYTES

    def write(self, frames: bytes) -> None:
        self._waiting.append(frames)
        self._bytes += len(frames)
        self._wake.set()

    def close(self, row: CloseRow) -> None:
        self._closing = row
        self._wake.set()

    async def _run(self) -> None:
        """Sends until the session is closed or the client is gone."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    frames = self._waiting.popleft()
                    for payload in unframed(frames):
                        await self._send(payload)
                    self._bytes -= len(frames)
                    if self._listener is not None:
                        self._listener.ready()
                if self._closing is not None:
                    await self._websocket.close(self._closing.code, self._closing.text)
                    return
        except (WebSocketDisconnect, RuntimeError):
            return  # the client is gone: the receiving side is told, and ends the session

    async def _send(self, payload: bytes) -> None:
        if self._is_text:
            await self._websocket.send_text(payload.decode())
        else:
            await self._websocket.send_bytes(payload)
