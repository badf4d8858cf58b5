"""WebSocket frames of a server (RFC 6455, 5.2): unmasked, so the bytes are equal for everyone."""

from collections.abc import Iterator

from gateway.protocol import EncodingName

_FIN_TEXT = 0x81
_FIN_BINARY = 0x82
OPCODES: dict[EncodingName, int] = {"json": _FIN_TEXT, "msgpack": _FIN_BINARY}


def frame(payload: bytes, encoding: EncodingName) -> bytes:
    """One whole message, header and payload, ready for the socket."""
    first, size = OPCODES[encoding], len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return b"%c\x7e%b%b" % (first, size.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (first, size.to_bytes(8, "big"), payload)


def unframed(frames: bytes) -> Iterator[bytes]:
    """The payloads of frames that `frame` made, for servers that frame by themselves."""
    at = 0
    while at < len(frames):
        size, at = frames[at + 1], at + 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size, at = int.from_bytes(frames[at : at + width], "big"), at + width
        yield frames[at : at + size]
        at += size
