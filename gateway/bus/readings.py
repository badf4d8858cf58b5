"""EDGE (redis): what Redis keeps of channels: where each is, and its newest messages.

A head that went back (Redis came back with an older memory) gets a new epoch here: its seqs would
be given out a second time, and a second message of a seq can't be told from a repetition.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from feeds.market import Publication, PublicationError
from feeds.market.bus_names import head_key, log_key
from feeds.market.channel import HISTORY_MAX
from gateway.fanout.topic import Head

_log = logging.getLogger(__name__)

_DECODED_AT_ONCE: Final = 500
"""2 ms, in which nobody else is served."""

# An epoch is named as bus.lua names it. Whoever notices first does it: for the others, and for
# publishers, the epoch is another one by then.
_BEGIN_EPOCH: Final = """
local epoch, seq = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'seq'))
if epoch == ARGV[1] and tonumber(seq) and tonumber(seq) < tonumber(ARGV[2]) then
  local now = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'epoch', string.format('%x%05x', now[1], now[2]))
end
"""


async def read_heads(
    redis: Redis, after: Sequence[tuple[str, int | None]]
) -> dict[str, Head | None]:
    """Of channels: after a seq, or (None) the newest message only.

    Raises RedisError, OSError; bound the wait outside.
    """
    pipeline = redis.pipeline(transaction=False)
    for name, seq in after:
        pipeline.hmget(head_key(name), ["epoch", "seq"])
        if seq is None:
            pipeline.xrevrange(log_key(name), count=1)
        else:
            # The newest of them, if there are too many: what was missed must end at the head.
            pipeline.xrevrange(log_key(name), min=f"{seq + 1}-0", count=HISTORY_MAX)
    answers = await pipeline.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception) and not _is_spoilt(answer):
            raise answer
    pairs = zip(after, answers[::2], answers[1::2], strict=True)
    return {name: await _head(name, position, entries) for (name, _), position, entries in pairs}


async def begin_epochs(redis: Redis, heard: Mapping[str, tuple[str, int]]) -> None:
    """Ends the epoch of each channel whose head is behind what was `heard` of it.

    Raises RedisError, OSError; bound the wait outside.
    """
    pipeline = redis.pipeline(transaction=False)
    for name, (epoch, seq) in heard.items():
        _log.warning("redis went back: a new epoch begins channel=%s heard=%d", name, seq)
        pipeline.eval(_BEGIN_EPOCH, 1, head_key(name), epoch, str(seq))
    await pipeline.execute()


def _is_spoilt(answer: object) -> bool:
    """Whether something else than a channel's head or log stands under its key."""
    return isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE")


async def _head(
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
    for count, (_, fields) in enumerate(entries, 1):
        if count % _DECODED_AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            log.append(Publication.decode(fields[b"m"]))
        except (KeyError, PublicationError):
            _log.warning("an entry of a stream is no publication; skipped channel=%s", name)
    log.sort(key=lambda publication: publication.seq)
    return Head(epoch.decode(errors="replace"), int(seq), log)
