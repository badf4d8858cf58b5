"""EDGE (redis): the keys, in one hash by id; and a worker's bounded memory of those it knows."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from feeds.market import Clock
from gateway.access.keys import Holder, KeyRecord, id_in
from gateway.patience import patience

_log = logging.getLogger(__name__)

KEYS_KEY: Final = "tickgate:keys"

_REMEMBERED_MAX = 10_000
_READ_AT_ONCE: Final = 500
_ANSWER_LIMIT_S = 1.0
_TRIES_MAX = 20
"""Of a change that others' changes of the same key come between."""

_SWAP: Final = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
"""So that a rotation never undoes the revocation that came just before it."""

_decode = msgspec.json.Decoder(KeyRecord).decode
_encode = msgspec.json.Encoder().encode

T = TypeVar("T")


class KeysUnavailable(Exception):  # noqa: N818 - the world's state, named as such
    """Redis doesn't answer, and the key isn't one that was known a moment ago."""


class KeyBusyError(Exception):
    """Others changed the key all the time. Nothing was changed."""


def _record_in(row: bytes | str) -> KeyRecord | None:
    """None for what somebody else put there: it is no key, and must not hide the others."""
    try:
        return _decode(row)
    except msgspec.DecodeError:
        _log.warning("a row of %s is no key's record; it counts as none", KEYS_KEY)
        return None


class KeyStore:
    """The keys themselves. Raises RedisError where Redis fails."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock

    @property
    def now_us(self) -> int:
        """UTC, as the records have it."""
        return self._clock.now_ns() // 1_000

    async def create(
        self,
        label: str,
        plan: str,
        *,
        expires_in_s: int | None = None,
        channels: tuple[str, ...] | None = None,
    ) -> tuple[KeyRecord, str]:
        """A new key: its record, and the text to hand out, which can't be had again."""
        now_us = self.now_us
        expires_us = None if expires_in_s is None else now_us + expires_in_s * 1_000_000
        while True:
            record, key = KeyRecord.made(
                label, plan, now_us, expires_us=expires_us, channels=channels
            )
            if await self._redis.hsetnx(KEYS_KEY, record.id, _encode(record)):
                return record, key

    async def list(self) -> list[KeyRecord]:
        """All keys, revoked ones included, oldest first."""
        rows = await self._redis.hvals(KEYS_KEY)
        records = [record for row in rows if (record := _record_in(row)) is not None]
        return sorted(records, key=lambda record: record.created_us)

    async def get(self, key_id: str) -> KeyRecord | None:
        row = await self._redis.hget(KEYS_KEY, key_id)
        return None if row is None else _record_in(row)

    async def get_some(self, key_ids: Sequence[str]) -> Sequence[KeyRecord | None]:
        """The same of each, with one question."""
        rows = await self._redis.hmget(KEYS_KEY, key_ids)
        return [None if row is None else _record_in(row) for row in rows]

    async def revoke(self, key_id: str) -> KeyRecord | None:
        """The record as revoked; None where there is no such key. Twice is once.

        Raises KeyBusyError.
        """

        def revoked(record: KeyRecord) -> tuple[KeyRecord, KeyRecord]:
            if record.revoked_us is None:
                record = msgspec.structs.replace(record, revoked_us=self.now_us)
            return record, record

        return await self._change(key_id, revoked)

    async def rotate(self, key_id: str, overlap_s: int) -> tuple[KeyRecord, str] | None:
        """A new secret under the same id; the one before stays good for `overlap_s`.

        None where there is no such key, or it is revoked or expired. Raises KeyBusyError.
        """

        def rotated(record: KeyRecord) -> tuple[KeyRecord, tuple[KeyRecord, str] | None]:
            now_us = self.now_us
            if record.state(now_us) != "valid":
                return record, None
            changed, key = record.rotated(now_us, overlap_s * 1_000_000)
            return changed, (changed, key)

        return await self._change(key_id, rotated)

    async def forget(self, key_id: str) -> None:
        """Removes a key altogether: for those that the product makes for itself."""
        await self._redis.hdel(KEYS_KEY, key_id)

    async def _change(
        self, key_id: str, changed: Callable[[KeyRecord], tuple[KeyRecord, T]]
    ) -> T | None:
        """Replaces a record by what `changed` makes of it, unless it is no longer that one."""
        for _ in range(_TRIES_MAX):
            row = await self._redis.hget(KEYS_KEY, key_id)
            record = None if row is None else _record_in(row)
            if row is None or record is None:
                return None
            new, result = changed(record)
            if new == record or await self._redis.eval(
                _SWAP, 1, KEYS_KEY, key_id, row, _encode(new)
            ):
                return result
        raise KeyBusyError(f"the key {key_id} is being changed by others; nothing was done")


