"""Heads of frames: lengths, masks, reserved bits, opcodes, and the upgrade before them all."""

import base64
import hashlib
import socket

import pytest

from tests.conformance.conftest import Connect
from tests.conformance.raw_peer import BINARY, CLOSE, TEXT, Frame, RawPeer, close, frame

SIZES = [0, 1, 2, 125, 126, 127, 128, 255, 256, 65_535, 65_536, 65_537, 200_000]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", SIZES)
def test_a_message_of_any_size_comes_back_whole(echo_port: int, opcode: int, size: int) -> None:
    payload = b"*" * size
    with RawPeer(echo_port) as peer:
        peer.say(frame(opcode, payload))
        assert peer.hear() == Frame(opcode, payload)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 600])
def test_a_message_comes_back_whole_however_it_arrives(connect: Connect, size: int) -> None:
    with connect() as peer:
        peer.say(frame(BINARY, bytes(range(256)) * 3), frame(TEXT, b"x" * size))
        assert peer.hear() == Frame(BINARY, bytes(range(256)) * 3)
        assert peer.hear() == Frame(TEXT, b"x" * size)
        peer.say(close())
        assert [one.close_code for one in peer.hear_all()] == [1000]


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x00\x01\x02\x03"])
def test_any_mask_is_taken_off(connect: Connect, mask: bytes) -> None:
    with connect() as peer:
        peer.say(frame(TEXT, b"masked as you like", mask=mask))
        assert peer.hear() == Frame(TEXT, b"masked as you like")


BROKEN = {
    "text without a mask": frame(TEXT, b"hello", mask=None),
    "empty text without a mask": frame(TEXT, mask=None),
    "close without a mask": frame(CLOSE, b"\x03\xe8", mask=None),
    **{f"reserved bits {bits}": frame(TEXT, b"hello", reserved=bits) for bits in range(1, 8)},
    **{f"reserved bits {bits} of a ping": frame(9, b"hello", reserved=bits) for bits in (1, 4)},
    **{f"reserved bits {bits} of a close": frame(8, reserved=bits) for bits in (1, 4)},
    **{f"opcode {opcode}": frame(opcode) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    **{f"opcode {opcode} with payload": frame(opcode, b"hello") for opcode in (3, 7, 11, 15)},
}


@pytest.mark.parametrize("said", BROKEN.values(), ids=BROKEN)
def test_a_frame_that_breaks_the_protocol_is_answered_with_1002(
    connect: Connect, said: bytes
) -> None:
    with connect() as peer:
        peer.say(frame(TEXT, b"good"))
        assert peer.hear() == Frame(TEXT, b"good")
        peer.say(said, frame(TEXT, b"not heard any more"))
        [goodbye] = peer.hear_all()
        assert (goodbye.opcode, goodbye.close_code) == (CLOSE, 1002)


LONGER_THAN_NEEDED = [(0, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65_535, 8)]


@pytest.mark.parametrize(("size", "width"), LONGER_THAN_NEEDED)
def test_a_length_in_more_bytes_than_needed_is_answered_with_1002(
    echo_port: int, size: int, width: int
) -> None:
    with RawPeer(echo_port) as peer:
        peer.say(frame(BINARY, bytes(size), width=width), close())
        assert [one.close_code for one in peer.hear_all()] == [1002]


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**63 - 1])
def test_a_length_that_nobody_can_send_is_refused_by_its_head_alone(
    connect: Connect, length: int
) -> None:
    with connect() as peer:
        peer.say(b"\x82\xff" + length.to_bytes(8, "big"))
        assert [one.close_code for one in peer.hear_all()] in ([1009], [1002])


def test_the_upgrade_is_answered_with_the_hash_of_its_key(echo_port: int) -> None:
    nonce = base64.b64encode(b"sixteen bytes it")
    assert len(nonce) == 24
    answer = answered(
        echo_port,
        b"GET / HTTP/1.1\r\nHost: test\r\nupgrade: WebSocket\r\nconnection: keep-alive, Upgrade\r\n"
        b"sec-websocket-key: " + nonce + b"\r\nsec-websocket-version: 13\r\n\r\n",
    )
    proof = hashlib.sha1(nonce + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    status, _, headers = answer.partition(b"\r\n")
    assert status == b"HTTP/1.1 101 Switching Protocols"
    assert b"sec-websocket-accept: " + base64.b64encode(proof).lower() in headers.lower()
    assert b"sec-websocket-extensions" not in headers.lower()


_KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
_VERSION = b"Sec-WebSocket-Version: 13\r\n"
BAD_UPGRADES = {
    "no key": _VERSION,
    "two keys": _KEY + _KEY + _VERSION,
    "a short key": b"Sec-WebSocket-Key: c2hvcnQ=\r\n" + _VERSION,
    "a key that is no base64": b"Sec-WebSocket-Key: ***\r\n" + _VERSION,
    "no version": _KEY,
    "an old version": _KEY + b"Sec-WebSocket-Version: 8\r\n",
}


@pytest.mark.parametrize("headers", BAD_UPGRADES.values(), ids=BAD_UPGRADES)
def test_an_upgrade_that_is_none_is_refused(echo_port: int, headers: bytes) -> None:
    head = b"GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    answer = answered(echo_port, head + headers + b"\r\n")
    assert 400 <= int(answer.split()[1]) < 500


def answered(port: int, head: bytes) -> bytes:
    """The head of the answer."""
    with socket.create_connection(("127.0.0.1", port), 10) as one:
        one.sendall(head)
        heard = b""
        while b"\r\n\r\n" not in heard:
            more = one.recv(65_536)
            assert more, f"no whole answer: {heard!r}"
            heard += more
    return heard
