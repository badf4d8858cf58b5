"""EDGE (redis): what was published before us, by this process or by another: from the streams, and
of candles of a minute and longer from the lists of those that are final.

Of a venue, when its publishing begins: so that what it repeats is not published again, and what
nobody listened to is announced as missing. Of all kinds, when derivations begin, and go on from it.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from feeds.cancelling import stop_if_cancelled
from feeds.market import (
    AGGREGATE,
    Candle,
    Channel,
    ChannelError,
    Grade,
    Outcome,
    Payload,
    Price,
    Publication,
    PublicationError,
    Quote,
    Signal,
    Status,
    Tick,
    Trade,
)
from feeds.market.bus_names import DIRECTORY_KEY, finals_key, keeps_finals, log_key
from feeds.patience import patience

_log = logging.getLogger(__name__)

RECALL_LIMIT_S: Final = 1.0
"""Longer than that a venue's first ticks don't wait."""
_ANSWER_LIMIT_S: Final = 2.0
_HISTORIES_LIMIT_S: Final = 20.0
"""A thousand channels take a second of a core and more: what is not read is not known any more."""
_CHANNELS_AT_ONCE: Final = 20
_decode: Final = msgspec.json.Decoder(Trade).decode

_DECODERS: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    "trade": msgspec.json.Decoder(Trade),
    "quote": msgspec.json.Decoder(Quote),
    "status": msgspec.json.Decoder(Status),
    "price": msgspec.json.Decoder(Price),
    "candle": msgspec.json.Decoder(Candle),
    "signal": msgspec.json.Decoder(Signal),
    "outcome": msgspec.json.Decoder(Outcome),
    "grade": msgspec.json.Decoder(Grade),
}
_MESSAGES_MAX: Final = {"status": 100, "candle": 400}
"""How many of the newest are read, where not all are of use: of seconds those of a venue's own,
most of them running ones, which are enough for a minute."""
_FINALS_MAX: Final = 60
"""The same of final candles, twice what the next longer interval is made of, and corrections."""
_ALL: Final = 1_000


class Recalled(NamedTuple):
    """What channels hold, by name."""

    told: dict[str, list[Payload]]
    """Oldest first; of candles only the final ones."""
    places: dict[str, tuple[str, int]]
    """The epoch and seq of the newest message of each; of final candles they are not known."""


async def recall(
    redis: Redis, channels: Sequence[Channel], trades_max: int
) -> Mapping[str, Sequence[Tick]]:
    """The newest trades of each, oldest first, by its name; so far as they can be read in time."""
    wanted = [channel for channel in channels if channel.kind == "trade"]
    recalled: dict[str, Sequence[Tick]] = {}
    if not trades_max:
        return recalled
    try:
        async with patience(RECALL_LIMIT_S):
            for start in range(0, len(wanted), _CHANNELS_AT_ONCE):
                some = wanted[start : start + _CHANNELS_AT_ONCE]
                read = await read_streams(redis, [(channel.name, trades_max) for channel in some])
                for channel, messages in zip(some, read, strict=True):
                    recalled[channel.name] = _ticks(channel, messages)
    except (RedisError, OSError, TimeoutError) as error:
        _log.warning("what was published before can't be read (%s)", str(error) or "no answer")
    return recalled


async def recall_histories(
    redis: Redis,
    kinds: Collection[str],
    venues: Collection[str],
    modelled: str,
    *,
    is_for_models: bool = False,
    is_enough: Callable[[], bool] = lambda: False,
) -> Recalled:
    """What channels of some kinds hold: those of these venues, of all of them together, and of
    models. All candles of those that models read, which are of the kind `modelled`: `candle.1m`;
    no others, where it is for models alone.

    So far as it can be read in time, and before it `is_enough`: asked now and then, as ticks wait
    meanwhile. A market's trades only where its candles were read.
    """
    recalled = Recalled({}, {})
    read = of = 0
    reason = "no answer in time"
    try:
        async with patience(_HISTORIES_LIMIT_S):
            async with patience(_ANSWER_LIMIT_S):
                names = await redis.smembers(DIRECTORY_KEY)
            wanted = _wanted(names, kinds, venues, modelled if is_for_models else None)
            of = len(wanted)
            while read < of and not is_enough():
                stop_if_cancelled()
                some = wanted[read : read + _CHANNELS_AT_ONCE]
                counts = [(channel.name, _messages_max(channel, modelled)) for channel in some]
                async with patience(_ANSWER_LIMIT_S):
                    streams = await read_streams(redis, counts)
                for channel, messages in zip(some, streams, strict=True):
                    _recall_one(recalled, channel, messages)
                read += len(some)
            if read == of:
                return recalled
            reason = "too much is heard meanwhile"
    except (RedisError, OSError, TimeoutError) as error:
        reason = str(error) or reason
    line = "what was derived before can't be read, or not all of it (%s) channels=%d of=%d"
    _log.warning(line, reason, read, of)
    return recalled


def _recall_one(recalled: Recalled, channel: Channel, messages: Iterable[bytes]) -> None:
    read = [*_published(channel, messages)]
    recalled.told[channel.name] = [payload for _, payload in read]
    if read and not keeps_finals(channel.kind):
        recalled.places[channel.name] = read[-1][0].epoch, read[-1][0].seq


def trades_of(told: Mapping[str, Sequence[Payload]]) -> set[tuple[str, Trade]]:
    """What was published already, and may be heard once more."""
    return {
        (name, payload)
        for name, payloads in told.items()
        for payload in payloads
        if isinstance(payload, Trade)
    }


def is_among(tick: Tick, trades: set[tuple[str, Trade]]) -> bool:
    return isinstance(tick.payload, Trade) and (tick.channel.name, tick.payload) in trades


def _wanted(
    names: Any, kinds: Collection[str], venues: Collection[str], modelled: str | None
) -> list[Channel]:
    """In the order in which they are needed: what is said of all venues, candles, the rest.
    `modelled`: of candles only those of all venues that are of this kind."""
    found: list[Channel] = []
    for name in names:
        try:
            channel = Channel.parse(name.decode())
        except (ChannelError, UnicodeDecodeError):
            continue
        word = channel.promises.name
        is_ours = channel.venue in venues or channel.venue == AGGREGATE
        if modelled is not None and word == "candle":
            is_ours = (channel.kind, channel.venue) == (modelled, AGGREGATE)
        if word in kinds and (is_ours or word in ("signal", "outcome")):
            found.append(channel)
    ranks = {"signal": 0, "outcome": 0, "candle": 2}
    found.sort(
        key=lambda one: (
            ranks.get(one.promises.name, 3) - (one.venue == AGGREGATE),
            one.name,
        )
    )
    return found


def _messages_max(channel: Channel, modelled: str) -> int:
    if keeps_finals(channel.kind) and (channel.kind, channel.venue) != (modelled, AGGREGATE):
        return _FINALS_MAX
    if channel.venue == AGGREGATE:
        return _ALL
    return _MESSAGES_MAX.get(channel.promises.name, _ALL)


async def read_streams(redis: Redis, wanted: Sequence[tuple[str, int]]) -> list[list[bytes]]:
    """The newest messages of channels, oldest first. Raises RedisError, OSError."""
    async with redis.pipeline(transaction=False) as pipeline:
        for name, count in wanted:
            if keeps_finals(name.partition(":")[0]):
                pipeline.lrange(finals_key(name), -count, -1)
            else:
                pipeline.xrevrange(log_key(name), count=count)
        return [_messages(answer) for answer in await pipeline.execute(raise_on_error=False)]


def _messages(answer: Any) -> list[bytes]:
    """Of a list, or of a stream, newest first; of a key of another type none."""
    if not isinstance(answer, list) or not answer:
        return []
    if isinstance(answer[0], bytes):
        return answer
    return [fields[b"m"] for _, fields in reversed(answer) if b"m" in fields]


def _ticks(channel: Channel, messages: Iterable[bytes]) -> list[Tick]:
    """Without what is no trade: any program may write there."""
    ticks: list[Tick] = []
    for message in messages:
        try:
            ticks.append(Tick(channel, _decode(Publication.decode(message).payload)))
        except (PublicationError, msgspec.MsgspecError):
            continue
    return ticks


def _published(
    channel: Channel, messages: Iterable[bytes]
) -> Iterator[tuple[Publication, Payload]]:
    """Without what can't be read, and without candles that are not final."""
    word = channel.promises.name
    decode = _DECODERS[word].decode
    for message in messages:
        try:
            if word != "candle" or b'"final":true' in message:
                publication = Publication.decode(message)
                yield publication, decode(publication.payload)
        except (PublicationError, msgspec.MsgspecError):
            continue
