"""What subscribers are sent: encoded and framed once per encoding, however many they are."""

import msgspec

from feeds.market import Publication
from gateway.frames import frame
from gateway.protocol import Announcement, EncodingName, Gap, Reset, encode

_RESERVED = frozenset(("ch", "seq", "gw", "type"))
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
    """One publication of one channel, with `ch`, `seq` and `gw` spliced into its payload."""

    __slots__ = ("_frames", "channel", "gw_us", "payload", "seq")

    def __init__(self, channel: str, publication: Publication, gw_us: int) -> None:
        self.channel = channel
        self.seq = publication.seq
        self.payload = publication.payload
        self.gw_us = gw_us
        self._frames: dict[EncodingName, bytes] = {}

    def frame(self, encoding: EncodingName) -> bytes:
        framed = self._frames.get(encoding)
        if framed is None:
            framed = self._frames[encoding] = self._framed(encoding, b"%d" % self.gw_us)
        return framed

    def standing_for(self, count: int, encoding: EncodingName) -> bytes:
        """The frame of a message that stands for `count`, itself included: it carries `n`."""
        if count == 1:
            return self.frame(encoding)
        return self._framed(encoding, b'%d,"n":%d' % (self.gw_us, count))

    def _framed(self, encoding: EncodingName, ending: bytes) -> bytes:
        inside = self.payload[1:-1].strip()
        text = b'{"ch":"%b","seq":%d,%b%b"gw":%b}' % (
            self.channel.encode(),
            self.seq,
            inside,
            b"," if inside else b"",
            ending,
        )
        if encoding == "json":
            return frame(text, encoding)
        return frame(_encode_msgpack(_decode_json(text)), encoding)


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
