"""EDGE (redis): ticks to the bus, many a call, in order per channel, each exactly once.

`offer` never waits: what Redis can't take yet is held, bounded; what must be dropped is counted
and announced to subscribers as missing by the feed. A batch whose answer was lost is sent again:
the script knows it by its number.
"""

import asyncio
import logging
import random
import uuid
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from feeds.batch import Batch, Fence, Waiting
from feeds.bus_line import BusLine, Place, explained, takes_no_writes
from feeds.cancelling import stop_if_cancelled
from feeds.market import Channel, Clock, Tick
from feeds.market.bus_names import DIRECTORY_KEY
from feeds.retention import Retention
from feeds.settings import PublisherSettings

_log = logging.getLogger(__name__)

_DIRECTORY_REFRESH_S = 5.0
"""So that a Redis that lost its memory knows the channels again."""
_ANNOUNCED_AT_ONCE = 1_000
"""Channels: 2 ms of this process. All those of 500 pairs of 5 venues in one command were 45."""
_BACKOFF_FIRST_S = 0.05
_BACKOFF_MAX_S = 1.0
"""Short: live flow is to be back within 2 s of Redis' return."""


class PublisherCounts:
    """What happened since the start."""

    def __init__(self) -> None:
        self.published = 0
        self.dropped = 0
        self.yielded = 0
        """Ticks left to another process, which published their venue by then."""
        self.retried_batches = 0
        self.flush_s = 0.0
        """How long the last round trip to Redis took, seconds."""
        self.on_published: Callable[[float, int], None] | None = None
        """Hears of each batch that Redis took: the seconds from its oldest tick's receipt to the
        answer, and its ticks. Not of batches whose ticks don't say when they were received."""


