"""EDGE (redis): what Redis keeps of channels, for REST: in slices, a few requests at a time.

Over a connection of its own, and yielding after each slice: whoever asks for much history waits
for it, the stream does not.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from feeds.market import Publication, PublicationError
from feeds.market.bus_names import TRACK_RECORDS_KEY, finals_key, head_key, log_key
from gateway.access.rate_headers import retry_after
from gateway.patience import patience
from gateway.web.problems import Refusal

AT_ONCE: Final = 4
"""Requests that read at the same time."""
SLICE: Final = 200
"""Messages of one reading: 1 ms, in which nobody else is served."""
_WAITING_MAX: Final = 100
_ANSWER_LIMIT_S: Final = 3.0


class Ask(NamedTuple):
    """Of one channel: its newest messages before a seq; None: the newest of all."""

    channel: str
    below: int | None
    most: int
    after: int = 0
    """Only messages of greater seqs."""


class Found(NamedTuple):
    """What there was, newest first. `epoch` is None where the channel has no position yet."""

    epoch: str | None
    seq: int
    oldest: int
    """The first seq that is kept, looked at after the reading; 0: none is."""
    publications: list[Publication]
    """All of one epoch."""
    is_end: bool
    """Whether nothing of the epoch is kept before them."""
    is_trimmed: bool
    """Whether that is because no older message is kept, not because the epoch began there."""


class Readings:
    """One worker's."""

    def __init__(self, redis: Redis) -> None:
        """`redis` is nobody else's: its streams come as they are, for which dicts take 4 times as
        long."""
        for command in ("XRANGE", "XREVRANGE"):
            redis.response_callbacks.pop(command, None)
        self._redis = redis
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """While it lasts, one may read. Raises Refusal: too many wait, or Redis is away."""
        if self._waiting >= _WAITING_MAX:
            raise Refusal("busy", headers=retry_after(1.0))
        self._waiting += 1
        try:
            async with patience(_ANSWER_LIMIT_S), self._turns:
                yield
        except (RedisError, OSError, TimeoutError) as error:
            raise Refusal("history_unavailable", headers=retry_after(1.0)) from error
        finally:
            self._waiting -= 1

    async def read(self, asks: Sequence[Ask]) -> dict[str, Found]:
        """To be called in one's turn; a few slices at most."""
        pipeline = self._redis.pipeline(transaction=False)
        for ask in asks:
            newest = "+" if ask.below is None else f"{max(0, ask.below - 1)}-0"
            pipeline.hmget(head_key(ask.channel), ["epoch", "seq"])
            oldest = f"{ask.after + 1}-0" if ask.after else "-"
            pipeline.xrevrange(log_key(ask.channel), newest, oldest, ask.most)
            # Afterwards: what is trimmed meanwhile may then be announced, but is never overlooked.
            pipeline.xrange(log_key(ask.channel), count=1)
        answers = await pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception) and not isinstance(answer, ResponseError):
                raise answer
        parts = zip(asks, answers[::3], answers[1::3], answers[2::3], strict=True)
        return {ask.channel: _found(ask, *told) for ask, *told in parts}

    async def finals(self, channel: str, later: int, most: int) -> list[Publication]:
        """To be called in one's turn: final candles, newest first, but for the `later` newest."""
        try:
            first, last = -later - most, -later - 1
            messages: Any = await self._redis.lrange(finals_key(channel), first, last)
        except ResponseError:
            return []
        found = []
        for message in reversed(messages):
            try:
                found.append(Publication.decode(message))
            except PublicationError:
                continue
        return found

    async def track_records(self, fields: Sequence[str]) -> dict[str, bytes]:
        """To be called in one's turn; those that there are."""
        if not fields:
            return {}
        rows = await self._redis.hmget(TRACK_RECORDS_KEY, list(fields))
        return {
            field: row for field, row in zip(fields, rows, strict=True) if isinstance(row, bytes)
        }


_NOTHING: Final = Found(None, 0, 0, [], is_end=True, is_trimmed=False)


def _found(ask: Ask, position: Any, entries: Any, first: Any) -> Found:
    """The three answers as one; keys that are no channel's are those of an empty one."""
    if isinstance(position, Exception) or isinstance(entries, Exception):
        return _NOTHING
    epoch, seq = position
    if entries and ask.below is None:
        # One script writes both, and it may have run between the two readings.
        epoch, seq = entries[0][1][1].partition(b" ")[0], entries[0][0].partition(b"-")[0]
    if epoch is None or seq is None or not seq.isdigit():
        return _NOTHING
    ours = _publications(entries, epoch)
    oldest = 0 if isinstance(first, Exception) or not first else _seq_of(first[0][0])
    began_here = bool(entries) and not entries[-1][1][1].startswith(epoch + b" ")
    is_end = began_here or len(entries) < ask.most or _seq_of(entries[-1][0]) <= oldest
    return Found(
        epoch.decode(errors="replace"), int(seq), oldest, ours, is_end, is_end and not began_here
    )


def _publications(entries: Any, epoch: bytes) -> list[Publication]:
    """Those of the epoch. What is none is left out: the hole is announced as any other."""
    found = []
    named = epoch.decode(errors="replace")
    for entry_id, (_, message) in entries:
        parts = message.split(b" ", 3)
        if parts[0] != epoch:
            continue
        if len(parts) == 4 and parts[2] == b"-" and parts[3][:1] == b"{" and parts[3][-1:] == b"}":
            # Nearly all are such: a quarter of the time.
            found.append(Publication(named, _seq_of(entry_id), parts[3]))
            continue
        try:
            found.append(Publication.decode(message))
        except PublicationError:
            continue
    return found


def _seq_of(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])
