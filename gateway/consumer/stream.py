"""One stream of the native protocol, as a client has it: subscriptions that outlive connections.

Nothing runs in the background but websockets' own pings: frames are read while somebody waits for
a message or an answer, and what isn't read holds the gateway back.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Final, Self

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, WebSocketException

from feeds.market import Clock, Position
from feeds.market.channel import OnLag
from gateway.consumer.client_socket import ANSWER_LIMIT_S, open_socket, stream_url, why_closed
from gateway.consumer.errors import (
    ChannelsRefusedError,
    ClosedError,
    StreamError,
    UnansweredError,
    pause_s,
)
from gateway.consumer.subscriber import Data, Message, Reconnecting, Request, Subscriber, Terms
from gateway.protocol import Ack, EncodingName, Welcome

_log = logging.getLogger(__name__)

_UNREAD_MAX: Final = 50_000
"""Messages that may pile up while an answer is awaited; a reader must take them."""
_STEADY_S: Final = 10.0
"""A connection that lasted this long makes the next failure a first one."""
_HEARTBEATS_LIMIT: Final = 3
_SILENCE_SLACK_S: Final = 1.0
"""A heartbeat may come after nearly two of its intervals; without three of them, it is dead."""
_CLOSE_LIMIT_S: Final = 1.5


class Stream:
    """Subscriptions that outlive connections. Iterate it; subscribe at any time, in any task."""

    def __init__(
        self, url: str, key: str, encoding: EncodingName, clock: Clock, random: Random
    ) -> None:
        self.welcome: Welcome | None = None
        """The present connection's, or the last one's."""
        self._url, self._key, self._encoding = stream_url(url), key, encoding
        self._clock, self._random = clock, random
        codec = msgspec.json if encoding == "json" else msgspec.msgpack
        self._encode: Callable[[object], bytes] = codec.encode
        self._decode: Callable[[bytes], Data] = codec.Decoder(Data).decode
        self._subscriber = Subscriber(random)
        self._messages = self._subscriber.messages
        self._unsent = self._subscriber.unsent
        self._socket: ClientConnection | None = None
        self._silence_limit_s = 0.0
        self._opened_s = 0.0
        self._failures = 0
        self._return_s = 0.0
        self._end: StreamError | None = None
        self._turn = asyncio.Lock()
        """Whose turn it is to read: the iterating task's or one's that waits for an answer."""

    @property
    def positions(self) -> dict[str, Position]:
        """How far each channel has been read: may be kept, and given to `subscribe` as `since`."""
        return self._subscriber.positions.current()

    @property
    def repeated(self) -> int:
        """Messages that came a second time and were dropped."""
        return self._subscriber.positions.repeated

    async def subscribe(
        self,
        *channels: str,
        rate: str = "all",
        on_lag: OnLag | None = None,
        since: Mapping[str, Position] | None = None,
    ) -> Ack:
        """Subscribes; `*` stands for the symbols known now. Again with other terms is no error.

        Raises ChannelsRefusedError (the others are subscribed all the same), CommandRefusedError,
        UnansweredError (it may still take effect), and whatever ends the stream.
        """
        self._subscriber.positions.restore(since or {})
        return await self._answer(self._subscriber.subscribe(channels, Terms(rate, on_lag)))

    async def unsubscribe(self, *channels: str) -> Ack:
        """Raises as `subscribe`."""
        return await self._answer(self._subscriber.unsubscribe(channels))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """The next message. Raises the StreamError that ended the stream for good."""
        while not self._messages:
            async with self._turn:
                if not self._messages:
                    await self._step()
        return self._messages.popleft()

    async def open(self) -> None:
        """Connects, once. Raises StreamError."""
        self._socket, self.welcome = await open_socket(self._url, self._key, self._encoding)
        self._opened_s = self._clock.monotonic_s()
        heartbeat_s = self.welcome.heartbeat_ms / 1_000
        self._silence_limit_s = heartbeat_s * _HEARTBEATS_LIMIT + _SILENCE_SLACK_S
        self._subscriber.connected()

    async def close(self) -> None:
        """Ends the stream for good."""
        self._finish(StreamError("the stream was closed by its user"))
        socket, self._socket = self._socket, None
        if socket is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                await socket.close()
        except (TimeoutError, OSError, WebSocketException):
            pass  # It is being left anyway; what counts is that it ends in time.
        finally:
            socket.transport.abort()

    async def _answer(self, requests: Iterator[Request]) -> Ack:
        """What the gateway says to all of them, as one ack."""
        told = Ack(None)
        for request in requests:
            try:
                async with asyncio.timeout(ANSWER_LIMIT_S):
                    ack = await self._answer_to(request)
            except TimeoutError:
                raise UnansweredError(f"no answer within {ANSWER_LIMIT_S:g} s") from None
            told = Ack(None, told.ok + ack.ok, told.err + ack.err)
        if told.err:
            raise ChannelsRefusedError(told)
        return told

    async def _answer_to(self, request: Request) -> Ack:
        # At once: another task may be reading, and it sends only between two frames.
        await self._send_unsent()
        while request.answer is None:
            if len(self._messages) >= _UNREAD_MAX:
                raise UnansweredError(f"no answer: {_UNREAD_MAX} messages wait to be read before")
            async with self._turn:
                if request.answer is None:
                    await self._step()
        if isinstance(request.answer, StreamError):
            raise request.answer
        return request.answer

    async def _step(self) -> None:
        """Hears one frame, or makes one try to connect. Raises what ended the stream."""
        if self._end is not None:
            raise self._end
        if self._socket is None:
            await self._return()
            return
        socket, due_s = self._socket, self._subscriber.due_in_s(self._clock.monotonic_s())
        await self._send_unsent()
        limit_s = self._silence_limit_s if due_s is None else min(due_s, self._silence_limit_s)
        try:
            async with asyncio.timeout(limit_s):
                frame = await socket.recv(decode=False)
        except TimeoutError:
            if limit_s == self._silence_limit_s:
                self._lose(ClosedError(1006, f"the gateway was silent for {limit_s:g} s"))
        except ConnectionClosed as error:
            self._lose(why_closed(error))
        else:
            self._hear(frame)

    async def _return(self) -> None:
        await asyncio.sleep(max(0.0, self._return_s - self._clock.monotonic_s()))
        try:
            await self.open()
        except StreamError as error:
            self._lose(error)
        else:
            assert self.welcome is not None
            self._messages.append(self.welcome)

    def _hear(self, frame: bytes) -> None:
        try:
            self._subscriber.hear(self._decode(frame), self._clock.monotonic_s())
        except msgspec.DecodeError as error:
            _log.info("skipped a frame that this version doesn't know error=%s", error)

    async def _send_unsent(self) -> None:
        while self._unsent and self._socket is not None:
            request = self._unsent.popleft()
            command = self._encode(request.command)
            try:
                async with asyncio.timeout(ANSWER_LIMIT_S):
                    await self._socket.send(command, text=self._encoding == "json")
            except (ConnectionClosed, TimeoutError):
                return  # Noticed where frames are read; the next connection asks again.
            except asyncio.CancelledError:
                self._unsent.appendleft(request)  # To be repeated does no harm, to be lost does.
                raise

    def _lose(self, error: StreamError) -> None:
        """The connection is gone: for good, or until the next try."""
        if self._end is not None:
            return
        now_s = self._clock.monotonic_s()
        if self._socket is not None:
            self._socket.transport.abort()
            self._socket = None
            if now_s - self._opened_s >= _STEADY_S:
                self._failures = 0
        if error.next == "stop":
            self._finish(error)
            return
        self._failures += 1
        wait_s = pause_s(error, self._failures, self._random)
        self._return_s = now_s + wait_s
        self._messages.append(Reconnecting(str(error), self._failures, round(wait_s, 3)))

    def _finish(self, error: StreamError) -> None:
        self._end = self._end or error
        self._subscriber.ended(self._end)
