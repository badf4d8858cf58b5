"""A client that never gives up: the reference client, and a ledger of all that it is told."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from feeds.market import Publication
from feeds.market.bus_names import log_key
from gateway.client import Gap, Missed, StreamError, connect
from gateway.protocol import EncodingName
from tests.chaos.ledger import Finding, Ledger, Truth

Wants = Sequence[tuple[Sequence[str], str]]
"""Channels, and at which rate."""

_THEIRS: Final = ("slow", "plan")
"""What is missing by these is still there for others."""


class Flow(NamedTuple):
    """When live messages came again: the first channel's, and the last one's; monotonic seconds."""

    first_s: float
    last_s: float


class Watcher:
    """Reads on as long as it `flows`; a stalled client is one that doesn't."""

    def __init__(self, name: str, truth: Truth, redis: Redis) -> None:
        self.ledger = Ledger(name, truth)
        self.ready = asyncio.Event()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.repeated = 0
        self._redis = redis
        self._fresh_us: int | None = None
        self._fresh: dict[str, float] = {}

    @property
    def findings(self) -> list[Finding]:
        return self.ledger.findings

    async def run(
        self, url: str, token: str, wants: Wants, *, encoding: EncodingName, random: Random
    ) -> None:
        try:
            async with connect(url, token, encoding=encoding, random=random) as stream:
                for channels, rate in wants:
                    self.ledger.subscribed(await stream.subscribe(*channels, rate=rate))
                self.ready.set()
                async for message in stream:
                    await self.flowing.wait()
                    self.ledger.hear(message)
                    self.repeated = stream.repeated
                    if isinstance(message, dict):
                        self._notice(message["ch"], message["tx"])
                    elif isinstance(message, Gap | Missed):
                        await self._doubt(message)
        except StreamError as error:
            self.ready.set()
            self._find("ended", "", str(error))

    def await_fresh(self) -> None:
        """From now on each channel's next message that is published from now on is waited for."""
        self._fresh = {}
        self._fresh_us = time.time_ns() // 1_000

    def flow(self) -> Flow | None:
        """Since `await_fresh`; None: not yet on every channel."""
        if len(self._fresh) < len(self.ledger.places):
            return None
        return Flow(min(self._fresh.values()), max(self._fresh.values()))

    def lacking(self) -> list[str]:
        return [name for name in self.ledger.places if name not in self._fresh]

    def _notice(self, channel: str, published_us: int) -> None:
        if self._fresh_us is not None and published_us >= self._fresh_us:
            self._fresh.setdefault(channel, time.monotonic())

    async def _doubt(self, told: Gap | Missed) -> None:
        """What is said not to come must not be there to be had."""
        if isinstance(told, Gap) and told.by in _THEIRS:
            return
        # All or nothing: a return that was refused may have wanted more than there is.
        last = told.last if isinstance(told, Gap) else told.first
        there = None
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                there = await self._redis.xrange(
                    log_key(told.ch), f"{told.first}-0", f"{last}-0", count=1
                )
        epoch = self.ledger.places[told.ch].epoch
        for _, fields in there or ():
            if Publication.decode(fields[b"m"]).epoch == epoch:
                self._find("untrue", told.ch, f"{told}: the stream has it")

    def _find(self, kind: str, channel: str, told: str) -> None:
        self.findings.append(Finding(kind, self.ledger.client, channel, told))
