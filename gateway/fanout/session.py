"""One subscriber: its subscriptions, its outbox, its socket as a Sink. Pure and synchronous.

The only place that writes to a subscriber: replies, data and notices leave in one order.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from gateway.access.keys import Holder
from gateway.access.limits import Budget
from gateway.access.plans import Plan
from gateway.access.usage import Traffic
from gateway.errors import CLOSES, CloseRow
from gateway.fanout.counts import Counts
from gateway.fanout.flush import Flush
from gateway.fanout.message import Message, Notice
from gateway.fanout.outbox import Outbox, OutboxLimits, Taken
from gateway.fanout.subscription import Subscription
from gateway.protocol import Announcement, EncodingName, Lag, SessionId

if TYPE_CHECKING:
    from gateway.fanout.group import Group


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


class Session:
    """A subscriber who has shown a key."""

    __slots__ = (
        "budget",
        "channels",
        "closing",
        "encoding",
        "grant",
        "group",
        "heartbeats",
        "holder",
        "id",
        "last_sent",
        "opened_s",
        "outbox",
        "plan",
        "sent",
        "settled_bytes",
        "settled_sent",
        "sink",
        "traffic",
    )

    def __init__(
        self,
        session_id: SessionId,
        *,
        holder: Holder,
        plan: Plan,
        encoding: EncodingName,
        sink: Sink,
        outbox_limits: OutboxLimits,
        counts: Counts,
        opened_s: float = 0.0,
    ) -> None:
        self.id = session_id
        self.holder = holder
        self.plan = plan
        self.grant = plan.grant(holder.channels)
        """The channels that it may see."""
        self.encoding: EncodingName = encoding
        self.sink = sink
        self.channels: dict[str, Subscription] = {}
        self.outbox = Outbox(outbox_limits, encoding, counts, self.channels)
        self.group: Group | None = None
        """Those who want the same; None while it wants nothing."""
        self.closing: CloseRow | None = None
        self.opened_s = opened_s
        self.budget = Budget(plan.messages_per_s, 0.0) if plan.messages_per_s else None
        """What its plan allows it to be sent; replies are not counted. None: anything."""
        self.traffic = Traffic()
        """What it was sent and has asked, since that was last taken down."""
        self.settled_sent = self.settled_bytes = 0
        """While it is among its group's fast: what the group's were when it was settled."""
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
        may_send = self.budget is None or self.budget.left(now_s) > 0
        if may_send and not outbox and self.sink.is_ready():
            self._write(message.frame(self.encoding), 1)
            self._spend(1)
            return
        if not may_send:
            outbox.throttle()
        outbox.put(message, subscription.on_lag, now_s, in_place=subscription.is_conflated)
        self._judge(now_s)

    def _judge(self, now_s: float) -> None:
        """What comes of what its outbox was given."""
        outbox = self.outbox
        if outbox.must_close:
            self.end(CLOSES["rate" if outbox.is_throttled else "slow"])
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
            self._write(frame, 1)
        else:
            self.outbox.put_frame(frame, now_s, notice.seals)

    def take(self, flush: Flush, now_s: float, *, in_order: bool) -> None:
        """What a flush brought to its group.

        `in_order`: the group has no subscription of which the newest is enough.
        """
        if self.closing is not None:
            return
        waiting = flush.batch
        outbox, left = self.outbox, len(waiting)
        if self.budget is not None:
            left = self.budget.left(now_s)
        if not outbox and self.sink.is_ready():
            if left >= len(waiting):
                self._write(flush.frames, len(waiting))
                self._spend(len(waiting))
                return
        elif in_order and left > 0 and not outbox.is_throttled:
            self.sent += len(waiting)
            outbox.put_flush(flush, now_s)
            self._judge(now_s)
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
            self._write(joined, len(missed))
            # Also where that is more than the plan allows: what comes later pays it back.
            self._spend(len(missed))
        else:
            self.outbox.put_frame(joined, now_s, channel)

    def seal(self, channel: str, now_s: float) -> None:
        """What waits of a channel stays as it is: what comes next is told after it."""
        if self.outbox:
            self.outbox.put_frame(b"", now_s, channel)

    def busy(self) -> None:
        """The socket takes no more: until `flush`, the outbox does."""
        if self.group is not None:
            self.group.slow_down(self)

    def flush(self) -> None:
        """The socket takes more again. What waits for the budget goes on waiting."""
        if self.outbox.is_throttled:
            return
        while self.outbox and self.sink.is_ready() and self.closing is None:
            self._write_out(self.outbox.take(_FLUSH_BYTES))
        if self.group is not None:
            self.group.hasten(self)

    def release(self, now_s: float) -> None:
        """Sends of what waits for the budget as much as that allows again."""
        outbox = self.outbox
        while outbox.is_throttled and self.sink.is_ready() and self.closing is None:
            taken = outbox.take(_FLUSH_BYTES, self.budget_left(now_s))
            if not taken.messages:
                break
            self._write_out(taken)
        self.flush()

    def budget_left(self, now_s: float) -> int:
        """For a session that has a budget."""
        assert self.budget is not None
        return self.budget.left(now_s)

    def settle(self, sent: int, sent_bytes: int) -> None:
        """Counts what the fast path has sent it; these are its group's."""
        count = sent - self.settled_sent
        self.traffic.messages += count
        self.traffic.bytes += sent_bytes - self.settled_bytes
        self.settled_sent, self.settled_bytes = sent, sent_bytes
        self._spend(count)

    def take_traffic(self) -> Traffic:
        """What has come together since the last time."""
        if self.group is not None:
            self.group.settle(self)
        taken, self.traffic = self.traffic, Traffic()
        return taken

    def _write_out(self, taken: Taken) -> None:
        self._write(b"".join(taken.frames), taken.messages)
        self._spend(taken.messages)

    def _write(self, frames: bytes, count: int) -> None:
        self.traffic.messages += count
        self.traffic.bytes += len(frames)
        self.sink.write(frames)

    def _spend(self, count: int) -> None:
        if self.budget is not None:
            self.budget.spend(count)

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
        # What waits for the budget is not old by the client's doing, while its socket takes more.
        if self.outbox and not (self.outbox.is_throttled and self.sink.is_ready()):
            self.outbox.look(now_s)
        if self.outbox.must_close:
            return True
        full_since_s = self.outbox.full_since_s
        return full_since_s is not None and now_s - full_since_s >= limit_s

    def is_too_old(self, now_s: float) -> bool:
        """Whether its plan asks it to come back anew."""
        age_max_s = self.plan.connection_age_max_s
        return age_max_s > 0 and now_s - self.opened_s >= age_max_s

    def end(self, row: CloseRow) -> None:
        """Nothing is sent after this but the close itself. A second end changes nothing."""
        if self.closing is None:
            self.closing = row
            self.busy()
            self.sink.close(row)


_FLUSH_BYTES = 65_536
