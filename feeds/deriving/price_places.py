"""EDGE (redis): where the prices that signals start from stand in their channels: epoch and seq.

A price is told a moment before its signal, so the newest few messages are looked at first. What
is not there is looked for farther back: it may not be published yet, or have been for seconds.
"""

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from feeds.cancelling import stop_if_cancelled
from feeds.market import Price, Publication, PublicationError, Reference
from feeds.patience import patience
from feeds.recall import read_streams

_NEWEST_FIRST: Final = 8
"""Messages of each channel; each time twice as many."""
_NEWEST_MAX: Final = 1_000
"""More than a price's channel keeps, as it is shipped."""
_CHANNELS_AT_ONCE: Final = 20
_WAIT_FIRST_S: Final = 0.002
_WAIT_MAX_S: Final = 0.2

_decode: Final = msgspec.json.Decoder(Price).decode


async def find_places(
    redis: Redis, wanted: Collection[Reference], limit_s: float
) -> dict[Reference, Reference]:
    """Those that are published, with epoch and seq: looked for until it is all of them, or for so
    long, a Redis that is away included."""
    found: dict[Reference, Reference] = {}
    missing, newest, wait_s = set(wanted), _NEWEST_FIRST, _WAIT_FIRST_S
    with contextlib.suppress(TimeoutError):
        async with patience(limit_s):
            while missing:
                stop_if_cancelled()
                with contextlib.suppress(RedisError, OSError):
                    found |= await _look(redis, missing, newest)
                missing -= found.keys()
                if missing:
                    await asyncio.sleep(wait_s)
                    wait_s = min(_WAIT_MAX_S, wait_s * 2)
                    newest = min(_NEWEST_MAX, newest * 2)
    return found


async def _look(
    redis: Redis, wanted: Iterable[Reference], newest: int
) -> dict[Reference, Reference]:
    """Raises RedisError, OSError."""
    by_name: dict[str, list[Reference]] = {}
    for one in wanted:
        by_name.setdefault(one.channel, []).append(one)
    names = sorted(by_name)
    found: dict[Reference, Reference] = {}
    for start in range(0, len(names), _CHANNELS_AT_ONCE):
        some = names[start : start + _CHANNELS_AT_ONCE]
        streams = await read_streams(redis, [(name, newest) for name in some])
        for name, messages in zip(some, streams, strict=True):
            for one in by_name[name]:
                place = _place(one, messages)
                if place is not None:
                    found[one] = place
    return found


def _place(one: Reference, messages: Sequence[bytes]) -> Reference | None:
    digits = b"%d" % one.at_us
    for message in reversed(messages):
        # Most are not read any further: decoding one takes as long as passing over a hundred.
        if digits not in message:
            continue
        try:
            publication = Publication.decode(message)
            if _decode(publication.payload).computed_us == one.at_us:
                return Reference(
                    one.channel, one.price, one.at_us, publication.epoch, publication.seq
                )
        except (PublicationError, msgspec.MsgspecError):
            continue
    return None
