"""A subscriber's socket that a test opens and shuts, and what came out of it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.access.keys import Holder
from gateway.access.plans import PLANS
from gateway.errors import CloseRow
from gateway.fanout.counts import Counts
from gateway.fanout.fanout import Fanout
from gateway.fanout.frames import unframed
from gateway.fanout.group import Groups
from gateway.fanout.message import Message, Notice
from gateway.fanout.outbox import OutboxLimits
from gateway.fanout.session import Session, Sink
from gateway.protocol import EncodingName, SessionId

ROOMY = OutboxLimits(bytes_max=1_048_576, messages_max=2_000, age_max_s=5.0)


class Tap:
    """A Sink that takes `writes_left` writes; None: any number."""

    def __init__(self, writes_left: int | None = None) -> None:
        self.writes_left = writes_left
        self.descriptor = -1
        self.writes: list[bytes] = []
        self.closed: CloseRow | None = None

    def is_ready(self) -> bool:
        return self.writes_left is None or self.writes_left > 0

    def write(self, frames: bytes) -> None:
        assert self.closed is None, "nothing may be written after a close"
        self.writes.append(frames)
        if self.writes_left is not None:
            self.writes_left = max(0, self.writes_left - 1)

    def close(self, row: CloseRow) -> None:
        self.closed = row

    def heard(self, encoding: EncodingName = "json") -> list[dict[str, Any]]:
        """All messages so far, in the order of the wire."""
        decode = msgspec.json.decode if encoding == "json" else msgspec.msgpack.decode
        return [decode(payload) for frames in self.writes for payload in unframed(frames)]

    def heard_of(self, channel: str) -> list[dict[str, Any]]:
        """Data and announcements of one channel, states aside."""
        told = [message for message in self.heard() if message.get("ch") == channel]
        return [message for message in told if message.get("type") != "state"]


class Joined(Fanout):
    """As in the product: nothing is sent before a flush."""

    def __init__(self) -> None:
        super().__init__(_no_descriptors, Counts())


class Unjoined(Joined):
    """Sends at once what the product joins with what comes next."""

    def send(self, groups: Groups, one: Message | Notice) -> None:
        super().send(groups, one)
        self.flush(0.0)


def _no_descriptors(sinks: Sequence[Sink], frames: bytes) -> None:
    raise AssertionError("a Tap has no descriptor to be written to")


def session_on(
    tap: Tap, limits: OutboxLimits = ROOMY, encoding: EncodingName = "json", name: str = "s"
) -> Session:
    return Session(
        SessionId(name),
        holder=Holder("testkey1", "pro"),
        plan=PLANS["pro"],
        encoding=encoding,
        sink=tap,
        outbox_limits=limits,
        counts=Counts(),
    )
