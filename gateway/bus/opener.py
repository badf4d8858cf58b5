"""EDGE: has the hub listen to channels, and read what Redis keeps of them.

One reading at a time, of many channels at once: a crowd that comes back costs Redis one reading.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from redis.exceptions import RedisError

from feeds.market import Channel, Clock, moment
from gateway.bus.bus import Bus
from gateway.cancelling import stop_if_cancelled
from gateway.fanout.hub import Hub
from gateway.fanout.topic import Head
from gateway.patience import patience

_log = logging.getLogger(__name__)

OPEN_AT_ONCE_MAX: Final = 500
_REST_S: Final = 0.1
"""Between two readings of a channel because of what clients say, however many do."""


class Opener:
    """Which channels are open, and which are just being opened."""

    def __init__(
        self,
        bus: Bus,
        hub: Hub,
        clock: Clock,
        *,
        answer_limit_s: float,
        on_resumed: Callable[[Sequence[str]], None],
    ) -> None:
        self._bus = bus
        self._hub = hub
        self._clock = clock
        self._answer_limit_s = answer_limit_s
        self._on_resumed = on_resumed
        self._opening: dict[str, asyncio.Future[bool]] = {}
        self._to_open: list[str] = []
        self._to_mend: set[str] = set()
        self._mended: dict[str, asyncio.Future[None]] = {}
        """Done when a channel was read again, or could not be: shared by all who wait for it."""
        self._wake = asyncio.Event()

    async def open(self, channels: Iterable[Channel]) -> None:
        """Waits, bounded, until the hub hears them; `is_open` tells which it does."""
        waits = {self.begin(channel) for channel in channels if self._is_closed(channel)}
        if waits:
            with contextlib.suppress(TimeoutError):
                async with patience(self._answer_limit_s):
                    await asyncio.wait(waits)

    def is_open(self, channel: Channel) -> bool:
        """Whether the hub hears the channel, and knows where it is."""
        return channel.name in self._hub.topics and channel.name not in self._opening

    def is_opening(self, name: str) -> bool:
        return name in self._opening

    def begin(self, channel: Channel) -> asyncio.Future[bool]:
        """Whether the channel could be opened: shared by all who ask meanwhile."""
        wait = self._opening.get(channel.name)
        if wait is None:
            wait = self._opening[channel.name] = asyncio.get_running_loop().create_future()
            self._hub.open(channel, self._clock.monotonic_s())
            self._to_open.append(channel.name)
            self._wake.set()
        return wait

    def mend(self, names: Iterable[str]) -> None:
        """Reads what is missing in open channels, which hold what came after it."""
        self._to_mend.update(names)
        if self._to_mend:
            self._wake.set()

    async def catch_up(self, names: Collection[str]) -> None:
        """Waits, bounded, until open channels were read again: somebody may have heard more of
        them, by another worker, than this one."""
        loop, topics = asyncio.get_running_loop(), self._hub.topics
        read_s = max((topics[name].read_s for name in names if name in topics), default=0.0)
        await asyncio.sleep(read_s + _REST_S - self._clock.monotonic_s())
        waits = [self._mended.setdefault(name, loop.create_future()) for name in names]
        self.mend(names)
        with contextlib.suppress(TimeoutError):
            async with patience(self._answer_limit_s):
                await asyncio.wait(waits)

    async def resume_all(self) -> None:
        """After the bus came back: what came between is read for every open channel.

        Raises RedisError, OSError, TimeoutError.
        """
        names = list(self._hub.topics)
        for start in range(0, len(names), OPEN_AT_ONCE_MAX):
            async with patience(self._answer_limit_s):
                await self._resume(names[start : start + OPEN_AT_ONCE_MAX], self._bus.connection)

    async def run(self) -> None:
        """Opens what is to be opened, until cancelled."""
        while True:
            stop_if_cancelled()
            await self._wake.wait()
            self._wake.clear()
            await self._mend()
            names = self._to_open[:OPEN_AT_ONCE_MAX]
            del self._to_open[:OPEN_AT_ONCE_MAX]
            if self._to_open:
                self._wake.set()
            if not names:
                continue
            opened = await self._try(names)
            for name in names:
                self._opening.pop(name).set_result(opened)

    async def _try(self, names: Sequence[str]) -> bool:
        try:
            async with patience(self._answer_limit_s):
                await self._bus.subscribe(names)
                connection = self._bus.connection
                await self._resume(names, connection)
        except (RedisError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            _log.warning("channels can't be opened (%s) count=%d", reason, len(names))
            self._bus.unsubscribe(names)
            for name in names:
                self._hub.close(name)
            return False
        return True

    async def _mend(self) -> None:
        """Where that fails, the bus is away or about to be: its return reads all channels again."""
        wanted, self._to_mend = self._to_mend, set()
        waits = [self._mended.pop(name) for name in sorted(self._mended.keys() & wanted)]
        names = sorted(wanted & self._hub.topics.keys())
        if names:
            await self._read_again(names)
        for wait in waits:
            wait.set_result(None)

    async def _read_again(self, names: Sequence[str]) -> None:
        for name in names:
            self._hub.hold(name)
        connection = self._bus.connection
        try:
            async with patience(self._answer_limit_s):
                await self._resume(names, connection)
        except (RedisError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            _log.warning("a hole can't be mended yet (%s) channels=%d", reason, len(names))
            if self._bus.connection == connection:
                self._bus.reconnect()

    def _is_closed(self, channel: Channel) -> bool:
        if not self.is_open(channel):
            return True
        topic = self._hub.topics[channel.name]
        if topic.empty_since_s is not None:
            # Somebody is about to come: not the moment to close it.
            topic.empty_since_s = self._clock.monotonic_s()
        return False

    async def _resume(self, names: Sequence[str], connection: int) -> None:
        """Reads and hands on what belongs before the live messages of one connection."""
        topics = self._hub.topics
        after = [(name, topics[name].begin_reading()) for name in names if name in topics]
        heads = await self._bus.heads(after)
        went_back = {
            name: (head.epoch, topics[name].seq)
            for name, head in heads.items()
            if head and self._went_back(name, head)
        }
        if went_back:
            await self._bus.begin_epochs(went_back)
        anew = [
            name
            for name, head in heads.items()
            if name in went_back or (head and self._begins_anew(name, head))
        ]
        if anew:
            heads |= await self._bus.heads([(name, None) for name in anew])
        if self._bus.connection != connection:
            raise ConnectionError("the bus was interrupted meanwhile")
        at = moment(self._clock)
        for name, head in heads.items():
            self._hub.resume(name, head, at)
        self.mend(self._hub.take_torn())
        self._on_resumed([name for name in heads if name in topics])

    def _went_back(self, name: str, head: Head) -> bool:
        """Whether Redis remembers less than was heard: a message is published with its head."""
        topic = self._hub.topics.get(name)
        return topic is not None and topic.epoch == head.epoch and head.seq < topic.seq

    def _begins_anew(self, name: str, head: Head) -> bool:
        topic = self._hub.topics.get(name)
        return topic is not None and topic.begins_anew(head)