class Publisher:
    """Owns the way from this process to the bus. One per process: it numbers its batches."""

    def __init__(
        self,
        redis: Redis,
        settings: PublisherSettings,
        clock: Clock,
        line: BusLine | None = None,
    ) -> None:
        self.counts = PublisherCounts()
        self.on_fenced: Callable[[str], None] = lambda _: None
        """Hears of each venue whose ticks Redis refused: the lease may be another's by now."""
        self._redis = redis
        self._line = line or BusLine(redis)
        self._settings = settings
        self._clock = clock
        self._name = uuid.uuid4().hex
        self._next_batch = 1
        self._waiting: dict[str, Waiting] = {}
        """Of all channels that ever held a tick."""
        self._holding: dict[str, Waiting] = {}
        """Those of them that hold some now, who waits longest first: a flush takes some hundred.
        With 500 pairs of 5 venues, looking through all channels at each flush cost more CPU than
        all else here: 185 of 275 µs a tick at 400 flushes a second, 22 since (2026-11)."""
        self._held = 0
        self._in_flight: list[Batch] = []
        self._fences: dict[str, Fence] = {}
        """By venue: those that are published under a lease."""
        self._parked: dict[str, list[Batch]] = {}
        """By venue: refused, until it is known whose the lease is."""
        self._places: dict[str, Place] = {}
        """How far each channel was when Redis last answered."""
        self._in_doubt: set[str] = set()
        """Venues whose lease may be another's; `publish_under` says that it isn't."""
        self._channels: set[str] = set()
        self._new_channels: set[str] = set()
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._spoilt: set[str] = set()
        """Channels whose keys were seen to be something else; told once."""

    @property
    def waiting_ticks(self) -> int:
        """Held, or on their way without an answer yet."""
        parked = [batch for batches in self._parked.values() for batch in batches]
        return self._held + sum(batch.ticks for batch in (*self._in_flight, *parked))

    def offer(self, ticks: Iterable[Tick]) -> None:
        """Takes ticks for publishing, in order. Never blocks.

        With the buffer full, the oldest of the same channel makes room; a channel's only tick
        is kept, so that a busy one can't cost a quiet one its newest.
        """
        waiting_by_name, holding = self._waiting, self._holding
        room = self._settings.buffer_ticks_max - self._held
        for tick in ticks:
            name = tick.channel.name
            waiting = waiting_by_name.get(name)
            if waiting is None:
                waiting = waiting_by_name[name] = self._waiting_of(tick.channel)
            if not waiting.payloads:
                holding[name] = waiting
                room -= 1
            elif room > 0:
                room -= 1
            else:
                waiting.drop()
                self.counts.dropped += 1
            waiting.add(tick)
        self._held = self._settings.buffer_ticks_max - room
        if self._held:
            self._empty.clear()
            self._wake.set()

    def _waiting_of(self, channel: Channel) -> Waiting:
        now_s = self._clock.monotonic_s()
        return Waiting(channel, Retention.of(channel, self._settings.history, now_s))

    def register(self, channels: Iterable[Channel]) -> None:
        """Lets gateways know of channels before their first tick; repeated by `run`."""
        self._new_channels.update(channel.name for channel in channels)
        self._wake.set()

    def register_again(self) -> None:
        """All of them, so that a Redis that lost its memory knows the channels."""
        self._new_channels |= self._channels
        self._wake.set()

    def publish_under(self, fence: Fence) -> None:
        """From now on what is of its venue is published only while the lease is ours. Called again
        with the same one: it still is, and what was refused is sent again."""
        self._fences[fence.venue] = fence
        self._in_doubt.discard(fence.venue)
        self._wake.set()

    def yield_to_another(self, venue: str) -> None:
        """It has the lease: what is still held of the venue is its to publish, not ours."""
        del self._fences[venue]
        self._in_doubt.discard(venue)
        for name in [name for name, one in self._waiting.items() if one.feed == venue]:
            ticks = len(self._waiting.pop(name).payloads)
            self._holding.pop(name, None)
            self._held -= ticks
            self.counts.yielded += ticks
        self._wake.set()

    async def drain(self) -> None:
        """Returns when nothing is held or on its way, and all of it can be found. Bound it: Redis
        may be gone."""
        await self._empty.wait()

    async def run(self) -> None:
        """Publishes until cancelled. Redis' failures are retried, for ever, at most 1 s apart."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_directory(), name="publisher-directory")
                group.create_task(self._keep_flushing(), name="publisher-flush")
        finally:
            await self._line.close()

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
                    reason = str(error) or "no answer in time"
                    _log.warning("redis can't take ticks (%s); holding them", reason)
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
            self._in_flight = self._unpark() or self._take_batches()
        has_taken = bool(self._in_flight)
        if has_taken:
            await self._send(self._in_flight)
        if self._new_channels:
            await self._announce([*islice(self._new_channels, _ANNOUNCED_AT_ONCE)])
        # Ticks of a venue whose batches are parked are held, too, and nothing is to be done.
        if self._new_channels or (self._held and has_taken):
            self._wake.set()
        elif not (self._held or self._in_flight or self._parked):
            self._empty.set()

    def _unpark(self) -> list[Batch]:
        """Batches that were refused, though the lease is still ours; others' are given up."""
        found: list[Batch] = []
        for venue, batches in list(self._parked.items()):
            fence = self._fences.get(venue)
            if fence is not None and fence.venue in self._in_doubt:
                continue
            del self._parked[venue]
            for batch in batches:
                if batch.fence == fence:
                    found.append(batch)
                else:
                    self.counts.yielded += batch.ticks
        return found

    def _take_batches(self) -> list[Batch]:
        """A channel stands in at most one of them, so that one's failure can't reorder another."""
        settings, fences = self._settings, self._fences
        tx = b',"tx":%d}' % (self._clock.now_ns() // 1_000)
        now_s = self._clock.monotonic_s()
        batches: list[Batch] = []
        open_batches: dict[str, Batch] = {}
        for name, waiting in list(self._holding.items()):
            venue = waiting.feed
            if venue in self._parked:
                continue
            fence = fences.get(venue)
            if fence is None:
                venue = ""  # What needs no lease goes together.
            batch = open_batches.get(venue)
            if batch is None or batch.ticks >= settings.batch_ticks_max:
                if len(batches) >= settings.pipeline_batches_max:
                    break
                batch = open_batches[venue] = Batch(self._next_batch, fence)
                self._next_batch += 1
                batches.append(batch)
            del self._holding[name]
            self._held -= batch.add(waiting, settings.batch_ticks_max, tx, now_s)
            if waiting.payloads:
                # Back behind the others: a busy channel starves none.
                self._holding[name] = waiting
        return batches

    async def _send(self, batches: list[Batch]) -> None:
        started_s = self._clock.monotonic_s()
        answers = await self._line.exchange(batches, self._name, self._places)
        answered_us = self._clock.now_ns() // 1_000
        unsent: list[Batch] = []
        failure: Exception | None = None
        for batch, answer in zip(batches, answers, strict=True):
            if not isinstance(answer, Exception):
                self._published(batch, answer, answered_us)
            elif batch.fence is not None and str(answer).startswith("FENCED"):
                self._park(batch, batch.fence)
            else:
                unsent.append(batch)
                failure = failure or answer
        self._in_flight = unsent
        self.counts.flush_s = self._clock.monotonic_s() - started_s
        if failure is not None:
            raise explained(failure)

    def _park(self, batch: Batch, fence: Fence) -> None:
        self._parked.setdefault(fence.venue, []).append(batch)
        self._wake.set()
        if self._fences.get(fence.venue) == fence:
            self._in_doubt.add(fence.venue)
            self.on_fenced(fence.venue)

    def _published(self, batch: Batch, answer: list[bytes], answered_us: int) -> None:
        """Counts a batch; what a spoilt channel could not take is lost, and nothing else is."""
        if self.counts.on_published is not None and batch.oldest_us is not None:
            # Never negative: the clock may be set back.
            delay_s = max(0, answered_us - batch.oldest_us) / 1e6
            self.counts.on_published(delay_s, batch.ticks)
        said = iter(answer)
        for (name, ticks, lost), epoch, seq in zip(batch.counts, said, said, strict=True):
            if epoch:
                self.counts.published += ticks
                self._places[name] = epoch, int(seq)
                continue
            self.counts.dropped += ticks
            if name in self._waiting:
                self._waiting[name].lost += lost + ticks
            if name not in self._spoilt:
                self._spoilt.add(name)
                _log.error("a key of channel %s has another type in redis: nothing gets in", name)

    async def _keep_directory(self) -> None:
        while True:
            await asyncio.sleep(_DIRECTORY_REFRESH_S)
            self.register_again()

    async def _announce(self, names: Sequence[str]) -> None:
        """Lets them be found. Subscribers who know them already need no directory."""
        try:
            await self._redis.sadd(DIRECTORY_KEY, *names)
        except ResponseError as error:
            if takes_no_writes(error):
                raise
            _log.error("the directory of channels is spoilt (%s)", error)
        self._channels.update(names)
        self._new_channels.difference_update(names)
