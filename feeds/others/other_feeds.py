"""EDGE (redis): venues that other processes on this Redis publish, so that all are derived from.

A venue is heard as long as its status is told; who falls silent is told to be stale. Each message
comes once and in order: what the bus lost is read from the stream, or told to be missing.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from random import Random
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from feeds.cancelling import stop_if_cancelled
from feeds.market import Channel, Clock, Payload, Status, Tick
from feeds.market.bus_names import DIRECTORY_KEY, channel_of, topic
from feeds.others.ear import BusEar
from feeds.others.in_order import KINDS, HoleError, InOrder, Place
from feeds.others.presence import VENUE, Presence
from feeds.recall import read_streams

_log = logging.getLogger(__name__)

_STATUSES: Final = topic(f"status:*:{VENUE}")
_OPEN_LIMIT_S: Final = 2.0
_READ_LIMIT_S: Final = 5.0
_LOOK_S: Final = 1.0
_DIRECTORY_LOOKS: Final = 10
"""In so many looks the directory is read once: a symbol may be new."""
_NAP_S: Final = 0.02
_PAUSES_S: Final = (0.05, 0.5)
_KINDS: Final = frozenset(kind.encode() for kind in KINDS)
_HELD_MAX: Final = 100_000
_STREAMS_AT_ONCE: Final = 100


class OtherFeeds:
    """`hear` gets ticks that are to be derived from and not to be published."""

    def __init__(
        self,
        redis: Redis,
        presence: Presence,
        hear: Callable[[Sequence[Tick]], None],
        clock: Clock,
    ) -> None:
        self.on_channels: Callable[[Collection[Channel]], None] = lambda _: None
        """Hears which channels are listened to from now on."""
        self.presence = presence
        self.order = InOrder()
        self._redis = redis
        self._hear = hear
        self._clock = clock
        self._random = Random()  # noqa: S311 - jitter
        self._ear: BusEar | None = None
        """While it is open."""
        self._names: dict[str, set[str]] = {}
        """What is listened to, by venue."""
        self._held: deque[tuple[Channel, bytes]] | None = deque()
        """What waits until all before it is known; None: nothing has to wait."""
        self._is_beginning = True
        """Until `go_on`."""
        self._beginnings = 0
        self._began_s = 0.0
        self._ticks: list[Tick] = []
        """Of this turn of the event loop."""
        self._is_open = asyncio.Event()
        self._is_away = False
        """Told once, until it is open again."""
        self._to_look = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled: listens, and listens again after each loss."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_listening(), name="other-feeds")
            group.create_task(self._keep_looking(), name="other-feeds-watch")

    @property
    def is_nearly_full(self) -> bool:
        """Of what waits until `go_on`."""
        return self._held is not None and 4 * len(self._held) >= 3 * _HELD_MAX

    async def begin(self, limit_s: float) -> Collection[str]:
        """From now on what is told waits until `go_on`. The venues that are heard; who was there a
        moment ago is given the time to say so."""
        self._held = deque()
        self._is_beginning = True
        self._beginnings += 1
        self._ticks = []
        self.order.begin({})
        self._began_s = self._clock.monotonic_s()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._is_open.wait()
                while not all(map(self._has_spoken, self.presence.alive)):  # noqa: ASYNC110
                    await asyncio.sleep(_NAP_S)  # A lease that becomes ours gives no event.
        return [venue for venue in self.presence.alive if not self.presence.is_own(venue)]

    def go_on(self, places: Mapping[str, Place]) -> None:
        """What was read of channels is known up to there: the rest is heard now."""
        self.order.begin({name: at for name, at in places.items() if self.presence.channel(name)})
        self._is_beginning = False
        self._release()

    def _release(self) -> None:
        held, self._held = self._held or (), None
        try:
            for channel, message in held:
                self._take(channel, message)
        except RedisConnectionError as error:
            if self._ear is not None:
                self._ear.end(error)

    def tell_whole(self, histories: dict[str, list[Payload]], now_us: int) -> set[str]:
        """Adds that venues were heard to this moment, where all that their trade channels keep was
        read: what came since waits here. Returns which. (One that is gone will be told stale since
        its last word.)"""
        whole: set[str] = set()
        for venue in self.presence.alive if self._is_open.is_set() else ():
            if self.presence.is_own(venue) or not self._has_spoken(venue):
                continue
            names = self._names.get(venue, ())
            statuses = histories.get(f"status:{venue}:{VENUE}")
            is_read = all(name in histories for name in names if name.startswith("trade:"))
            if names and statuses and is_read and statuses[-1].received_us:
                statuses.append(msgspec.structs.replace(statuses[-1], received_us=now_us))
                whole.add(venue)
        return whole

    def _has_spoken(self, venue: str) -> bool:
        return self.presence.has_spoken(venue, self._began_s)

    async def _keep_listening(self) -> None:
        while True:
            stop_if_cancelled()
            try:
                await self._listen()
            except (RedisError, OSError, TimeoutError) as error:
                if not self._is_away:
                    self._is_away = True
                    reason = str(error) or "no answer in time"
                    _log.warning("other feeds can't be heard (%s); trying again", reason)
            await asyncio.sleep(self._random.uniform(*_PAUSES_S))

    async def _listen(self) -> None:
        self._ear = ear = BusEar(self._redis, self._on_message)
        try:
            async with asyncio.timeout(_OPEN_LIMIT_S):
                await ear.open(_STATUSES)
                await ear.subscribe([topic(one) for names in self._names.values() for one in names])
                await self._look(ear)
                self._held = deque()
                await ear.confirmed()
            if not self._is_beginning:
                # What came while nobody listened is in the streams.
                async with asyncio.timeout(_READ_LIMIT_S):
                    await self._catch_up()
            if not self._is_beginning:
                self._release()
            self._is_open.set()
            self._is_away = False
            await ear.listen()
        finally:
            self._ear = None
            self._is_open.clear()
            await ear.close()

    async def _catch_up(self) -> None:
        names, beginnings = sorted(self.order.places), self._beginnings
        for start in range(0, len(names), _STREAMS_AT_ONCE):
            some = names[start : start + _STREAMS_AT_ONCE]
            newest = await read_streams(self._redis, [(name, 1) for name in some])
            behind: list[tuple[str, int]] = []
            for name, messages in zip(some, newest, strict=True):
                channel = self.presence.channel(name)
                if channel is not None and not self.presence.is_own(channel.venue):
                    count = self.order.behind(channel, messages)
                    behind += [(name, count)] if count else []
            streams = await read_streams(self._redis, behind)
            if self._beginnings != beginnings:
                return
            for (name, _), kept in zip(behind, streams, strict=True):
                channel = self.presence.channel(name)
                assert channel is not None
                self._pass_on(self.order.after(channel, kept))

    def _on_message(self, topic_: bytes, message: bytes) -> None:
        """Raises RedisConnectionError where a message before this one did not come."""
        name = channel_of(topic_.decode(errors="replace"))
        channel = self.presence.channel(name)
        if channel is None:
            # Only of statuses we hear others than those that we asked for.
            venue = self.presence.is_passed_over(name)
            if venue is not None:
                _log.warning("not derived from, as only simulated markets are here: %s", venue)
            return
        if self.presence.is_own(channel.venue):
            return
        if channel.kind == "status":
            self.presence.hear(channel, self._clock.monotonic_s())
            if channel.venue not in self._names:
                self._to_look.set()
        if self._held is None:
            self._take(channel, message)
        elif len(self._held) < _HELD_MAX:
            self._held.append((channel, message))
        else:
            raise RedisConnectionError("too much waits to be heard")

    def _take(self, channel: Channel, message: bytes) -> None:
        try:
            tick = self.order.next(channel, message)
        except HoleError:
            raise RedisConnectionError(f"messages of {channel.name} are missing") from None
        if tick is None:
            return
        if isinstance(tick.payload, Status):
            self._hear_status(channel.venue, tick.payload)
        self._pass_on([tick])

    def _pass_on(self, ticks: Iterable[Tick]) -> None:
        if not self._ticks:
            # All that one read of the socket brings is told at once.
            asyncio.get_running_loop().call_soon(self._flush)
        self._ticks += ticks

    def _flush(self) -> None:
        ticks, self._ticks = self._ticks, []
        if ticks:
            self._hear(ticks)

    def _hear_status(self, venue: str, status: Status) -> None:
        if status.state == "closed":
            self.presence.leave(venue)
        off_us = self.presence.clock_off_us(venue, status, self._clock.now_ns() // 1_000)
        if off_us is not None:
            line = "the clock where %s is published is %.1f s %s ours: its quotes seem that much %s"
            words = ("ahead of", "younger") if off_us > 0 else ("behind", "older")
            _log.warning(line, venue, abs(off_us) / 1e6, *words)

    async def _keep_looking(self) -> None:
        looks = 0
        while True:
            stop_if_cancelled()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._is_open.wait()
                    await self._to_look.wait()
            self._miss_the_silent()
            looks += 1
            ear = self._ear
            is_due = self._to_look.is_set() or (self.presence.alive and looks >= _DIRECTORY_LOOKS)
            if ear is None or not self._is_open.is_set():
                continue
            self._to_look.clear()
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(_READ_LIMIT_S):
                    if is_due:
                        looks = 0
                        await self._look(ear)
                    await self._leave_our_own(ear)

    def _miss_the_silent(self) -> None:
        now_s, now_us = self._clock.monotonic_s(), self._clock.now_ns() // 1_000
        for venue, heard_s in self.presence.silent(now_s):
            _log.warning("%s is not heard any more: its feeds process tells nothing", venue)
            since_us = now_us - round((now_s - heard_s) * 1e6)
            gone = Status("stale", since_us, "feed", "its feeds process is not heard", now_us)
            self._pass_on([Tick(Channel("status", venue, VENUE), gone)])

    async def _look(self, ear: BusEar) -> None:
        """Subscribes to the channels of venues that are alive, as the directory knows them."""
        named = map(self._named, await self._redis.smembers(DIRECTORY_KEY))
        channels = [channel for channel in named if channel is not None]
        await self._find_alive([one for one in channels if one.kind == "status"])
        alive, is_own = self.presence.alive, self.presence.is_own
        new = [
            one
            for one in channels
            if one.kind != "status"
            and one.venue in alive
            and not is_own(one.venue)
            and one.name not in self._names.get(one.venue, ())
        ]
        if new:
            await ear.subscribe([topic(one.name) for one in new])
            for one in new:
                self._names.setdefault(one.venue, set()).add(one.name)
            self.on_channels(new)

    async def _find_alive(self, statuses: Sequence[Channel]) -> None:
        presence = self.presence
        unknown = [
            one
            for one in statuses
            if one.venue not in presence.alive and not presence.is_own(one.venue)
        ]
        kept = await read_streams(self._redis, [(one.name, 1) for one in unknown])
        now_s, now_us = self._clock.monotonic_s(), self._clock.now_ns() // 1_000
        for channel, messages in zip(unknown, kept, strict=True):
            for tick in InOrder().after(channel, messages):
                assert isinstance(tick.payload, Status)
                presence.find(channel, tick.payload, now_s, now_us)

    async def _leave_our_own(self, ear: BusEar) -> None:
        """A venue that is published here comes by a shorter way."""
        for venue in [venue for venue in self._names if self.presence.is_own(venue)]:
            await ear.unsubscribe([topic(name) for name in self._names.pop(venue)])

    def _named(self, name: Any) -> Channel | None:
        is_of_use = name.partition(b":")[0] in _KINDS
        return self.presence.channel(name.decode(errors="replace")) if is_of_use else None
