"""EDGE (redis): what was published of a venue before us, by this process or by another.

Read from the channels' streams when a venue's publishing begins, so that what the venue repeats is
not published again, and what nobody listened to is announced as missing.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from feeds.market import Channel, Publication, PublicationError, Tick, Trade
from feeds.market.bus_names import log_key

_log = logging.getLogger(__name__)

RECALL_LIMIT_S: Final = 1.0
"""Longer than that nobody is kept waiting for."""
_CHANNELS_AT_ONCE: Final = 20
_decode: Final = msgspec.json.Decoder(Trade).decode


async def recall(
    redis: Redis, channels: Sequence[Channel], trades_max: int
) -> Mapping[str, Sequence[Tick]]:
    """The newest trades of each, oldest first, by its name; so far as they can be read in time."""
    wanted = [channel for channel in channels if channel.kind == "trade"]
    recalled: dict[str, Sequence[Tick]] = {}
    if not trades_max:
        return recalled
    try:
        async with asyncio.timeout(RECALL_LIMIT_S):
            for start in range(0, len(wanted), _CHANNELS_AT_ONCE):
                some = wanted[start : start + _CHANNELS_AT_ONCE]
                read = await _read(redis, some, trades_max)
                for channel, entries in zip(some, read, strict=True):
                    recalled[channel.name] = _ticks(channel, entries)
    except (RedisError, OSError, TimeoutError) as error:
        _log.warning("what was published before can't be read (%s)", str(error) or "no answer")
    return recalled


async def _read(redis: Redis, channels: Sequence[Channel], trades_max: int) -> list[Any]:
    async with redis.pipeline(transaction=False) as pipeline:
        for channel in channels:
            pipeline.xrevrange(log_key(channel.name), count=trades_max)
        return list(await pipeline.execute(raise_on_error=False))


def _ticks(channel: Channel, entries: Any) -> list[Tick]:
    """Without what is no trade: any program may write there."""
    ticks: list[Tick] = []
    if isinstance(entries, list):
        for _, fields in reversed(entries):
            try:
                ticks.append(Tick(channel, _decode(Publication.decode(fields[b"m"]).payload)))
            except (KeyError, PublicationError, msgspec.MsgspecError):
                continue
    return ticks
