"""UTF-8 in text messages: whole, in fragments cut anywhere, and broken in every known way."""

import pytest

from tests.conformance.conftest import Connect
from tests.conformance.raw_peer import (
    BINARY,
    PING,
    PONG,
    TEXT,
    Frame,
    RawPeer,
    close,
    fragments,
    frame,
)

EDGES = [0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFD, 0xFFFE, 0xFFFF]
EDGES += [0x10000, 0x1FFFE, 0x10FFFE, 0x10FFFF]
VALID = ["κόσμε", "€uro 𝄞", "\ufeffbom", *map(chr, EDGES)]

INVALID = {
    "a continuation alone": b"\x80",
    "two continuations": b"a\xbf\xbf",
    "a lead of two alone": b"\xc3",
    "a lead of two and a letter": b"\xc3(",
    "a lead of three cut off": b"\xe2\x82",
    "a lead of three and a letter": b"\xe2\x82a",
    "a lead of four cut off": b"\xf0\x9d\x84",
    "a slash in two bytes": b"\xc0\xaf",
    "a slash in three bytes": b"\xe0\x80\xaf",
    "a slash in four bytes": b"\xf0\x80\x80\xaf",
    "the greatest overlong of two": b"\xc1\xbf",
    "the greatest overlong of three": b"\xe0\x9f\xbf",
    "the greatest overlong of four": b"\xf0\x8f\xbf\xbf",
    "the first surrogate": b"\xed\xa0\x80",
    "the last surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond the last": b"\xf4\x90\x80\x80",
    "a lead that never is": b"\xf5\x80\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "fe": b"\xfe",
    "ff": b"\xff",
}
AROUND = "κό".encode()


@pytest.mark.parametrize("text", VALID, ids=ascii)
def test_text_comes_back_as_it_was(connect: Connect, text: str) -> None:
    with connect() as peer:
        peer.say(frame(TEXT, text.encode()))
        assert peer.hear() == Frame(TEXT, text.encode())


@pytest.mark.parametrize("text", VALID, ids=ascii)
def test_text_may_be_cut_within_a_letter(echo_port: int, text: str) -> None:
    payload = AROUND + text.encode() + AROUND
    with RawPeer(echo_port) as peer:
        for at in range(len(payload) + 1):
            peer.say(*fragments(TEXT, payload[:at], payload[at:]))
            assert peer.hear() == Frame(TEXT, payload)
        peer.say(*fragments(TEXT, *(payload[at : at + 1] for at in range(len(payload)))))
        assert peer.hear() == Frame(TEXT, payload)


@pytest.mark.parametrize("broken", INVALID.values(), ids=INVALID)
def test_text_that_is_no_utf_8_is_answered_with_1007(connect: Connect, broken: bytes) -> None:
    with connect() as peer:
        peer.say(frame(TEXT, AROUND + broken))
        assert [one.close_code for one in peer.hear_all()] == [1007]


@pytest.mark.parametrize("broken", INVALID.values(), ids=INVALID)
def test_text_that_is_no_utf_8_is_answered_with_1007_wherever_it_is_cut(
    echo_port: int, broken: bytes
) -> None:
    payload = AROUND + broken
    for at in range(len(payload) + 1):
        with RawPeer(echo_port) as peer:
            peer.say(*fragments(TEXT, payload[:at], payload[at:]))
            assert [one.close_code for one in peer.hear_all()] == [1007]


@pytest.mark.parametrize("broken", INVALID.values(), ids=INVALID)
def test_binary_need_not_be_utf_8(connect: Connect, broken: bytes) -> None:
    with connect() as peer:
        peer.say(frame(BINARY, broken))
        assert peer.hear() == Frame(BINARY, broken)
        peer.say(close())
        assert [one.close_code for one in peer.hear_all()] == [1000]


def test_nothing_follows_the_close_of_the_server(connect: Connect) -> None:
    with connect() as peer:
        peer.say(frame(PING, b"before"), frame(TEXT, b"\xff"))
        assert peer.hear() == Frame(PONG, b"before")
        goodbye = peer.hear()
        assert goodbye is not None
        assert goodbye.close_code == 1007
        peer.say(frame(PING, b"after"), frame(TEXT, b"good"), frame(0x3))
        assert peer.hear_all() == []
