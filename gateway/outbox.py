"""Messages waiting for one session whose socket is full. Never blocks; bounded.

While there is room everything is kept in order. When it is full it is compacted: each channel
keeps its newest message (conflate), or a notice of what it lost (gap), or ends the session (close);
from then on a channel's entry is overwritten in place until the outbox has been emptied. So it is,
without having been full, for one who is over the messages of its plan: but what would have to end
the session is kept in order as long as there is room.
A subscription at a rate is overwritten in place from the start. Nothing leaves it unsaid: a
conflated message carries `n`, a gap names its seqs.
"""

from collections import OrderedDict
from typing import NamedTuple

from feeds.market.channel import OnLag
from gateway.counts import Counts
from gateway.message import Message, Notice
from gateway.protocol import By, EncodingName, Gap


class OutboxLimits(NamedTuple):
    """When an outbox counts as full."""

    bytes_max: int
    messages_max: int
    age_max_s: float


class _Entry:
    """One thing to send: a frame as it is, a message that may stand for several, or a gap."""

    __slots__ = (
        "by",
        "bytes",
        "first_lost",
        "frame",
        "last_lost",
        "message",
        "on_lag",
        "put_s",
        "seals",
    )

    def __init__(self, size: int, put_s: float) -> None:
        self.bytes = size
        self.put_s = put_s
        self.frame = b""
        self.message: Message | None = None
        self.on_lag: OnLag = "gap"
        self.by: By = "slow"
        """Whose doing it is that messages are lost."""
        self.first_lost = 0
        self.last_lost = 0
        self.seals = ""
        """A frame's channel, whose later messages may not be told before it."""


_OVERHEAD_BYTES = 64
"""What splicing adds to a payload, near enough for a limit."""


