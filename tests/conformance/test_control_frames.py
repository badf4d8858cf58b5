"""Pings, pongs and closes: what they may carry, and how they are answered."""

import pytest

from tests.conformance.conftest import Connect
from tests.conformance.raw_peer import CLOSE, PING, PONG, TEXT, Frame, RawPeer, close, frame


@pytest.mark.parametrize("size", range(126))
def test_a_ping_is_answered_with_its_own_payload(echo_port: int, size: int) -> None:
    payload = bytes(range(255, 255 - size, -1))
    with RawPeer(echo_port) as peer:
        peer.say(frame(PING, payload))
        assert peer.hear() == Frame(PONG, payload)


def test_pings_are_answered_in_order_however_they_arrive(connect: Connect) -> None:
    payloads = [str(number).encode() for number in range(100)]
    with connect() as peer:
        peer.say(*(frame(PING, payload) for payload in payloads))
        assert [peer.hear() for _ in payloads] == [Frame(PONG, payload) for payload in payloads]


def test_a_pong_that_nobody_asked_for_is_passed_over(connect: Connect) -> None:
    with connect() as peer:
        peer.say(frame(PONG), frame(PONG, b"unasked"), frame(PING, b"asked"))
        assert peer.hear() == Frame(PONG, b"asked")


TOO_MUCH = {
    **{
        f"{name} of {size} bytes": frame(opcode, b"x" * size)
        for name, opcode in (("ping", PING), ("pong", PONG))
        for size in (126, 127, 65_536)
    },
    "close of 126 bytes": close(1000, b"x" * 124),
    "a ping in two": frame(PING, b"x", fin=False),
    "a pong in two": frame(PONG, b"x", fin=False),
    "a close in two": frame(CLOSE, b"\x03\xe8", fin=False),
    "a ping in two within a message": frame(TEXT, b"x", fin=False) + frame(PING, fin=False),
}


@pytest.mark.parametrize("said", TOO_MUCH.values(), ids=TOO_MUCH)
def test_a_control_frame_too_long_or_in_pieces_is_answered_with_1002(
    echo_port: int, said: bytes
) -> None:
    with RawPeer(echo_port) as peer:
        peer.say(said)
        assert [one.close_code for one in peer.hear_all()] == [1002]


LEGAL = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014]
LEGAL += [3000, 3001, 3999, 4000, 4001, 4999]


@pytest.mark.parametrize("code", LEGAL)
@pytest.mark.parametrize("reason", [b"", b"enough", "genug für heute".encode(), b"x" * 123])
def test_a_close_is_answered_with_its_own_code(connect: Connect, code: int, reason: bytes) -> None:
    with connect() as peer:
        peer.say(close(code, reason))
        [goodbye] = peer.hear_all()
        assert (goodbye.opcode, goodbye.close_code) == (CLOSE, code)


ILLEGAL = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]


@pytest.mark.parametrize("code", ILLEGAL)
def test_a_close_with_a_code_that_may_not_be_sent_is_answered_with_1002(
    connect: Connect, code: int
) -> None:
    with connect() as peer:
        peer.say(close(code))
        assert [one.close_code for one in peer.hear_all()] == [1002]


def test_an_empty_close_is_answered(connect: Connect) -> None:
    with connect() as peer:
        peer.say(close(None))
        [goodbye] = peer.hear_all()
        assert goodbye.opcode == CLOSE
        assert goodbye.payload in (b"", b"\x03\xe8")


def test_a_close_of_one_byte_is_answered_with_1002(connect: Connect) -> None:
    with connect() as peer:
        peer.say(frame(CLOSE, b"\x03"))
        assert [one.close_code for one in peer.hear_all()] == [1002]


@pytest.mark.parametrize("reason", [b"\xff", b"abc\xce", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])
def test_a_close_whose_reason_is_no_utf_8_is_answered_with_1007(
    connect: Connect, reason: bytes
) -> None:
    with connect() as peer:
        peer.say(close(1000, reason))
        assert [one.close_code for one in peer.hear_all()] == [1007]


@pytest.mark.parametrize("after", [frame(TEXT, b"x"), frame(PING, b"x"), close(1001), b"\xff" * 9])
def test_what_follows_a_close_is_not_heard(connect: Connect, after: bytes) -> None:
    with connect() as peer:
        peer.say(close(1000), after)
        assert peer.hear_all() == [Frame(CLOSE, b"\x03\xe8")]
