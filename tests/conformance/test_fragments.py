"""Messages in pieces, and what may and may not come between them."""

import pytest

from tests.conformance.conftest import Connect
from tests.conformance.raw_peer import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Frame,
    RawPeer,
    close,
    fragments,
    frame,
)

PAYLOAD = b"seventeen letters"


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("count", range(1, len(PAYLOAD) + 1))
def test_a_message_in_any_number_of_fragments_comes_back_whole(
    connect: Connect, opcode: int, count: int
) -> None:
    cut = [PAYLOAD[at * len(PAYLOAD) // count :][: len(PAYLOAD) // count] for at in range(count)]
    with connect() as peer:
        peer.say(*fragments(opcode, *cut))
        assert peer.hear() == Frame(opcode, b"".join(cut))


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("payloads", [(b"", b""), (b"", b"x", b""), (b"x", b""), (b"",) * 50])
def test_fragments_may_be_empty(connect: Connect, opcode: int, payloads: tuple[bytes, ...]) -> None:
    with connect() as peer:
        peer.say(*fragments(opcode, *payloads))
        assert peer.hear() == Frame(opcode, b"".join(payloads))


def test_pings_between_fragments_are_answered_before_the_message(connect: Connect) -> None:
    first, second, third = fragments(TEXT, b"one ", b"two ", b"three")
    with connect() as peer:
        peer.say(first, frame(PING, b"a"), second, frame(PONG, b"?"), frame(PING, b"b"), third)
        assert [peer.hear() for _ in range(3)] == [
            Frame(PONG, b"a"),
            Frame(PONG, b"b"),
            Frame(TEXT, b"one two three"),
        ]


OUT_OF_ORDER = {
    "a continuation of nothing": [frame(CONT, b"x")],
    "a continuation of nothing, not the last": [frame(CONT, b"x", fin=False)],
    "a continuation after the last": [*fragments(TEXT, b"x", b"y"), frame(CONT, b"z")],
    "text within a text": [frame(TEXT, b"x", fin=False), frame(TEXT, b"y")],
    "binary within a text": [frame(TEXT, b"x", fin=False), frame(BINARY, b"y")],
    "text within a binary": [frame(BINARY, b"x", fin=False), frame(TEXT, b"y", fin=False)],
    "text within a later fragment": [
        frame(TEXT, b"x", fin=False),
        frame(CONT, b"y", fin=False),
        frame(TEXT, b"z"),
    ],
}


@pytest.mark.parametrize("said", OUT_OF_ORDER.values(), ids=OUT_OF_ORDER)
def test_fragments_out_of_order_are_answered_with_1002(connect: Connect, said: list[bytes]) -> None:
    with connect() as peer:
        peer.say(*said)
        *echoed, goodbye = peer.hear_all()
        assert (goodbye.opcode, goodbye.close_code) == (CLOSE, 1002)
        assert echoed in ([], [Frame(TEXT, b"xy")])


def test_a_close_within_a_fragmented_message_is_a_close(connect: Connect) -> None:
    with connect() as peer:
        peer.say(frame(TEXT, b"never to be ", fin=False), close(1000))
        assert peer.hear_all() == [Frame(CLOSE, b"\x03\xe8")]


def test_many_fragments_of_many_messages_keep_their_order(echo_port: int) -> None:
    messages = [bytes([97 + number % 26]) * number for number in range(200)]
    with RawPeer(echo_port) as peer:
        for message in messages:
            peer.say(*fragments(BINARY, *(message[at : at + 7] for at in range(0, 210, 7))))
        assert [peer.hear() for _ in messages] == [Frame(BINARY, one) for one in messages]
