"""EDGE (redis): the bus, as a worker hears it. Subscriptions to topics, and what channels keep.

Knows whether it is fed, by a heartbeat: a half-open connection is only silent. After each loss
everything is read again.
"""

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.connection import ConnectKwargs, SSLConnection, parse_url
from redis.exceptions import RedisError

from feeds.market import Clock
from gateway.bus.counts import CLOCK, BusCounts
from gateway.bus.heartbeat import Heartbeat
from gateway.bus.listener import Batch, Listener
from gateway.bus.readings import begin_epochs, read_heads
from gateway.cancelling import stop_if_cancelled
from gateway.fanout.topic import Head
from gateway.patience import patience

_log = logging.getLogger(__name__)

_BEAT_INTERVAL_S: Final = 1.0
_BACKOFF_FIRST_S: Final = 0.05
_ATTEMPT_LIMIT_S: Final = 1.0
_BACKOFF_MAX_S: Final = 0.5
"""Both short: live flow is to be back within 2 s of Redis' return, also where what was sent to it
before has been swallowed."""


class Bus:
    """Stays connected; knows what it is subscribed to; reads what channels keep.

    `on_return` runs after every (re)connection, when all subscriptions are confirmed again.
    """

    def __init__(
        self,
        redis: Redis,
        redis_url: str,
        *,
        silence_limit_s: float,
        on_batch: Callable[[Batch], None],
        on_return: Callable[[], Awaitable[None]],
        on_loss: Callable[[], None],
        clock: Clock = CLOCK,
    ) -> None:
        self.counts = BusCounts(clock)
        self._heartbeat = Heartbeat(redis, self.counts, clock)
        self._redis = redis
        self._url = redis_url
        self._silence_limit_s = silence_limit_s
        self._on_batch = on_batch
        self._on_return = on_return
        self._on_loss = on_loss
        self._names: set[str] = set()
        self._listener: Listener | None = None
        self._connection = 0
        self._is_away = False
        self._pause_s = _BACKOFF_FIRST_S

    @property
    def connection(self) -> int:
        """How many were lost: what was read beside an earlier one may have a hole before now."""
        return self._connection

    @property
    def unread_bytes(self) -> int:
        """What Redis has sent and we have not read yet."""
        return 0 if self._listener is None else self._listener.unread_bytes()

    async def run(self) -> None:
        """Until cancelled: connects, listens, and connects again, for ever, at most 0.5 s apart."""
        while True:
            stop_if_cancelled()
            try:
                async with patience(min(_ATTEMPT_LIMIT_S, self._silence_limit_s)):
                    listener = await self._connect()
                await self._listen(listener)
            except (OSError, RedisError, TimeoutError) as error:
                if not self._is_away:
                    self._is_away = True
                    reason = str(error) or type(error).__name__
                    _log.warning("redis is away (%s); trying again", reason)
            finally:
                if self._listener is not None:
                    self._listener.abort()
                    self._listener = None
                    self._connection += 1
                    self._on_loss()
            await asyncio.sleep(self._pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            self._pause_s = min(self._pause_s * 2, _BACKOFF_MAX_S)

    async def subscribe(self, names: Sequence[str]) -> None:
        """Returns when Redis has confirmed. Raises ConnectionError; bound the wait outside.

        The names stay wanted: after a reconnection they are subscribed to again.
        """
        self._names.update(names)
        if self._listener is None:
            raise ConnectionError("the bus is away")
        await self._listener.subscribe(names)

    def unsubscribe(self, names: Sequence[str]) -> None:
        self._names.difference_update(names)
        if self._listener is not None:
            self._listener.unsubscribe(names)

    def pause_reading(self) -> None:
        """What comes waits in the kernel, until `resume_reading` or the next connection."""
        if self._listener is not None:
            self._listener.pause_reading()

    def resume_reading(self) -> None:
        if self._listener is not None:
            self._listener.resume_reading()

    def reconnect(self) -> None:
        """Ends the connection, if there is one: after the next, everything is read again."""
        if self._listener is not None:
            self._listener.abort()

    async def heads(self, after: Sequence[tuple[str, int | None]]) -> dict[str, Head | None]:
        """What Redis keeps of channels: after a seq, or (None) the newest message only.

        Raises RedisError, OSError; bound the wait outside.
        """
        return await read_heads(self._redis, after)

    async def begin_epochs(self, heard: Mapping[str, tuple[str, int]]) -> None:
        """Of channels that Redis has older positions of than were `heard`. Raises as `heads`."""
        await begin_epochs(self._redis, heard)

    async def _connect(self) -> Listener:
        options = parse_url(self._url)
        loop = asyncio.get_running_loop()

        def make() -> Listener:
            return Listener(self._on_batch, self.counts, self._heartbeat)

        if path := options.get("path"):
            _, listener = await loop.create_unix_connection(make, path)
        else:
            host, port = options.get("host", "localhost"), options.get("port", 6379)
            secure = _ssl_context(options) if self._url.startswith("rediss://") else None
            _, listener = await loop.create_connection(make, host, port, ssl=secure)
        try:
            if password := options.get("password"):
                listener.send("AUTH", options.get("username") or "default", password)
            await listener.subscribe([self._heartbeat.name, *sorted(self._names)])
        except BaseException:
            # Nobody else knows of it yet: left open, it would deliver beside the next one.
            listener.abort()
            raise
        return listener

    async def _listen(self, listener: Listener) -> None:
        self._listener = listener
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch(listener))
            failure = await self._caught_up(listener)
            closed = await listener.closed
            watching.cancel()
        raise failure or ConnectionError(closed or "Redis closed the connection")

    async def _caught_up(self, listener: Listener) -> Exception | None:
        """Only a Redis that takes writes, feeds us and answers readings is back: one that loads
        takes subscriptions, and so does one that was demoted."""
        try:
            await listener.beating.wait()
            if not listener.beats:
                return None
            await self._on_return()
        except (RedisError, OSError, TimeoutError) as error:
            listener.abort()
            return error
        if self._is_away:
            self._is_away = False
            _log.warning("redis is back")
        self._pause_s = _BACKOFF_FIRST_S
        return None

    async def _watch(self, listener: Listener) -> None:
        """Ends the connection when no heartbeat has come back for long."""
        loop = asyncio.get_running_loop()
        interval_s = min(_BEAT_INTERVAL_S, self._silence_limit_s / 3)
        silent_s, beats = 0.0, listener.beats
        while silent_s < self._silence_limit_s - interval_s:
            due_s = loop.time() + interval_s
            await self._heartbeat.send(interval_s)
            await asyncio.sleep(due_s - loop.time())
            # Counted by intervals: while this process was stopped, nobody was silent.
            silent_s = 0.0 if listener.beats != beats else silent_s + interval_s
            beats = listener.beats
        reason = self._heartbeat.failure or "its heartbeat has stopped"
        listener.fail(ConnectionError(str(reason) or type(reason).__name__))


def _ssl_context(options: ConnectKwargs) -> ssl.SSLContext:
    """As redis-py makes it of a URL's `ssl_…` parameters."""
    named = {name: value for name, value in options.items() if name != "connection_class"}
    # The URL's own words, which redis-py types more narrowly than it reads them.
    return SSLConnection(**named).ssl_context.get()  # type: ignore[arg-type]
