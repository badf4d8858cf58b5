"""Messages waiting for one session whose socket is full. Never blocks; bounded.

While there is room everything is kept in order. When it is full it is compacted: each channel
keeps its newest message (conflate), or a notice of what it lost (gap), or ends the session (close);
from then on a channel's entry is overwritten in place until the outbox has been emptied. So it is,
without having been full, for one who is over the messages of its plan: but what would have to end
the session is kept in order as long as there is room.
A subscription at a rate is overwritten in place from the start. Nothing leaves it unsaid: a
conflated message carries `n`, a gap names its seqs.

One who reads slowly must not cost those who don't: what a flush brings to many is kept as one
entry, as it would be written, and taken apart only where it has to be; while the outbox is full it
is looked at some hundred messages at a time.
"""

from collections.abc import Mapping
from itertools import cycle
from typing import Final, NamedTuple

from feeds.market.channel import OnLag
from gateway.fanout.backlog import Backlog, Entry
from gateway.fanout.counts import Counts
from gateway.fanout.flush import Flush
from gateway.fanout.merger import Merger
from gateway.fanout.message import Message, Notice
from gateway.fanout.subscription import Subscription
from gateway.protocol import EncodingName, Gap

_late_limits: Final = cycle(range(1_024, 2_048, 73))
"""How many messages a full outbox leaves unlooked at: another number each, so that those of a
group, which all get the same, don't do it all at once."""


class OutboxLimits(NamedTuple):
    """When an outbox counts as full."""

    bytes_max: int
    messages_max: int
    age_max_s: float


class Taken(NamedTuple):
    """Frames to be written, and how many messages and notices they are."""

    frames: list[bytes]
    messages: int


