"""Clients of a soak: some stay and change what they want, others come and go. By the reference
client; each has its own chance, by a seed."""

import asyncio
import contextlib
import time
from random import Random
from typing import Final

import msgspec

from gateway.client import ChannelsRefusedError, Stream, StreamError, connect
from gateway.fanout.rates import RATES
from gateway.protocol import EncodingName

_STEADY: Final = 20
"""Clients that stay."""
_PASSING: Final = 20
"""Others, at a time."""
_STAY_S: Final = (0.2, 6.0)
_ENCODINGS: Final[tuple[EncodingName, ...]] = ("json", "msgpack")


class Churn(msgspec.Struct):
    """What was done."""

    connections: int = 0
    abrupt: int = 0
    subscriptions: int = 0
    refused: int = 0
    """Channels that were to be asked for later."""
    messages: int = 0
    failures: list[str] = []


class Clients:
    """All that come and go, until `over`."""

    def __init__(self, url: str, key: str, seed: int) -> None:
        self.churn = Churn()
        self._url, self._key = url, key
        self._random = Random(seed)
        self._over = asyncio.Event()
        self._began_s = time.monotonic()
        self._names: list[str] = []

    async def run(self, seconds: float) -> None:
        async with connect(self._url, self._key) as stream:
            ack = await stream.subscribe("trade:sim:*", "quote:sim:*")
            self._names = [row.ch for row in ack.ok]
        async with asyncio.TaskGroup() as group:
            for number in range(_STEADY):
                group.create_task(self._stay(Random(number)))
            for number in range(_PASSING):
                group.create_task(self._pass_by(Random(1_000 + number)))
            await asyncio.sleep(seconds)
            self._over.set()

    async def _stay(self, random: Random) -> None:
        try:
            async with connect(self._url, self._key, random=random) as stream:
                await self._change(stream, random)
                while not self._over.is_set():
                    await self._listen(stream, random.uniform(*_STAY_S))
                    await self._change(stream, random)
        except StreamError as error:
            self._failed(error)

    async def _pass_by(self, random: Random) -> None:
        while not self._over.is_set():
            self.churn.connections += 1
            encoding = random.choice(_ENCODINGS)
            try:
                async with connect(self._url, self._key, encoding=encoding) as stream:
                    await self._change(stream, random)
                    await self._listen(stream, random.uniform(*_STAY_S))
                    if random.random() < 0.25:
                        self.churn.abrupt += 1
                        _vanish(stream)
            except StreamError as error:
                self._failed(error)

    def _failed(self, error: StreamError) -> None:
        self.churn.failures.append(f"after {time.monotonic() - self._began_s:.0f} s: {error}")

    async def _change(self, stream: Stream, random: Random) -> None:
        """Other channels, at another rate; some of those that it has are given up."""
        self.churn.subscriptions += 1
        held = sorted(stream.positions)
        if len(held) > 1:
            await stream.unsubscribe(*random.sample(held, random.randint(1, len(held) - 1)))
        names = random.sample(self._names, random.randint(1, 20))
        try:
            await stream.subscribe(*names, rate=random.choice(RATES))
        except ChannelsRefusedError as error:
            # Some are to be asked for again: the others are subscribed all the same.
            if not all(row.retry for row in error.ack.err):
                raise
            self.churn.refused += len(error.ack.err)

    async def _listen(self, stream: Stream, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for _ in stream:
                    self.churn.messages += 1
                    if self._over.is_set():
                        return


def _vanish(stream: Stream) -> None:
    """Without a goodbye."""
    socket = stream._socket  # no client that behaves can do it
    if socket is not None:
        socket.transport.abort()