class Outbox:
    """One session's. Times are monotonic seconds, handed in."""

    def __init__(self, limits: OutboxLimits, encoding: EncodingName, counts: Counts) -> None:
        self._counts = counts
        self._limits = limits
        self._encoding = encoding
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        """By a growing number. A plain dict finds its first key ever more slowly as others go."""
        self._next = 0
        self._of_channel: dict[str, int] = {}
        """The entries that their channels' next messages are merged into."""
        self._bytes = 0
        self._frame_bytes = 0
        self._lag_told = False
        self.full_since_s: float | None = None
        """When it was compacted, if it has not been emptied since."""
        self.is_throttled = False
        """Its session was sent as much as its plan allows, and it has not been emptied since."""
        self.must_close = False
        """A subscription with `on_lag: close` would have lost something."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def waiting_bytes(self) -> int:
        """Near enough: what splicing adds is estimated."""
        return self._bytes

    @property
    def has_too_many_replies(self) -> bool:
        """Whether replies and notices, which are never conflated, fill it by themselves."""
        return self._frame_bytes > self._limits.bytes_max

    def age_s(self, now_s: float) -> float:
        """How long the oldest entry has waited."""
        oldest = next(iter(self._entries.values()), None)
        return 0.0 if oldest is None else now_s - oldest.put_s

    def put_frame(self, frame: bytes, now_s: float, seals: str = "") -> None:
        """A reply or a notice: never conflated, never lost while the session lives.

        `seals` is the channel that it is about, if what came before it is to be told before it,
        and what comes after it after it.
        """
        entry = _Entry(len(frame), now_s)
        entry.frame, entry.seals = frame, seals
        self._append_frame(entry)

    def put(self, message: Message, on_lag: OnLag, now_s: float, *, in_place: bool = False) -> None:
        """A message of a subscription, to be kept, conflated or announced as lost.

        `in_place`: the newest is all that is wanted, also while there is room.
        """
        if self.full_since_s is not None:
            self._overwrite(message, on_lag, now_s)
            return
        if self.is_throttled and on_lag != "close":
            self._overwrite(message, on_lag, now_s, "plan")
            return
        if in_place:
            self._merge(message, on_lag, now_s)
        else:
            self._append_message(message, on_lag, now_s)
            self._seal(message.channel)
        if self._is_full(now_s):
            self._compact(now_s)

    def throttle(self) -> None:
        """From now on each channel keeps its newest, or what it lost, until all has gone out."""
        self.is_throttled = True

    def _seal(self, channel: str) -> None:
        self._of_channel.pop(channel, None)

    def look(self, now_s: float) -> None:
        """Compacts an outbox that became full by age alone: nothing more was put, nothing left."""
        if self.full_since_s is None and self._is_full(now_s):
            self._compact(now_s)

    def lag_to_tell(self) -> bool:
        """Whether it has just become half full: true once, until it has been emptied."""
        half = (
            self._bytes * 2 >= self._limits.bytes_max
            or len(self._entries) * 2 >= self._limits.messages_max
        )
        if not half or self._lag_told:
            return False
        self._lag_told = True
        return True

    def forget(self, channel: str) -> None:
        """Drops what waits for a subscription that has ended."""
        for number, entry in list(self._entries.items()):
            of = entry.seals if entry.message is None else entry.message.channel
            if of == channel:
                self._remove(number)
        self._seal(channel)
        if not self._entries:
            self._emptied()

    def take(self, bytes_max: int, count_max: int | None = None) -> list[bytes]:
        """The oldest frames, in order, about `bytes_max` of them; empty when nothing waits."""
        frames: list[bytes] = []
        taken = 0
        while self._entries and taken < bytes_max and len(frames) != count_max:
            number = next(iter(self._entries))
            frame = self._framed(number, self._entries[number])
            self._remove(number)
            frames.append(frame)
            taken += len(frame)
        if not self._entries:
            self._emptied()
        return frames

    def _emptied(self) -> None:
        self._of_channel.clear()
        self.full_since_s = None
        self.is_throttled = False
        self._lag_told = False

    def _framed(self, number: int, entry: _Entry) -> bytes:
        message = entry.message
        if message is None:
            return entry.frame
        if self._of_channel.get(message.channel) == number:
            self._seal(message.channel)
        if entry.first_lost:
            gap = Gap(message.channel, entry.first_lost, entry.last_lost, entry.by)
            return Notice(gap).frame(self._encoding)
        return message.frame(self._encoding)

    def _append(self, entry: _Entry) -> int:
        number = self._next
        self._next += 1
        self._entries[number] = entry
        self._bytes += entry.bytes
        return number

    def _append_frame(self, entry: _Entry) -> None:
        self._append(entry)
        self._frame_bytes += entry.bytes
        self._seal(entry.seals)

    def _append_message(self, message: Message, on_lag: OnLag, now_s: float) -> _Entry:
        entry = _Entry(len(message.payload) + _OVERHEAD_BYTES, now_s)
        entry.message, entry.on_lag = message, on_lag
        self._of_channel[message.channel] = self._append(entry)
        return entry

    def _remove(self, number: int) -> None:
        entry = self._entries.pop(number)
        self._bytes -= entry.bytes
        if entry.message is None:
            self._frame_bytes -= entry.bytes

    def _is_full(self, now_s: float) -> bool:
        limits = self._limits
        return (
            self._bytes >= limits.bytes_max
            or len(self._entries) >= limits.messages_max
            or self.age_s(now_s) >= limits.age_max_s
        )

    def _compact(self, now_s: float) -> None:
        self.full_since_s = now_s
        waiting, self._entries, self._bytes = self._entries, OrderedDict(), 0
        self._frame_bytes = 0
        self._of_channel.clear()
        for entry in waiting.values():
            if entry.message is None:
                self._append_frame(entry)
            else:
                self._overwrite(
                    entry.message, entry.on_lag, entry.put_s, first_lost=entry.first_lost
                )

    def _overwrite(
        self,
        message: Message,
        on_lag: OnLag,
        now_s: float,
        by: By = "slow",
        *,
        first_lost: int = 0,
    ) -> None:
        """`first_lost`: the message ends a gap already, that began there and is counted."""
        if on_lag == "close":
            self.must_close = True
            return
        entry = self._merge(message, on_lag, now_s)
        if on_lag == "gap":
            entry.first_lost = entry.first_lost or first_lost or message.before + 1
            entry.last_lost = message.seq
            entry.by = by
            if not first_lost:
                self._counts.missing_by[by] += message.count

    def _merge(self, message: Message, on_lag: OnLag, now_s: float) -> _Entry:
        """Into the entry that waits for it, or one of its own; the entry."""
        number = self._of_channel.get(message.channel)
        # A subscription that has changed its `on_lag` meanwhile begins an entry of its own.
        if number is None or self._entries[number].on_lag != on_lag:
            return self._append_message(message, on_lag, now_s)
        entry = self._entries[number]
        assert entry.message is not None
        if on_lag == "gap":
            entry.message = message
        else:
            entry.message = entry.message.merged(message)
            self._counts.conflated += message.count
        return entry
