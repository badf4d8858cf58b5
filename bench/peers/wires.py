"""How a tick is handed to each kind of server: its bytes, and what to say first. Pure.

What subscribers get is the same everywhere, about 190 bytes of JSON. Tickgate makes it of a
publication; to the others it is published as it is.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from feeds.market.bus_names import topic

_PUBLICATION: Final = (
    b'%b %d - {"px":"68900.50","sz":"0.00150000","side":"buy","id":"995098%06d",'
    b'"t":%d,"rx":%d,"tx":%d}'
)
_MESSAGE: Final = (
    b'{"ch":"%b","seq":%d,"px":"68900.50","sz":"0.00150000","side":"buy","id":"995098%06d",'
    b'"t":%d,"rx":%d,"tx":%d,"gw":%d}'
)

Encode = Callable[[str, int, int], bytes]
"""Of a channel, a seq and the moment when the tick is due, microseconds."""


class Wire(NamedTuple):
    """A way of publishing."""

    greeting: bytes
    """What the publisher says once, before the first tick."""
    encode: Encode


def message(channel: str, seq: int, due_us: int) -> bytes:
    """What a subscriber gets, of which every stamp is made up but `tx`."""
    stamps = (due_us - 900, due_us - 200, due_us, due_us)
    return _MESSAGE % (channel.encode(), seq, seq, *stamps)


def _resp(*words: bytes) -> bytes:
    parts = b"".join(b"$%d\r\n%b\r\n" % (len(one), one) for one in words)
    return b"*%d\r\n%b" % (len(words), parts)


_NO_REPLIES: Final = _resp(b"CLIENT", b"REPLY", b"OFF")


def _to_redis(channel: str, seq: int, due_us: int) -> bytes:
    return _resp(b"PUBLISH", channel.encode(), message(channel, seq, due_us))


def _to_tickgate(epoch: bytes) -> Encode:
    def encode(channel: str, seq: int, due_us: int) -> bytes:
        stamps = (due_us - 900, due_us - 200, due_us)
        publication = _PUBLICATION % (epoch, seq, seq, *stamps)
        return _resp(b"PUBLISH", topic(channel).encode(), publication)

    return encode


def _to_nats(channel: str, seq: int, due_us: int) -> bytes:
    text = message(channel, seq, due_us)
    return b"PUB %b %d\r\n%b\r\n" % (channel.encode(), len(text), text)


def _to_mqtt(channel: str, seq: int, due_us: int) -> bytes:
    text = message(channel, seq, due_us)
    return mqtt_packet(0x30, b"%b%b%b" % (len(channel).to_bytes(2), channel.encode(), text))


def mqtt_packet(kind: int, body: bytes) -> bytes:
    size, left = bytearray(), len(body)
    while left > 127:
        size.append(left & 127 | 128)
        left >>= 7
    size.append(left)
    return bytes((kind,)) + bytes(size) + body


def _to_nchan(channel: str, seq: int, due_us: int) -> bytes:
    text = message(channel, seq, due_us)
    head = b"POST /pub?id=%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
    return head % (channel.encode(), len(text)) + text


def _to_centrifugo(channel: str, seq: int, due_us: int) -> bytes:
    text = b'{"channel":"%b","data":%b}' % (channel.encode(), message(channel, seq, due_us))
    head = b"POST /api/publish HTTP/1.1\r\nHost: a\r\nX-API-Key: bench\r\nContent-Length: %d\r\n"
    return head % len(text) + b"Content-Type: application/json\r\n\r\n" + text


def wires(epoch: bytes) -> Mapping[str, Wire]:
    """All ways, by name. A gateway that saw another epoch is told that numbering began anew."""
    # MQTT 3.1.1, clean session, no keep-alive, a client named "p".
    mqtt_connect = mqtt_packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x00\x00\x01p")
    return {
        "tickgate": Wire(_NO_REPLIES, _to_tickgate(epoch)),
        "redis": Wire(_NO_REPLIES, _to_redis),
        "nats": Wire(b'CONNECT {"verbose":false,"pedantic":false}\r\n', _to_nats),
        "mqtt": Wire(mqtt_connect, _to_mqtt),
        "nchan": Wire(b"", _to_nchan),
        "centrifugo": Wire(b"", _to_centrifugo),
    }
