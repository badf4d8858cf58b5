"""Bytes of a WebSocket client: sound frames, frames that break a rule, and sound ones spoilt."""

from collections.abc import Callable
from random import Random

from tests.conformance.raw_peer import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame

_TEXTS = [b"", b"hello", "κόσμε 𝄞".encode(), b'{"op":"ping","id":1}', b"x" * 126, b"y" * 700]
_NO_TEXTS = [b"\xff", b"\xed\xa0\x80", b"ab\xc3", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\x80"]
_CODES = [0, 999, 1000, 1001, 1004, 1005, 1006, 1009, 1011, 1014, 1015, 2999, 3000, 4999, 65_535]
_MASKS = [b"\0\0\0\0", b"\x1b\xf2\x03\xe4", b"\xff\xff\xff\xff"]


def _message(chance: Random) -> bytes:
    return frame(*_data(chance), mask=chance.choice(_MASKS))


def _data(chance: Random) -> tuple[int, bytes]:
    if chance.random() < 0.5:
        return BINARY, chance.randbytes(chance.choice((0, 1, 3, 125, 126, 400)))
    texts = _NO_TEXTS if chance.random() < 0.05 else _TEXTS
    return TEXT, chance.choice(texts)


def _fragmented(chance: Random) -> bytes:
    opcode, payload = _data(chance)
    count = chance.randint(1, 6)
    cuts = sorted(chance.choices(range(len(payload) + 1), k=count))
    said = frame(opcode, payload[: cuts[0]], fin=False)
    for start, end in zip(cuts, [*cuts[1:], len(payload)], strict=True):
        if chance.random() < 0.2:
            said += _control(chance)
        said += frame(CONT, payload[start:end], fin=end == len(payload))
        if end == len(payload) and chance.random() < 0.9:
            break
    return said


def _control(chance: Random) -> bytes:
    size = chance.choice((0, 1, 4, 125))
    return frame(chance.choice((PING, PING, PONG)), chance.randbytes(size))


def _close(chance: Random) -> bytes:
    code = chance.choice(_CODES).to_bytes(2, "big")
    body = chance.choice((b"", code, code, code + b"bye", code + b"\xff", code[:1]))
    return frame(CLOSE, body)


def _unruly(chance: Random) -> bytes:
    """A frame whose head may say anything."""
    return frame(
        chance.randrange(16),
        chance.randbytes(chance.choice((0, 1, 2, 20, 125, 126, 130))),
        fin=chance.random() < 0.7,
        reserved=chance.choice((0, 0, 0, 1, 4, 7)),
        mask=None if chance.random() < 0.2 else chance.choice(_MASKS),
    )


def _too_long(chance: Random) -> bytes:
    length = chance.choice((2**25 + 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1))
    return bytes((0x80 | chance.choice((TEXT, BINARY)), 0xFF)) + length.to_bytes(8, "big")


def _spoilt(chance: Random) -> bytes:
    said = bytearray(_message(chance))
    for _ in range(chance.randint(1, 3)):
        said[chance.randrange(len(said))] = chance.randrange(256)
    return bytes(said)


def _noise(chance: Random) -> bytes:
    return chance.randbytes(chance.randint(1, 40))


_PARTS: list[tuple[Callable[[Random], bytes], int]] = [
    (_message, 40),
    (_fragmented, 25),
    (_control, 20),
    (_close, 4),
    (_unruly, 5),
    (_too_long, 1),
    (_spoilt, 3),
    (_noise, 2),
]


def frames(chance: Random) -> bytes:
    """One input: one to five of these, seldom cut off."""
    kinds, weights = zip(*_PARTS, strict=True)
    said = b"".join(part(chance) for part in chance.choices(kinds, weights, k=chance.randint(1, 5)))
    return said[: chance.randrange(len(said))] if said and chance.random() < 0.02 else said
