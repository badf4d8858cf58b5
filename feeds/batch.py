"""One call of bus.lua: the ticks of some channels, ready to send, and to send again. Pure.

What a batch has taken over stays in it, under its number, until Redis has answered.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, cast

import hiredis
import msgspec

from feeds.market import AGGREGATE, Channel, Missing, Payload, Tick
from feeds.market.bus_names import head_key, log_key
from feeds.retention import Retention

_encode: Final = msgspec.json.Encoder().encode
_pack: Final = cast(Callable[[tuple[object, ...]], bytes], hiredis.pack_command)
"""Its stub knows commands of one word only."""


_NOTHING: Final[deque[Payload]] = deque(maxlen=0)
_NO_HOLES: Final[deque[tuple[int, Missing]]] = deque(maxlen=0)
"""Shared by all that wait for nothing: nothing can be put into them. A deque of its own, though
empty, takes 0.6 KiB, and there are ten thousands of channels."""


class Fence(NamedTuple):
    """What a call is refused by, where another process publishes the venue meanwhile."""

    venue: str
    key: str
    token: str
    """The value that the key must have, and the name under which the call is made."""


class Waiting:
    """What one channel has not published yet. `lost` stands before the first of `payloads`."""

    __slots__ = (
        "channel", "feed", "gone", "holes", "keys", "lost", "payloads", "retention",
    )  # fmt: skip

    def __init__(self, channel: Channel, retention: Retention) -> None:
        self.channel = channel
        self.retention = retention
        self.feed = channel.feed
        self.keys = head_key(channel.name), log_key(channel.name)
        self.payloads = _NOTHING
        self.lost = 0
        self.gone = 0
        """Payloads that were taken over or dropped since the start."""
        self.holes = _NO_HOLES
        """Before which payload, counted as `gone` is, what never came."""

    def add(self, tick: Tick) -> None:
        if tick.missing is not None:
            self.holes = self.holes or deque()
            self.holes.append((self.gone + len(self.payloads), tick.missing))
        if self.payloads:
            self.payloads.append(tick.payload)
        else:
            self.payloads = deque((tick.payload,))

    def drop(self) -> None:
        """The oldest, which makes room."""
        self.payloads.popleft()
        self.gone += 1
        self.lost += 1

    def take_missing(self) -> Missing | None:
        """What is missing before the first payload: all of it by the feed, if any of it is."""
        messages, by_feed = self.lost, self.lost > 0
        self.lost = 0
        while self.holes and self.holes[0][0] <= self.gone:
            _, hole = self.holes.popleft()
            messages += hole.messages
            by_feed = by_feed or hole.by == "feed"
        return Missing("feed" if by_feed else "venue", messages) if messages else None

    @property
    def until_hole(self) -> int:
        """How many payloads there are before the next hole."""
        return self.holes[0][0] - self.gone if self.holes else len(self.payloads)


class Batch:
    """Numbered by its publisher, from 1 on."""

    __slots__ = ("arguments", "counts", "fence", "keys", "number", "oldest_us", "ticks")

    def __init__(self, number: int, fence: Fence | None = None) -> None:
        """With a `fence` all its channels are of that feed."""
        self.number = number
        self.fence = fence
        self.keys: list[str] = []
        self.arguments: list[str | bytes | int] = []
        self.counts: list[tuple[str, int, int]] = []
        """Its channels; of each, how many ticks, and how many lost before them."""
        self.ticks = 0
        self.oldest_us: int | None = None
        """When the first of its venues' ticks was received; None: none says."""

    def add(self, waiting: Waiting, ticks_max: int, tx: bytes, now_s: float) -> int:
        """Takes over what still fits, oldest first; how many ticks that were.

        `tx` is what each payload's end becomes; `now_s` monotonic seconds.
        """
        payloads, count = waiting.payloads, ticks_max - self.ticks
        lost, missing = 0, "-"
        if waiting.lost or waiting.holes:
            hole = waiting.take_missing()
            if hole is not None:
                lost, missing = hole.messages, f"{hole.by}:{hole.messages}"
            # One announcement a call: what stands behind another hole is of the next call.
            count = min(waiting.until_hole, count)
        elif len(payloads) < count:
            count = len(payloads)
        waiting.gone += count
        self.keys += waiting.keys
        self.arguments += (waiting.retention.messages(count, now_s), missing, count)
        if waiting.feed != AGGREGATE:
            # What is derived was made of what came before, however long before.
            first_us = payloads[0].received_us
            if first_us is not None and (self.oldest_us is None or first_us < self.oldest_us):
                self.oldest_us = first_us
        take, append = payloads.popleft, self.arguments.append
        for _ in range(count):
            append(_encode(take())[:-1] + tx)
        if not payloads:
            waiting.payloads = _NOTHING
        self.counts.append((waiting.channel.name, count, lost))
        self.ticks += count
        return count

    def command(self, sha: str, publisher: str) -> bytes:
        """As Redis reads it."""
        # By hiredis, and sent and answered on a bare connection of redis-py: 1.4 µs a tick of
        # 8 x 200, 8 of 30, instead of 3.3 and 17 by redis-py's pipeline (the whole round trip's
        # CPU here; 2-core Xeon at 2.5 GHz, Python 3.11, redis-py 8.1, 2026-11).
        keys = self.keys
        if self.fence is not None:
            keys, publisher = [*keys, self.fence.key], self.fence.token
        words = ("EVALSHA", sha, len(keys), *keys, publisher, self.number)
        return _pack((*words, *self.arguments))