class KnownKeys:
    """A worker's view: believes what it read for a while, and longer while Redis is away."""

    def __init__(self, store: KeyStore, clock: Clock, *, cache_s: float, grace_s: float) -> None:
        self.store = store
        self._clock = clock
        self._cache_s = cache_s
        self._grace_s = grace_s
        self._known: OrderedDict[str, tuple[KeyRecord, float]] = OrderedDict()
        self.failures = 0
        """Readings of a key that Redis did not answer."""

    async def admitted(self, key: str) -> KeyRecord | None:
        """The record of a valid key; None for every other text. Raises KeysUnavailable."""
        key_id = id_in(key)
        if key_id is None:
            return None
        for cache_s in (self._cache_s, 0.0):
            # One that isn't admitted is asked for again: it may have been rotated a moment ago.
            record = await self._current(key_id, cache_s)
            if record is not None and record.admits(key, self.store.now_us):
                return record
        return None

    async def still_admits(self, holder: Holder) -> bool:
        """Whether the key that was shown is still good. Raises KeysUnavailable."""
        record = await self.current(holder.id)
        return record is not None and record.still_admits(holder.proof, self.store.now_us)

    async def current(self, key_id: str) -> KeyRecord | None:
        """A key's record, at most `cache_s` old (`grace_s` without Redis).

        Raises KeysUnavailable.
        """
        return await self._current(key_id, self._cache_s)

    async def _current(self, key_id: str, cache_s: float) -> KeyRecord | None:
        known = self._known.get(key_id)
        now_s = self._clock.monotonic_s()
        if known is not None and now_s - known[1] < cache_s:
            return known[0]
        try:
            async with patience(_ANSWER_LIMIT_S):
                record = await self.store.get(key_id)
        except (RedisError, OSError, TimeoutError) as error:
            self.failures += 1
            if known is not None and now_s - known[1] < self._grace_s:
                return known[0]
            raise KeysUnavailable("the keys can't be read just now") from error
        self._remember(key_id, record, now_s)
        return record

    async def refresh(self, key_ids: Sequence[str]) -> None:
        """Reads many anew, for who looks at all of them next. Raises KeysUnavailable."""
        for first in range(0, len(key_ids), _READ_AT_ONCE):
            some, now_s = key_ids[first : first + _READ_AT_ONCE], self._clock.monotonic_s()
            try:
                async with patience(_ANSWER_LIMIT_S):
                    records = await self.store.get_some(some)
            except (RedisError, OSError, TimeoutError) as error:
                self.failures += 1
                raise KeysUnavailable("the keys can't be read just now") from error
            for key_id, record in zip(some, records, strict=True):
                self._remember(key_id, record, now_s)

    def _remember(self, key_id: str, record: KeyRecord | None, now_s: float) -> None:
        if record is None:
            self._known.pop(key_id, None)
            return
        self._known[key_id] = (record, now_s)
        self._known.move_to_end(key_id)
        if len(self._known) > _REMEMBERED_MAX:
            self._known.popitem(last=False)
