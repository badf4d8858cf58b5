"""A session's socket on an ASGI server that isn't ours: ready frames, sent by `websocket.send`."""

import asyncio
from collections import deque
from collections.abc import Callable

from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.errors import CloseRow
from gateway.frames import unframed
from gateway.protocol import EncodingName

_READY_BYTES = 65_536


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
        self.on_busy: Callable[[], None] | None = None
        self.on_ready: Callable[[], None] | None = None
        self.on_shutdown: Callable[[], None] | None = None
        """Never called: only our own server knows when it stops."""

    @property
    def is_closing(self) -> bool:
        return self._closing is not None

    def is_ready(self) -> bool:
        return self._bytes < _READY_BYTES

    def write(self, frames: bytes) -> None:
        self._waiting.append(frames)
        self._bytes += len(frames)
        self._wake.set()

    def close(self, row: CloseRow) -> None:
        self._closing = row
        self._wake.set()

    async def run(self) -> None:
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
                    if self.on_ready is not None:
                        self.on_ready()
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
