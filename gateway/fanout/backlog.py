"""What waits in an outbox, in order: entries, what they come to, where a channel's are. Pure."""

from collections import OrderedDict
from collections.abc import Iterator

from feeds.market.channel import OnLag
from gateway.fanout.flush import Flush
from gateway.fanout.message import Message
from gateway.protocol import By

_OVERHEAD_BYTES = 64
"""What splicing adds to a payload, near enough for a limit."""


class Entry:
    """What is sent together: a frame as it is, a message that may stand for several, or a gap; or
    a flush of the session's group."""

    __slots__ = (
        "by",
        "bytes",
        "first_lost",
        "flush",
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
        self.flush: Flush | None = None
        """What `frame` is made of, if it is a flush of the group."""
        self.message: Message | None = None
        self.on_lag: OnLag = "gap"
        self.by: By = "slow"
        """Whose doing it is that messages are lost."""
        self.first_lost = 0
        self.last_lost = 0
        self.seals = ""
        """A frame's channel, whose later messages may not be told before it."""

    @staticmethod
    def of_frame(frame: bytes, put_s: float, seals: str) -> "Entry":
        entry = Entry(len(frame), put_s)
        entry.frame, entry.seals = frame, seals
        return entry

    @staticmethod
    def of_flush(flush: Flush, put_s: float) -> "Entry":
        entry = Entry(len(flush.frames), put_s)
        entry.frame, entry.flush = flush.frames, flush
        return entry

    @staticmethod
    def of_message(message: Message, on_lag: OnLag, put_s: float) -> "Entry":
        entry = Entry(len(message.payload) + _OVERHEAD_BYTES, put_s)
        entry.message, entry.on_lag = message, on_lag
        return entry

    @property
    def messages(self) -> int:
        """How many messages and notices it is."""
        return 1 if self.flush is None else len(self.flush.batch)

    @property
    def is_reply(self) -> bool:
        return self.message is None and self.flush is None


class Backlog:
    """Of one session."""

    __slots__ = (
        "_entries",
        "_next",
        "_of_channel",
        "bytes",
        "flushes",
        "messages",
        "reply_bytes",
        "single_messages",
    )

    def __init__(self) -> None:
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        """By a growing number. A plain dict finds its first key ever more slowly as others go."""
        self._next = 0
        self._of_channel: dict[str, int] = {}
        """The entries that their channels' next messages are merged into."""
        self.bytes = 0
        """Near enough: what splicing adds is estimated."""
        self.reply_bytes = 0
        self.messages = 0
        self.flushes = 0
        self.single_messages = 0
        """Entries that are neither replies nor flushes."""

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def moved_out(self) -> "Backlog":
        """All that waits, in a backlog of its own; nothing is left here."""
        waiting = Backlog()
        for name in Backlog.__slots__:
            mine = getattr(self, name)
            setattr(self, name, getattr(waiting, name))
            setattr(waiting, name, mine)
        return waiting

    def oldest(self) -> Entry | None:
        return next(iter(self._entries.values()), None)

    def append(self, entry: Entry) -> None:
        """A message's entry is the one that its channel's next is merged into, until it is sealed;
        a frame seals the channel that it is about."""
        number = self._next
        self._next += 1
        self._entries[number] = entry
        self.bytes += entry.bytes
        self.messages += entry.messages
        self.flushes += entry.flush is not None
        if entry.message is not None:
            self._of_channel[entry.message.channel] = number
            self.single_messages += 1
        elif entry.is_reply:
            self.reply_bytes += entry.bytes
            self.seal(entry.seals)

    def open_entry(self, channel: str) -> Entry | None:
        """The one that the channel's next message is merged into, if there is one."""
        number = self._of_channel.get(channel)
        return None if number is None else self._entries[number]

    def seal(self, channel: str) -> None:
        self._of_channel.pop(channel, None)

    def pop(self) -> Entry:
        """The oldest."""
        number, entry = next(iter(self._entries.items()))
        self._remove(number)
        return entry

    def drop(self, channel: str) -> None:
        """What waits of a channel, of a backlog without flushes."""
        for number, entry in list(self._entries.items()):
            if channel == (entry.seals if entry.message is None else entry.message.channel):
                self._remove(number)
        self.seal(channel)

    def _remove(self, number: int) -> None:
        entry = self._entries.pop(number)
        self.bytes -= entry.bytes
        self.messages -= entry.messages
        self.flushes -= entry.flush is not None
        if entry.message is not None:
            self.single_messages -= 1
            if self._of_channel.get(entry.message.channel) == number:
                self.seal(entry.message.channel)
        elif entry.is_reply:
            self.reply_bytes -= entry.bytes
