"""EDGE (redis): the keys, in one hash by id; and a worker's bounded memory of those it knows."""

import asyncio
import logging
from collections import OrderedDict
from typing import Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from feeds.market import Clock
from gateway.keys import KeyRecord, id_in

_log = logging.getLogger(__name__)

KEYS_KEY: Final = "tickgate:keys"

_REMEMBERED_MAX = 10_000
_ANSWER_LIMIT_S = 1.0

_decode = msgspec.json.Decoder(KeyRecord).decode
_encode = msgspec.json.Encoder().encode


class KeysUnavailable(Exception):  # noqa: N818 - the world's state, named as such
    """Redis doesn't answer, and the key isn't one that was known a moment ago."""


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

    async def create(self, label: str, plan: str) -> tuple[KeyRecord, str]:
        """A new key: its record, and the text to hand out, which can't be had again."""
        record, key = KeyRecord.made(label, plan, self._clock.now_ns() // 1_000)
        await self._redis.hset(KEYS_KEY, record.id, _encode(record))
        return record, key

    async def list(self) -> list[KeyRecord]:
        """All keys, revoked ones included, oldest first."""
        rows = await self._redis.hvals(KEYS_KEY)
        records = [record for row in rows if (record := _record_in(row)) is not None]
        return sorted(records, key=lambda record: record.created_us)

    async def get(self, key_id: str) -> KeyRecord | None:
        row = await self._redis.hget(KEYS_KEY, key_id)
        return None if row is None else _record_in(row)

    async def revoke(self, key_id: str) -> KeyRecord | None:
        """The record as revoked; None where there is no such key. Twice is once."""
        record = await self.get(key_id)
        if record is not None and record.revoked_us is None:
            now_us = self._clock.now_ns() // 1_000
            record = msgspec.structs.replace(record, revoked_us=now_us)
            await self._redis.hset(KEYS_KEY, record.id, _encode(record))
        return record

    async def forget(self, key_id: str) -> None:
        """Removes a key altogether: for those that the product makes for itself."""
        await self._redis.hdel(KEYS_KEY, key_id)


class KnownKeys:
    """A worker's view: believes what it read for a while, and longer while Redis is away."""

    def __init__(self, store: KeyStore, clock: Clock, *, cache_s: float, grace_s: float) -> None:
        self._store = store
        self._clock = clock
        self._cache_s = cache_s
        self._grace_s = grace_s
        self._known: OrderedDict[str, tuple[KeyRecord, float]] = OrderedDict()

    async def admitted(self, key: str) -> KeyRecord | None:
        """The record of a valid key; None for every other text. Raises KeysUnavailable."""
        key_id = id_in(key)
        record = None if key_id is None else await self.current(key_id)
        return record if record is not None and record.admits(key) else None

    async def current(self, key_id: str) -> KeyRecord | None:
        """A key's record, at most `cache_s` old (`grace_s` without Redis).

        Raises KeysUnavailable.
        """
        known = self._known.get(key_id)
        now_s = self._clock.monotonic_s()
        if known is not None and now_s - known[1] < self._cache_s:
            return known[0]
        try:
            async with asyncio.timeout(_ANSWER_LIMIT_S):
                record = await self._store.get(key_id)
        except (RedisError, OSError, TimeoutError) as error:
            if known is not None and now_s - known[1] < self._grace_s:
                return known[0]
            raise KeysUnavailable("the keys can't be read just now") from error
        if record is None:
            self._known.pop(key_id, None)
            return None
        self._known[key_id] = (record, now_s)
        self._known.move_to_end(key_id)
        if len(self._known) > _REMEMBERED_MAX:
            self._known.popitem(last=False)
        return record
