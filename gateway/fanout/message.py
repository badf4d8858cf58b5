"""What subscribers are sent: encoded and framed once per encoding, however many they are."""

from collections.abc import Sequence

import msgspec

from feeds.market.channel import Conflation
from gateway.fanout.frames import frame
from gateway.fanout.tally import Tally, sum_of, tally_of
from gateway.protocol import Announcement, EncodingName, Gap, Reset, encode

_RESERVED = frozenset(("ch", "seq", "gw", "n", "type"))
"""What the gateway adds, and what tells its announcements from data."""
_SPARE_LEVELS = 50
"""The limit of nesting is one of the whole stack, which is deeper elsewhere than where we look."""

_decode_json = msgspec.json.Decoder(dict[str, object]).decode
_encode_msgpack = msgspec.msgpack.Encoder().encode


class Notice:
    """An announcement for any number of sessions."""

    __slots__ = ("_frames", "announcement", "seals")

    def __init__(self, announcement: Announcement) -> None:
        self.announcement = announcement
        self.seals = announcement.ch if isinstance(announcement, Gap | Reset) else ""
        """The channel whose order it is part of."""
        self._frames: dict[EncodingName, bytes] = {}

    def frame(self, encoding: EncodingName) -> bytes:
        framed = self._frames.get(encoding)
        if framed is None:
            framed = frame(encode(self.announcement, encoding), encoding)
            self._frames[encoding] = framed
        return framed


class Message:
    """One publication of one channel, with `ch`, `seq` and `gw` spliced into its payload.

    Or what stands for several, one after the other: then it carries `n`, their number.
    """

    __slots__ = ("_json", "_msgpack", "channel", "count", "gw_us", "payload", "seq")

    def __init__(
        self, channel: str, seq: int, payload: bytes, gw_us: int, *, count: int = 1
    ) -> None:
        self.channel = channel
        self.seq = seq
        """The newest that it stands for."""
        self.payload = payload
        self.gw_us = gw_us
        self.count = count
        # Two slots and no dict: histories keep many of these.
        self._json: bytes | None = None
        self._msgpack: bytes | None = None

    @property
    def before(self) -> int:
        """The seq before the first that it stands for."""
        return self.seq - self.count

    def frame(self, encoding: EncodingName) -> bytes:
        if encoding == "json":
            if self._json is None:
                self._json = frame(self._spliced(), encoding)
            return self._json
        if self._msgpack is None:
            self._msgpack = frame(_encode_msgpack(_decode_json(self._spliced())), encoding)
        return self._msgpack

    def merged(self, newer: "Message") -> "Message":
        """What stands for both; `newer` is of the same channel, and the next."""
        return self.joined((newer,))

    def joined(self, newer: Sequence["Message"]) -> "Message":
        """What stands for this and those; they follow, each the next of the one before it."""
        if not newer:
            return self
        last = newer[-1]
        count = self.count + sum(one.count for one in newer)
        return Message(last.channel, last.seq, last.payload, last.gw_us, count=count)

    def _body(self) -> bytes:
        """The payload as it is sent."""
        return self.payload

    def _spliced(self) -> bytes:
        inside = self._body()[1:-1].strip()
        return b'{"ch":"%b","seq":%d,%b%b"gw":%d%b}' % (
            self.channel.encode(),
            self.seq,
            inside,
            b"," if inside else b"",
            self.gw_us,
            b',"n":%d' % self.count if self.count > 1 else b"",
        )


class TradeMessage(Message):
    """A trade; or several trades as one, of which no volume is lost."""

    __slots__ = ("_tally",)

    def __init__(
        self,
        channel: str,
        seq: int,
        payload: bytes,
        gw_us: int,
        *,
        count: int = 1,
        tally: Tally | None = None,
    ) -> None:
        super().__init__(channel, seq, payload, gw_us, count=count)
        self._tally = tally

    @property
    def tally(self) -> Tally | None:
        """None where the payload is no trade that can be counted."""
        if self._tally is None:
            self._tally = tally_of(self.payload)
        return self._tally

    def joined(self, newer: Sequence[Message]) -> Message:
        if not newer:
            return self
        tallies = [one.tally if isinstance(one, TradeMessage) else None for one in (self, *newer)]
        known = [tally for tally in tallies if tally is not None]
        if len(known) < len(tallies):
            return super().joined(newer)
        last = newer[-1]
        count = self.count + sum(one.count for one in newer)
        return TradeMessage(
            last.channel, last.seq, last.payload, last.gw_us, count=count, tally=sum_of(known)
        )

    def _body(self) -> bytes:
        if self._tally is None or self.count == 1:
            return self.payload
        return self._tally.payload(self.payload)


MESSAGES: dict[Conflation | None, type[Message]] = {
    None: Message,
    "newest": Message,
    "tally": TradeMessage,
}
"""How the messages of a kind of channel are conflated."""


def is_sound(payload: bytes) -> bool:
    """Whether a payload of a publisher that isn't ours is a JSON object that we may splice into,
    and that every encoding can carry."""
    try:
        decoded = _decode_json(payload)
        nested: object = decoded
        for _ in range(_SPARE_LEVELS):
            nested = [nested]
        _encode_msgpack(nested)
    except (msgspec.DecodeError, RecursionError, ValueError, OverflowError):
        # OverflowError: msgpack has no integers of more than 64 bits, JSON has.
        return False
    return _RESERVED.isdisjoint(decoded)
