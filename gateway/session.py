"""One subscriber: its subscriptions, its outbox, its socket as a Sink. Pure and synchronous.

The only place that writes to a subscriber: replies, data and notices leave in one order.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from feeds.market.channel import OnLag
from gateway.counts import Counts
from gateway.errors import CLOSES, CloseRow
from gateway.limits import Gcra
from gateway.message import Message, Notice
from gateway.outbox import Outbox, OutboxLimits
from gateway.plans import Plan
from gateway.protocol import Announcement, EncodingName, Lag, SessionId
from gateway.rates import ALL

if TYPE_CHECKING:
    from gateway.group import Group


class Sink(Protocol):
    """A socket, as a session sees it."""

    @property
    def descriptor(self) -> int:
        """To write frames to directly while it is ready; -1 where that may not be done."""

    def is_ready(self) -> bool:
        """Whether it takes more without its buffer growing past its limit."""

    def write(self, frames: bytes) -> None:
        """Whole frames; never blocks; nothing happens once it is closing."""

    def close(self, row: CloseRow) -> None:
        """Says so, and is really gone a bounded time later."""


class Subscription(NamedTuple):
    """What a session wants of one channel."""

    rate: str
    on_lag: OnLag

    @property
    def is_conflated(self) -> bool:
        """Whether the newest is all that is wanted of what waits."""
        return self.rate != ALL


class Session:
    """A subscriber who has shown a key."""

    __slots__ = (
        "channels",
        "closing",
        "commands",
        "encoding",
        "group",
        "heartbeats",
        "id",
        "key_id",
        "last_sent",
        "outbox",
        "plan",
        "sent",
        "sink",
    )

    def __init__(
        self,
        session_id: SessionId,
        *,
        key_id: str,
        plan: Plan,
        encoding: EncodingName,
        sink: Sink,
        outbox_limits: OutboxLimits,
        counts: Counts,
    ) -> None:
        self.id = session_id
        self.key_id = key_id
        self.plan = plan
        self.encoding: EncodingName = encoding
        self.sink = sink
        self.outbox = Outbox(outbox_limits, encoding, counts)
        self.commands = Gcra(plan.commands_per_s, plan.commands_burst)
        self.channels: dict[str, Subscription] = {}
        self.group: Group | None = None
        """Those who want the same; None while it wants nothing."""
        self.closing: CloseRow | None = None
        self.sent = 0
        """Messages and notices handed to the socket or the outbox."""
        self.last_sent = -1
        """What `sent` was when the heartbeat was last considered."""
        self.heartbeats = 0

    def deliver(self, message: Message, subscription: Subscription, now_s: float) -> None:
        """A message of one of its channels. The publishing path: takes, conflates or ends."""
        if self.closing is not None:
            return
        self.sent += 1
        outbox = self.outbox
        if not outbox and self.sink.is_ready():
            self.sink.write(message.frame(self.encoding))
            return
        outbox.put(message, subscription.on_lag, now_s, in_place=subscription.is_conflated)
        if outbox.must_close:
            self.end(CLOSES["slow"])
        elif outbox.lag_to_tell():
            lag = Lag(len(outbox), int(outbox.age_s(now_s) * 1_000))
            outbox.put_frame(Notice(lag).frame(self.encoding), now_s)

    def say(self, announcement: Announcement, now_s: float) -> None:
        """A reply or an announcement for this session alone."""
        self.tell(Notice(announcement), now_s)
        if self.outbox.has_too_many_replies:
            self.end(CLOSES["slow"])

    def tell(self, notice: Notice, now_s: float) -> None:
        """An announcement that is shared with others."""
        if self.closing is not None:
            return
        self.sent += 1
        frame = notice.frame(self.encoding)
        if not self.outbox and self.sink.is_ready():
            self.sink.write(frame)
        else:
            self.outbox.put_frame(frame, now_s, notice.seals)

    def take(self, waiting: Sequence[Message | Notice], joined: bytes, now_s: float) -> None:
        """What a flush brought to its group: `joined` is all of `waiting`, framed."""
        if not self.outbox and self.sink.is_ready() and self.closing is None:
            self.sink.write(joined)
            return
        for one in waiting:
            if isinstance(one, Notice):
                self.tell(one, now_s)
            else:
                self.deliver(one, self.channels[one.channel], now_s)

    def replay(self, channel: str, missed: Sequence[Message | Notice], now_s: float) -> None:
        """What it has missed of one channel, before anything new: whole, never conflated."""
        if self.closing is not None or not missed:
            return
        self.sent += len(missed)
        joined = b"".join([one.frame(self.encoding) for one in missed])
        if not self.outbox and self.sink.is_ready():
            self.sink.write(joined)
        else:
            self.outbox.put_frame(joined, now_s, channel)

    def seal(self, channel: str, now_s: float) -> None:
        """What waits of a channel stays as it is: what comes next is told after it."""
        if self.outbox:
            self.outbox.put_frame(b"", now_s, channel)

    def busy(self) -> None:
        """The socket takes no more: until `flush`, the outbox does."""
        if self.group is not None:
            self.group.fast.pop(self, None)

    def flush(self) -> None:
        """The socket takes more again."""
        while self.outbox and self.sink.is_ready() and self.closing is None:
            self.sink.write(b"".join(self.outbox.take(_FLUSH_BYTES)))
        if self.group is not None and self.is_fast():
            self.group.fast[self] = self.sink

    def is_fast(self) -> bool:
        """Whether its socket may be written directly."""
        return (
            self.closing is None
            and self.sink.descriptor >= 0
            and not self.outbox
            and self.sink.is_ready()
        )

    def leaving(self) -> None:
        """The client closes, or is gone: nothing more may be written."""
        self.busy()

    def is_too_slow(self, now_s: float, limit_s: float) -> bool:
        """Whether its outbox has been full for longer than that, or can't keep its promises."""
        if self.outbox:
            self.outbox.look(now_s)
        if self.outbox.must_close:
            return True
        full_since_s = self.outbox.full_since_s
        return full_since_s is not None and now_s - full_since_s >= limit_s

    def end(self, row: CloseRow) -> None:
        """Nothing is sent after this but the close itself. A second end changes nothing."""
        if self.closing is None:
            self.closing = row
            self.busy()
            self.sink.close(row)


_FLUSH_BYTES = 65_536
