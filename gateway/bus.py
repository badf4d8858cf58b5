"""EDGE (redis): the bus, as a worker hears it. Subscriptions to topics, and what channels keep.

Listens with hiredis straight on an asyncio protocol: what one read of the socket brought is handed
on in one call. Knows whether it is connected, because it pings: a half-open connection is silent.
"""

import asyncio
import fcntl
import logging
import random
import ssl
import struct
import termios
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import ConnectKwargs, SSLConnection, parse_url
from redis.exceptions import RedisError, ResponseError

from feeds.market import Clock, Publication, PublicationError
from feeds.market.bus_names import channel_of, head_key, log_key, topic
from gateway.bus_counts import CLOCK, BusCounts
from gateway.cancelling import stop_if_cancelled
from gateway.topic import Head

_log = logging.getLogger(__name__)

_PING_INTERVAL_S: Final = 1.0
_BACKOFF_FIRST_S: Final = 0.05
_BACKOFF_MAX_S: Final = 1.0
"""Short: live flow is to be back within 2 s of Redis' return."""
_HISTORY_MAX: Final = 1_000
_COMMAND_NAMES_MAX: Final = 500

Batch = Sequence[tuple[str, bytes]]
"""Channel names and their messages, in the order of arrival."""


class Listener(asyncio.Protocol):
    """One connection to Redis in subscriber mode."""

    def __init__(self, on_batch: Callable[[Batch], None], counts: BusCounts | None = None) -> None:
        self._on_batch = on_batch
        self._counts = counts or BusCounts()
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._confirmations: dict[str, asyncio.Future[bool]] = {}
        """True when confirmed, False when the connection ended before."""
        self.closed: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.heard = 0
        """Reads so far: what a watchdog compares."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(exc)
        for confirmation in self._confirmations.values():
            if not confirmation.done():
                confirmation.set_result(False)
        self._confirmations.clear()

    def data_received(self, data: bytes) -> None:
        self.heard += 1
        self._counts.reads += 1
        self._counts.bytes_in += len(data)
        self._reader.feed(data)
        batch: list[tuple[str, bytes]] = []
        while (reply := self._reader.gets()) is not False:
            match reply:
                case [b"message", bytes() as name, bytes() as message]:
                    batch.append((channel_of(name.decode()), message))
                case [b"subscribe", bytes() as name, int()]:
                    self._confirm(channel_of(name.decode()))
                case Exception() as error:
                    self._refused(error)
                case _:
                    pass  # pongs, the OK of AUTH, confirmations of unsubscribing
        if batch:
            self._counts.heard(*batch[0])
            self._on_batch(batch)

    def send(self, *words: str) -> None:
        assert self._transport is not None
        if self.closed.done():
            # uvloop raises for a transport that is gone; who sends finds out by `closed`.
            return
        encoded = [word.encode() for word in words]
        parts = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)
        self._transport.write(b"*%d\r\n%b" % (len(encoded), parts))

    async def subscribe(self, names: Sequence[str]) -> None:
        """Returns when Redis has confirmed each. Raises ConnectionError when the connection ends.

        Bound the wait outside.
        """
        if self.closed.done():
            raise ConnectionError("the bus is away")
        loop = asyncio.get_running_loop()
        waits = [self._confirmations.setdefault(name, loop.create_future()) for name in names]
        for start in range(0, len(names), _COMMAND_NAMES_MAX):
            self.send("SUBSCRIBE", *map(topic, names[start : start + _COMMAND_NAMES_MAX]))
        if waits:
            # Not gather: who gives up waiting must not cancel what the next try waits for.
            await asyncio.wait(waits)
        if not all(wait.result() for wait in waits):
            raise ConnectionError("the bus is away")

    def unsubscribe(self, names: Sequence[str]) -> None:
        if names and not self.closed.done():
            self.send("UNSUBSCRIBE", *map(topic, names))

    def unread_bytes(self) -> int:
        """What the kernel holds for us: what came since the last read."""
        plain = self._transport.get_extra_info("socket") if self._transport is not None else None
        if plain is None or self.closed.done():
            return 0
        held = fcntl.ioctl(plain.fileno(), termios.FIONREAD, bytes(4))
        return int(struct.unpack("i", held)[0])

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _confirm(self, name: str) -> None:
        confirmation = self._confirmations.pop(name, None)
        if confirmation is not None and not confirmation.done():
            confirmation.set_result(True)

    def _refused(self, error: Exception) -> None:
        if not self.closed.done():
            self.closed.set_result(error)
        self.abort()


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
        """Until cancelled: connects, listens, and connects again, for ever, at most 1 s apart."""
        while True:
            stop_if_cancelled()
            try:
                async with asyncio.timeout(self._silence_limit_s):
                    listener = await self._connect()
                await self._listen(listener)
            except (OSError, RedisError, TimeoutError) as error:
                if not self._is_away:
                    self._is_away = True
                    _log.warning("redis is away (%s); trying again", error or type(error).__name__)
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
        pipeline = self._redis.pipeline(transaction=False)
        for name, seq in after:
            pipeline.hmget(head_key(name), ["epoch", "seq"])
            if seq is None:
                pipeline.xrevrange(log_key(name), count=1)
            else:
                # The newest of them, if there are too many: what was missed must end at the head.
                pipeline.xrevrange(log_key(name), min=f"{seq + 1}-0", count=_HISTORY_MAX)
        answers = await pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception) and not _is_spoilt(answer):
                raise answer
        pairs = zip(after, answers[::2], answers[1::2], strict=True)
        return {name: _head(name, position, entries) for (name, _), position, entries in pairs}

    async def _connect(self) -> Listener:
        options = parse_url(self._url)
        loop = asyncio.get_running_loop()

        def make() -> Listener:
            return Listener(self._on_batch, self.counts)

        if path := options.get("path"):
            _, listener = await loop.create_unix_connection(make, path)
        else:
            host, port = options.get("host", "localhost"), options.get("port", 6379)
            secure = _ssl_context(options) if self._url.startswith("rediss://") else None
            _, listener = await loop.create_connection(make, host, port, ssl=secure)
        try:
            if password := options.get("password"):
                listener.send("AUTH", options.get("username") or "default", password)
            await listener.subscribe(sorted(self._names))
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
        """Only a Redis that also answers readings is back: one that loads takes subscriptions."""
        try:
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
        """Ends the connection when nothing, not even the answer to a ping, has come for long."""
        interval_s = min(_PING_INTERVAL_S, self._silence_limit_s / 3)
        silent_s, heard = 0.0, listener.heard
        while silent_s < self._silence_limit_s - interval_s:
            listener.send("PING")
            await asyncio.sleep(interval_s)
            silent_s = 0.0 if listener.heard != heard else silent_s + interval_s
            heard = listener.heard
        listener.abort()


def _ssl_context(options: ConnectKwargs) -> ssl.SSLContext:
    """As redis-py makes it of a URL's `ssl_…` parameters."""
    named = {name: value for name, value in options.items() if name != "connection_class"}
    # The URL's own words, which redis-py types more narrowly than it reads them.
    return SSLConnection(**named).ssl_context.get()  # type: ignore[arg-type]


def _is_spoilt(answer: object) -> bool:
    """Whether something else than a channel's head or log stands under its key."""
    return isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE")


def _head(
    name: str,
    position: list[bytes | None] | Exception,
    entries: list[tuple[bytes, dict[bytes, bytes]]] | Exception,
) -> Head | None:
    if isinstance(position, Exception) or isinstance(entries, Exception):
        _log.warning("what stands in redis is no channel's channel=%s", name)
        return None
    epoch, seq = position
    if epoch is None or seq is None or not seq.isdigit():
        return None
    log = []
    for _, fields in entries:
        try:
            log.append(Publication.decode(fields[b"m"]))
        except (KeyError, PublicationError):
            _log.warning("an entry of a stream is no publication; skipped channel=%s", name)
    log.sort(key=lambda publication: publication.seq)
    return Head(epoch.decode(errors="replace"), int(seq), log)