class Outbox:
    """One session's. Times are monotonic seconds, handed in.

    `channels` are the session's subscriptions, which change only behind a frame that seals them.
    """

    __slots__ = (
        "_backlog",
        "_channels",
        "_encoding",
        "_is_compacted",
        "_lag_told",
        "_late",
        "_late_limit",
        "_late_messages",
        "_limits",
        "_may_end",
        "_merger",
        "full_since_s",
        "is_throttled",
    )

    def __init__(
        self,
        limits: OutboxLimits,
        encoding: EncodingName,
        counts: Counts,
        channels: Mapping[str, Subscription],
    ) -> None:
        self._limits = limits
        self._encoding = encoding
        self._channels = channels
        self._backlog = Backlog()
        self._merger = Merger(self._backlog, encoding, counts, channels)
        self._late: list[Flush] = []
        """What came while it is full, and has not been looked at yet."""
        self._late_messages = 0
        self._late_limit = next(_late_limits)
        self._may_end = False
        """While it is full: the next message may be one that the session must not lose."""
        self._is_compacted = False
        """Whether, since it has been full, what waited then was looked at."""
        self._lag_told = False
        self.full_since_s: float | None = None
        """Since when it is full, if it has not been emptied since."""
        self.is_throttled = False
        """Its session was sent as much as its plan allows, and it has not been emptied since."""

    def __len__(self) -> int:
        """Messages, notices and replies."""
        return self._backlog.messages

    @property
    def must_close(self) -> bool:
        """Whether a subscription with `on_lag: close` would have lost something."""
        return self._merger.must_close

    @property
    def waiting_bytes(self) -> int:
        """Near enough: what splicing adds is estimated."""
        return self._backlog.bytes

    @property
    def has_too_many_replies(self) -> bool:
        """Whether replies and notices, which are never conflated, fill it by themselves."""
        return self._backlog.reply_bytes > self._limits.bytes_max

    def age_s(self, now_s: float) -> float:
        """How long the oldest entry has waited."""
        oldest = self._backlog.oldest()
        return 0.0 if oldest is None else now_s - oldest.put_s

    def put_frame(self, frame: bytes, now_s: float, seals: str = "") -> None:
        """A reply or a notice: never conflated, never lost while the session lives.

        `seals` is the channel that it is about, if what came before it is to be told before it,
        and what comes after it after it.
        """
        if self.full_since_s is not None:
            self._look_at_late(now_s)
        if seals:
            # From here on the channel may be subscribed to otherwise.
            self._merger.take_apart()
            self._may_end = True
        self._backlog.append(Entry.of_frame(frame, now_s, seals))

    def put_flush(self, flush: Flush, now_s: float) -> None:
        """A flush of a group in which everybody wants everything. Not while it is throttled."""
        if self.full_since_s is None:
            self._backlog.append(Entry.of_flush(flush, now_s))
            if self._is_full(now_s):
                self._become_full(now_s)
        else:
            self._late.append(flush)
            self._late_messages += len(flush.batch)
            if self._may_end:
                self._look_at_late(now_s)
            elif self._late_messages >= self._late_limit:
                self._look_at_closed(now_s)

    def put(self, message: Message, on_lag: OnLag, now_s: float, *, in_place: bool = False) -> None:
        """A message of a subscription, to be kept, conflated or announced as lost.

        `in_place`: the newest is all that is wanted, also while there is room.
        """
        if self.full_since_s is not None:
            self._look_at_late(now_s)
            self._merger.overwrite(message, on_lag, now_s)
            return
        if self.is_throttled and on_lag != "close":
            self._merger.overwrite(message, on_lag, now_s, "plan")
            return
        if in_place:
            self._merger.merge(message, on_lag, now_s)
        else:
            self._backlog.append(Entry.of_message(message, on_lag, now_s))
            self._backlog.seal(message.channel)
        if self._is_full(now_s):
            self._become_full(now_s)

    def throttle(self) -> None:
        """From now on each channel keeps its newest, or what it lost, until all has gone out."""
        if not self.is_throttled:
            self._merger.take_apart()
        self.is_throttled = True

    def look(self, now_s: float) -> None:
        """It may be full by age alone: nothing more was put, nothing left."""
        if self.full_since_s is None and self._is_full(now_s):
            self._become_full(now_s)

    def lag_to_tell(self) -> bool:
        """Whether it has just become half full: true once, until it has been emptied."""
        half = (
            self._backlog.bytes * 2 >= self._limits.bytes_max
            or self._backlog.messages * 2 >= self._limits.messages_max
        )
        if not half or self._lag_told:
            return False
        self._lag_told = True
        return True

    def forget(self, channel: str) -> None:
        """Drops what waits for a subscription that has ended."""
        if self.full_since_s is not None:
            self._look_at_late(self.full_since_s)
        self._merger.take_apart()
        self._backlog.drop(channel)
        if not self._backlog:
            self._emptied()

    def take(self, bytes_max: int, messages_max: int | None = None) -> Taken:
        """The oldest frames, in order, about `bytes_max` of them; empty when nothing waits.

        `messages_max` is for a throttled one.
        """
        if self.full_since_s is not None:
            self._look_at_late(self.full_since_s)
        frames: list[bytes] = []
        size = messages = 0
        while self._backlog and size < bytes_max and messages != messages_max:
            entry = self._backlog.pop()
            frames.append(self._framed(entry))
            size += len(frames[-1])
            messages += entry.messages
        if not self._backlog:
            self._emptied()
        return Taken(frames, messages)

    def _emptied(self) -> None:
        self.full_since_s = None
        self.is_throttled = False
        self._lag_told = False

    def _framed(self, entry: Entry) -> bytes:
        message = entry.message
        if message is None:
            return entry.frame
        if entry.first_lost:
            gap = Gap(message.channel, entry.first_lost, entry.last_lost, entry.by)
            return Notice(gap).frame(self._encoding)
        return message.frame(self._encoding)

    def _is_full(self, now_s: float) -> bool:
        limits = self._limits
        return (
            self._backlog.bytes >= limits.bytes_max
            or self._backlog.messages >= limits.messages_max
            or self.age_s(now_s) >= limits.age_max_s
        )

    def _become_full(self, now_s: float) -> None:
        """Where only flushes wait they are looked at later: many become full by the same one, and
        need not all be compacted in it."""
        self.full_since_s = now_s
        self._is_compacted = False
        self._may_end = any(one.on_lag == "close" for one in self._channels.values())
        if self._may_end or self._backlog.single_messages:
            self._look_at_late(now_s)

    def _look_at_late(self, now_s: float) -> None:
        """Nothing waits as it came after this."""
        late, self._late, self._late_messages = self._late, [], 0
        if not self._is_compacted:
            self._is_compacted = True
            late = self._merger.compact() + late
        self._merger.overwrite_flushes(late, now_s)

    def _look_at_closed(self, now_s: float) -> None:
        """The window that is still open waits: a part of one would be put together for us alone."""
        window = self._late[-1].window
        of_open = [] if window.is_closed else [one for one in self._late if one.window is window]
        del self._late[len(self._late) - len(of_open) :]
        self._look_at_late(now_s)
        self._late = of_open
        self._late_messages = sum(len(flush.batch) for flush in of_open)
