"""EDGE (redis): the final candles that models read, kept for as long as a restart needs them.

A channel's stream holds a thousand messages, and most of a minute's tell how it runs: of minutes
that are final it holds a quarter of an hour. Here is one list a pair, of these alone.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from feeds.market import AGGREGATE, Candle, Payload, Tick
from feeds.market.bus_names import finals_key

_log = logging.getLogger(__name__)

KEPT: Final = 1_000
"""Candles of a pair: enough for every model to warm up, and for the oldest ones to be forgotten."""
_WAITING_MAX: Final = 20_000
"""Candles held while Redis is away; beyond it the oldest are dropped, and models warm up less."""
_AT_ONCE: Final = 500
_LIMIT_S: Final = 1.0
_PAUSE_S: Final = 1.0
_CHANNELS_AT_ONCE: Final = 20
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Candle).decode


class FinalCandles:
    """Of one kind of channel, of all venues together."""

    def __init__(self, redis: Redis, kind: str) -> None:
        """`kind`: as in `candle.1m`."""
        self._redis = redis
        self._kind = kind
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=_WAITING_MAX)
        self._woken = asyncio.Event()

    def take(self, ticks: Iterable[Tick]) -> None:
        """Keeps those that are final, in a moment. Never blocks; bounded."""
        for tick in ticks:
            channel, payload = tick.channel, tick.payload
            if (
                isinstance(payload, Candle)
                and payload.final
                and not payload.correction
                and channel.kind == self._kind
                and channel.venue == AGGREGATE
            ):
                self._waiting.append((finals_key(channel.name), _encode(payload)))
                self._woken.set()

    async def run(self) -> None:
        """Until cancelled. While Redis is away it tries again; what waits is bounded."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                while self._waiting:
                    await self._write()
            except (RedisError, OSError, TimeoutError):
                # The publisher finds the same, and says so.
                self._woken.set()
                await asyncio.sleep(_PAUSE_S)

    async def complete(self, histories: dict[str, list[Payload]]) -> None:
        """Puts what is kept before what the streams hold of the same channels; a candle may be in
        both. Where it can't be read in time, there is less to warm up with."""
        prefix = f"{self._kind}:{AGGREGATE}:"
        names = [name for name in histories if name.startswith(prefix)]
        try:
            async with asyncio.timeout(_LIMIT_S):
                for start in range(0, len(names), _CHANNELS_AT_ONCE):
                    await self._read(names[start : start + _CHANNELS_AT_ONCE], histories)
        except (RedisError, OSError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            _log.warning("models warm up with less: not all final candles can be read (%s)", reason)

    async def _write(self) -> None:
        some = [self._waiting[at] for at in range(min(_AT_ONCE, len(self._waiting)))]
        async with asyncio.timeout(_LIMIT_S), self._redis.pipeline(transaction=False) as pipeline:
            for key, text in some:
                pipeline.rpush(key, text)
            for key in dict.fromkeys(key for key, _ in some):
                pipeline.ltrim(key, -KEPT, -1)
            await pipeline.execute()
        for _ in some:
            self._waiting.popleft()

    async def _read(self, names: list[str], histories: dict[str, list[Payload]]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.lrange(finals_key(name), 0, -1)
            lists = await pipeline.execute()
        for name, texts in zip(names, lists, strict=True):
            # Sorted, as two processes may have written for a moment.
            kept = sorted(map(_decode, texts), key=lambda one: one.start_us)
            newest_us = kept[-1].start_us if kept else 0
            later = [
                one
                for one in histories[name]
                if isinstance(one, Candle) and one.start_us > newest_us
            ]
            histories[name] = [*kept, *later]
