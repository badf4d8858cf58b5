"""EDGE (redis): ticks to the bus, many a call, in order per channel, each exactly once.

`offer` never waits: what Redis can't take yet is held, bounded; what must be dropped is counted
and announced to subscribers as missing by the feed. A batch whose answer was lost is sent again:
the script knows it by its number.
"""

import asyncio
import logging
import random
import uuid
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    NoScriptError,
    RedisError,
    ResponseError,
)

from feeds.batch import Batch, Waiting
from feeds.cancelling import stop_if_cancelled
from feeds.market import Channel, Clock, Tick
from feeds.market.bus_names import DIRECTORY_KEY
from feeds.settings import PublisherSettings

_log = logging.getLogger(__name__)

BUS_SCRIPT: Final = files("feeds").joinpath("bus.lua").read_text()

_DIRECTORY_REFRESH_S = 5.0
"""So that a Redis that lost its memory knows the channels again."""
_BACKOFF_FIRST_S = 0.05
_BACKOFF_MAX_S = 1.0
"""Short: live flow is to be back within 2 s of Redis' return."""

_NOT_NOW = ("OOM", "READONLY", "MISCONF", "NOREPLICAS", "LOADING", "MASTERDOWN", "CLUSTERDOWN")
"""What Redis says when it takes no writes just now, whoever asks."""


class PublisherCounts:
    """What happened since the start."""

    def __init__(self) -> None:
        self.published = 0
        self.dropped = 0
        self.retried_batches = 0
        self.flush_s = 0.0
        """How long the last round trip to Redis took, seconds."""
        self.on_published: Callable[[float, int], None] | None = None
        """Hears of each batch that Redis took: the seconds from its oldest tick's receipt to the
        answer, and its ticks. Not of batches whose ticks don't say when they were received."""


