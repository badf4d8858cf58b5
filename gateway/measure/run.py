"""EDGE: one measurement: connects, subscribes, listens for a while, and reports.

Pings go before, beside and after the data.
"""

import asyncio
import contextlib
import gc
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from feeds.market import Clock
from gateway.consumer.client_socket import place_of, stream_url
from gateway.consumer.errors import ChannelsRefusedError, StreamError
from gateway.measure.channels import subscribe_default
from gateway.measure.connection import Measured, batches
from gateway.measure.heard import Faults
from gateway.measure.histogram import Histogram
from gateway.measure.own_load import OwnLoad
from gateway.measure.report import (
    Client,
    Report,
    clock_of,
    connection_of,
    delays_of,
    hops_of,
    merged,
    per_s,
)
from gateway.protocol import Ack

WARM_UP_S: Final = 0.5
"""Between the last ack and what counts: newest values, and the stir of subscribing, are over."""
CONNECTIONS_MAX: Final = 1_000

_AT_ONCE: Final = 8
"""Connections being opened: more would measure this client's own crowd."""
_PINGS_BEFORE: Final = 8
_PINGS_AFTER: Final = 4
_PINGS_PER_S: Final = 10.0
"""Of all connections together, and at most one a second of each."""
_AFTER_LIMIT_S: Final = 2.0


class Wanted(msgspec.Struct, frozen=True):
    """What is asked of a measurement."""

    url: str
    key: str
    channels: tuple[str, ...]
    is_default: bool
    """Nobody named the channels: those that aren't there, or don't fit, are left out."""
    rate: str = "all"
    connections: int = 1
    seconds: float = 10.0


