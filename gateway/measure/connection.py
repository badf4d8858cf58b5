"""EDGE (websockets): one connection that is measured: asks, is answered, stamps what comes.

Nothing reconnects here: that a connection ended is a finding.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, WebSocketException

from feeds.market import Clock
from gateway.consumer.client_socket import ANSWER_LIMIT_S, open_socket, stream_url, why_closed
from gateway.consumer.errors import CommandRefusedError, StreamError, UnansweredError
from gateway.consumer.subscriber import CHANNELS_PER_COMMAND
from gateway.errors import ERRORS
from gateway.measure.clock_offset import ClockOffset, Ping
from gateway.measure.heard import Heard
from gateway.measure.histogram import Histogram
from gateway.measure.sieve import Sieve
from gateway.protocol import Ack, Announcement, CommandId, Error, Pong, Subscribe, Unsubscribe
from gateway.protocol import Ping as PingCommand

_TRIES_MAX: Final = 30
"""Of a command that comes too soon for the rate of commands that the plan allows."""
_CLOSE_LIMIT_S: Final = 1.5

Answer = tuple[Announcement, int]
"""And when it came, microseconds UTC."""


class Measured:
    """A connection that has been welcomed. `read` must run for anything to be heard."""

    def __init__(self, url: str, rate: str, clock: Clock) -> None:
        self.heard = Heard()
        self.round_trips = Histogram()
        self.subscribe_delays = Histogram()
        self.connect_us = 0
        """From the first packet to the welcome."""
        self.end: StreamError | None = None
        """Why it ended."""
        self._url, self._rate, self._clock = stream_url(url), rate, clock
        self._ids = itertools.count(1)
        self._waiting: dict[CommandId, asyncio.Future[Answer]] = {}

    @property
    def end_reason(self) -> str | None:
        return None if self.end is None else str(self.end)

    async def open(self, key: str) -> None:
        """Raises StreamError."""
        began_s = self._clock.monotonic_s()
        self._socket, self.welcome = await open_socket(self._url, key, "json")
        self.connect_us = round((self._clock.monotonic_s() - began_s) * 1e6)
        self.offset = ClockOffset(is_here=_is_here(self._url, self._socket))
        # Nothing awaits since the welcome came, and nothing follows it unasked.
        self._socket.transport.set_protocol(Sieve(self._socket, self._hear, self._clock))

    async def read(self) -> None:
        """Until the connection ends."""
        try:
            while True:
                # What no Tickgate sends, but may be sent: messages in fragments.
                frame = await self._socket.recv(decode=False)
                self._hear(frame, self._clock.now_ns() // 1_000)
        except ConnectionClosed as error:
            self.end = why_closed(error)
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(self.end)

    async def subscribe(self, names: list[str]) -> Ack:
        """One command; its ack may refuse some of them. Raises StreamError."""
        began_s = self._clock.monotonic_s()
        ack = await self._asked(Subscribe(names, next(self._ids), self._rate))
        self.subscribe_delays.add(round((self._clock.monotonic_s() - began_s) * 1e6))
        return ack

    async def unsubscribe(self, names: Sequence[str]) -> None:
        """Raises StreamError."""
        for some in batches(names):
            await self._asked(Unsubscribe(some, next(self._ids)))

    async def ping(self) -> None:
        """One ping and its pong; a refusal tells nothing. Raises StreamError."""
        sent_us = self._clock.now_ns() // 1_000
        told, received_us = await self._answer(PingCommand(next(self._ids)))
        if isinstance(told, Pong):
            ping = Ping(sent_us, received_us, told.t)
            self.offset.hear(ping)
            self.round_trips.add(ping.round_trip_us)

    async def close(self) -> None:
        """Within a bounded time."""
        with contextlib.suppress(TimeoutError, OSError, WebSocketException):
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                await self._socket.close()
        self._socket.transport.abort()

    async def _asked(self, command: Subscribe | Unsubscribe) -> Ack:
        for _ in range(_TRIES_MAX):
            told, _ = await self._answer(command)
            if isinstance(told, Ack):
                return told
            if not (isinstance(told, Error) and told.code == ERRORS["rate_limited"].code):
                break
            await asyncio.sleep((told.after_ms or 1_000) / 1_000)
        if isinstance(told, Error):
            raise CommandRefusedError(told)
        raise UnansweredError("the gateway answers something else than it was asked")

    async def _answer(self, command: Subscribe | Unsubscribe | PingCommand) -> Answer:
        if self.end is not None:
            raise self.end
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[command.id] = answer
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                await self._socket.send(msgspec.json.encode(command), text=True)
                return await answer
        except ConnectionClosed as error:
            raise why_closed(error) from None
        except TimeoutError:
            raise UnansweredError(f"no answer within {ANSWER_LIMIT_S:g} s") from None
        finally:
            del self._waiting[command.id]

    def _hear(self, frame: bytes, now_us: int) -> None:
        told = self.heard.hear(frame, now_us, self.offset.correction_us)
        if told is None or not isinstance(told, Pong | Ack | Error):
            return
        waiting = self._waiting.get(told.id)
        if waiting is not None and not waiting.done():
            waiting.set_result((told, now_us))


def batches(names: Sequence[str]) -> Iterator[list[str]]:
    """As many as one command may name."""
    for start in range(0, len(names), CHANNELS_PER_COMMAND):
        yield list(names[start : start + CHANNELS_PER_COMMAND])


def _is_here(url: str, socket: ClientConnection) -> bool:
    """Whether by its address the gateway is on this machine: loopback, or our own address.

    By the URL's name first: a proxy may be on loopback for a gateway that is far away.
    """
    host = urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):
        if ip_address(host).is_loopback:
            return True
    ours, theirs = socket.local_address, socket.remote_address
    if not (ours and theirs):
        return False
    is_own = ours[0] == theirs[0]
    return host == "localhost" or (is_own and not ip_address(theirs[0]).is_loopback)