class Publisher:
    """Owns the way from this process to the bus. One per process: it numbers its batches."""

    def __init__(self, redis: Redis, settings: PublisherSettings, clock: Clock) -> None:
        self.counts = PublisherCounts()
        self._redis = redis
        self._settings = settings
        self._clock = clock
        self._name = uuid.uuid4().hex
        self._next_batch = 1
        self._waiting: dict[str, Waiting] = {}
        self._held = 0
        self._in_flight: list[Batch] = []
        self._channels: set[str] = set()
        self._new_channels: set[str] = set()
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._sha = ""
        self._spoilt: set[str] = set()
        """Channels whose keys were seen to be something else; told once."""

    @property
    def waiting_ticks(self) -> int:
        """Held, or on their way without an answer yet."""
        return self._held + sum(batch.ticks for batch in self._in_flight)

    def offer(self, ticks: Iterable[Tick]) -> None:
        """Takes ticks for publishing, in order. Never blocks.

        With the buffer full, the oldest of the same channel makes room; a channel's only tick
        is kept, so that a busy one can't cost a quiet one its newest.
        """
        waiting_by_name, room = self._waiting, self._settings.buffer_ticks_max - self._held
        for tick in ticks:
            name = tick.channel.name
            waiting = waiting_by_name.get(name)
            if waiting is None:
                waiting = waiting_by_name[name] = Waiting(tick.channel)
            if room <= 0 and waiting.payloads:
                waiting.lost += 1
                self.counts.dropped += 1
                waiting.payloads.popleft()
            else:
                room -= 1
            waiting.payloads.append(tick.payload)
        self._held = self._settings.buffer_ticks_max - room
        if self._held:
            self._empty.clear()
            self._wake.set()

    def register(self, channels: Iterable[Channel]) -> None:
        """Lets gateways know of channels before their first tick; repeated by `run`."""
        self._new_channels.update(channel.name for channel in channels)
        self._wake.set()

    def register_again(self) -> None:
        """All of them, so that a Redis that lost its memory knows the channels."""
        self._new_channels |= self._channels
        self._wake.set()

    async def drain(self) -> None:
        """Returns when nothing is held or on its way. Bound it: Redis may be gone."""
        await self._empty.wait()

    async def run(self) -> None:
        """Publishes until cancelled. Redis' failures are retried, for ever, at most 1 s apart."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_directory(), name="publisher-directory")
            group.create_task(self._keep_flushing(), name="publisher-flush")

    async def _keep_flushing(self) -> None:
        backoff_s = _BACKOFF_FIRST_S
        away = False
        while True:
            # A Redis client with a socket timeout sends through asyncio.wait_for.
            stop_if_cancelled()
            await self._wake.wait()
            self._wake.clear()
            try:
                async with asyncio.timeout(self._settings.answer_limit_s):
                    await self._flush()
            except (RedisError, OSError, TimeoutError) as error:
                if not away:
                    away = True
                    _log.warning("redis can't take ticks (%s); holding them", error)
                self._wake.set()
                await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                backoff_s = min(backoff_s * 2, _BACKOFF_MAX_S)
                continue
            if away:
                away = False
                # It may have come back without its memory.
                self.register_again()
                _log.warning("redis takes ticks again dropped=%d", self.counts.dropped)
            backoff_s = _BACKOFF_FIRST_S

    async def _flush(self) -> None:
        if self._in_flight:
            self.counts.retried_batches += len(self._in_flight)
        else:
            self._in_flight = self._take_batches()
        if self._in_flight:
            await self._send(self._in_flight)
        if self._held:
            self._wake.set()
        elif not self._in_flight:
            self._empty.set()
        if self._new_channels:
            await self._announce(set(self._new_channels))

    def _take_batches(self) -> list[Batch]:
        """A channel stands in at most one of them, so that one's failure can't reorder another."""
        settings = self._settings
        tx = b',"tx":%d}' % (self._clock.now_ns() // 1_000)
        batches: list[Batch] = []
        batch: Batch | None = None
        for name in [name for name, waiting in self._waiting.items() if waiting.payloads]:
            if batch is None or batch.ticks >= settings.batch_ticks_max:
                if len(batches) >= settings.pipeline_batches_max:
                    break
                batch = Batch(self._next_batch)
                self._next_batch += 1
                batches.append(batch)
            waiting = self._waiting.pop(name)
            self._held -= batch.add(waiting, settings.batch_ticks_max, tx)
            # Back behind the others: a busy channel starves none.
            self._waiting[name] = waiting
        return batches

    async def _send(self, batches: list[Batch]) -> None:
        started_s = self._clock.monotonic_s()
        if not self._sha:
            self._sha = await self._redis.script_load(BUS_SCRIPT)
        answers = await self._answers([batch.command(self._sha, self._name) for batch in batches])
        answered_us = self._clock.now_ns() // 1_000
        unsent: list[Batch] = []
        failure: Exception | None = None
        for batch, answer in zip(batches, answers, strict=True):
            if isinstance(answer, Exception):
                unsent.append(batch)
                failure = failure or answer
            else:
                self._published(batch, answer[::2], answered_us)
        self._in_flight = unsent
        self.counts.flush_s = self._clock.monotonic_s() - started_s
        if failure is not None:
            raise self._explained(failure)

    async def _answers(self, commands: list[bytes]) -> list[list[bytes] | ResponseError]:
        """What Redis says to each. Raises RedisError, OSError when the connection fails."""
        pool = self._redis.connection_pool
        connection: AbstractConnection = await pool.get_connection()  # type: ignore[no-untyped-call]
        answers: list[list[bytes] | ResponseError] = []
        try:
            await connection.send_packed_command(commands)
            for _ in commands:
                try:
                    answers.append(await connection.read_response())
                except ResponseError as error:
                    answers.append(error)
        except BaseException:
            # Answers that are still to come must not be taken for those to other commands.
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)
        return answers

    def _published(self, batch: Batch, epochs: list[bytes], answered_us: int) -> None:
        """Counts a batch; what a spoilt channel could not take is lost, and nothing else is."""
        if self.counts.on_published is not None and batch.oldest_us is not None:
            # Never negative: the clock may be set back.
            delay_s = max(0, answered_us - batch.oldest_us) / 1e6
            self.counts.on_published(delay_s, batch.ticks)
        for (name, ticks, lost), epoch in zip(batch.counts, epochs, strict=True):
            if epoch:
                self.counts.published += ticks
                continue
            self.counts.dropped += ticks
            self._waiting[name].lost += lost + ticks
            if name not in self._spoilt:
                self._spoilt.add(name)
                _log.error("a key of channel %s has another type in redis: nothing gets in", name)

    def _explained(self, failure: Exception) -> Exception:
        if isinstance(failure, NoScriptError):
            self._sha = ""
            return RedisConnectionError("Redis forgot the script")
        if isinstance(failure, ResponseError) and _is_our_fault(str(failure)):
            return AssertionError(f"bus.lua refused a batch of ours: {failure}")
        return failure

    async def _keep_directory(self) -> None:
        while True:
            await asyncio.sleep(_DIRECTORY_REFRESH_S)
            self.register_again()

    async def _announce(self, names: set[str]) -> None:
        """Lets them be found. Subscribers who know them already need no directory."""
        try:
            await self._redis.sadd(DIRECTORY_KEY, *names)
        except ResponseError as error:
            if any(f"{word} " in str(error) for word in _NOT_NOW):
                raise
            _log.error("the directory of channels is spoilt (%s)", error)
        self._channels |= names
        self._new_channels = self._new_channels - names


def _is_our_fault(refusal: str) -> bool:
    """Whether the script failed or refused, and not Redis, which may take the same batch later.

    Redis 6 puts the script's line before its own error: `@user_script: 53: -OOM command not …`.
    """
    by_script = "user_script" in refusal or "ERR bus:" in refusal
    return by_script and not any(f"{word} " in refusal for word in _NOT_NOW)