class Measurement:
    """One of them; `stop` ends its listening early."""

    def __init__(self, wanted: Wanted, clock: Clock) -> None:
        self.is_listening = False
        """Before it is, there is nothing to report."""
        self._began_s = 0.0
        self._wanted, self._clock = wanted, clock
        self._stopping = asyncio.Event()
        self._all = [Measured(wanted.url, wanted.rate, clock) for _ in range(wanted.connections)]
        self._names: list[str] = []
        self._left_out: list[str] = []
        self._load = OwnLoad(clock)

    def stop(self) -> None:
        self._stopping.set()

    @property
    def messages(self) -> int:
        """So far."""
        return sum(one.heard.messages for one in self._all)

    def elapsed_s(self) -> float | None:
        """Of listening; None: it has not begun."""
        return self._clock.monotonic_s() - self._began_s if self.is_listening else None

    async def run(self) -> Report:
        """Raises StreamError, in groups, where it can't begin; what breaks later is reported."""
        at = datetime.now(UTC)
        opened: list[Measured] = []
        try:
            await self._open(opened)
            async with asyncio.TaskGroup() as group:
                reading = [group.create_task(one.read()) for one in opened]
                try:
                    await self._subscribe()
                    seconds, client = await self._listen(reading)
                    await self._ping_afterwards()
                finally:
                    for task in reading:
                        task.cancel()
        finally:
            await _together(one.close() for one in opened)
        return self._report(at, seconds, client)

    async def _open(self, opened: list[Measured]) -> None:
        turn = asyncio.Semaphore(_AT_ONCE)

        async def open_one(one: Measured) -> None:
            async with turn:
                await one.open(self._wanted.key)
                opened.append(one)

        await _together(open_one(one) for one in self._all)

    async def _subscribe(self) -> None:
        await _together(_ping_times(one, _PINGS_BEFORE) for one in self._all)
        first, *others = self._all
        wanted = self._wanted
        if wanted.is_default:
            names = list(wanted.channels)
            self._names, self._left_out = await subscribe_default(first, names)
        else:
            self._names = list(wanted.channels)
            others = self._all
        await _together(_subscribe_all(one, self._names) for one in others)

    async def _listen(self, reading: Sequence[asyncio.Task[None]]) -> tuple[float, Client]:
        """How long it was, and what it cost this client."""
        async with asyncio.TaskGroup() as group:
            chores = [group.create_task(self._load.watch())]
            chores += [group.create_task(self._keep_pinging(n)) for n in range(len(self._all))]
            ends = [
                group.create_task(self._stopping.wait()),
                group.create_task(_all_ended(reading)),
            ]
            gc.collect()
            gc.freeze()  # What is there by now stays: the collector need not look at it again.
            try:
                await asyncio.wait(ends, timeout=WARM_UP_S, return_when=asyncio.FIRST_COMPLETED)
                began_s = self._begin()
                limit_s = self._wanted.seconds
                await asyncio.wait(ends, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
                seconds = self._end(began_s)
                client = self._load.told(seconds)
            finally:
                gc.unfreeze()
                for task in (*chores, *ends):
                    task.cancel()
        return seconds, client

    def _begin(self) -> float:
        now_us = self._clock.now_ns() // 1_000
        for one in self._all:
            one.offset.begin()
            one.heard.begin(now_us)
        self._load.begin()
        self.is_listening = True
        self._began_s = self._clock.monotonic_s()
        return self._began_s

    def _end(self, began_s: float) -> float:
        now_us = self._clock.now_ns() // 1_000
        for one in self._all:
            one.heard.end(now_us)
        return self._clock.monotonic_s() - began_s

    async def _keep_pinging(self, number: int) -> None:
        every_s = max(1.0, len(self._all) / _PINGS_PER_S)
        await asyncio.sleep(every_s * number / len(self._all))
        one = self._all[number]
        while one.end is None:
            with contextlib.suppress(StreamError):
                await one.ping()
            await asyncio.sleep(every_s)

    async def _ping_afterwards(self) -> None:
        """When the data have ended, so that nothing stands before a pong."""

        async def ping(one: Measured) -> None:
            with contextlib.suppress(StreamError, TimeoutError):
                async with asyncio.timeout(_AFTER_LIMIT_S):
                    await one.unsubscribe(self._names)
                    await _ping_times(one, _PINGS_AFTER)

        await _together(ping(one) for one in self._all if one.end is None)

    def _report(self, at: datetime, seconds: float, client: Client) -> Report:
        everyone, wanted = self._all, self._wanted
        heard = [one.heard for one in everyone]
        faults = Faults()
        for one in heard:
            faults.take_in(one.faults)
        channels: dict[str, str] = {}
        for one in heard:
            channels |= one.channels
        connects = Histogram()
        for each in everyone:
            connects.add(each.connect_us)
        return Report(
            gateway=place_of(stream_url(wanted.url)),
            at=at.isoformat(timespec="seconds"),
            protocol=everyone[0].welcome.protocol,
            asked_channels=self._names,
            left_out=self._left_out,
            rate=wanted.rate,
            seconds=round(seconds, 3),
            channels=len(channels),
            channels_heard=len(set().union(*(one.channels_heard for one in heard))),
            channels_by_state=dict(Counter(channels.values())),
            messages=self.messages,
            messages_per_s=per_s(self.messages, seconds),
            payload_bytes_per_s=per_s(sum(one.payload_bytes for one in heard), seconds),
            hops=hops_of(heard),
            connect=delays_of(connects),
            subscribe=delays_of(merged(one.subscribe_delays for one in everyone)),
            round_trip=delays_of(merged(one.round_trips for one in everyone)),
            clock=clock_of([one.offset for one in everyone]),
            faults=faults,
            heartbeat_ms=everyone[0].welcome.heartbeat_ms,
            heartbeats=sum(one.heartbeats for one in heard),
            silence_max_ms=max(one.silence_us_max for one in heard) / 1_000,
            connections=[
                connection_of(one.heard, one.offset, seconds, one.end_reason) for one in everyone
            ],
            client=client,
            is_client_bottleneck=client.is_bottleneck,
            is_client_late=client.is_late,
        )


async def _subscribe_all(one: Measured, names: Sequence[str]) -> None:
    """Raises StreamError where any of them is refused."""
    told = Ack(None)
    for some in batches(names):
        ack = await one.subscribe(some)
        told = Ack(None, told.ok + ack.ok, told.err + ack.err)
    if told.err:
        raise ChannelsRefusedError(told)


async def _ping_times(one: Measured, times: int) -> None:
    for _ in range(times):
        await one.ping()


async def _all_ended(reading: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.wait(reading)


async def _together(coroutines: Iterable[Coroutine[None, None, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for coroutine in coroutines:
            group.create_task(coroutine)
