"""The gateway's own limit: 64 KiB a message, in whatever pieces; and what doesn't count to it."""

import asyncio

import pytest

from tests.conformance.raw_peer import (
    BINARY,
    CONT,
    PING,
    PONG,
    TEXT,
    Frame,
    RawPeer,
    fragments,
    frame,
)
from tests.gateway_server import GatewayServer

LIMIT = 65_536
PIECE = b"x" * 16_384


def connected(gateway: GatewayServer) -> RawPeer:
    """To the stream, and welcomed."""
    peer = RawPeer(gateway.port, "/v1/stream", f"X-API-Key: {gateway.key}\r\n")
    welcome = peer.hear()
    assert welcome is not None
    assert welcome.payload.startswith(b'{"type":"welcome"')
    return peer


def heard_after(gateway: GatewayServer, *said: bytes) -> list[Frame]:
    with connected(gateway) as peer:
        peer.say(*said)
        return peer.hear_all()


TOO_BIG = {
    "in one frame": [frame(TEXT, b"x" * (LIMIT + 1))],
    "by its head alone": [b"\x81\xff" + (LIMIT + 1).to_bytes(8, "big")],
    "by the head of 2^62 bytes": [b"\x82\xff" + (2**62).to_bytes(8, "big")],
    "in five fragments": fragments(TEXT, PIECE, PIECE, PIECE, PIECE, b"x"),
    "binary, in five fragments": fragments(BINARY, PIECE, PIECE, PIECE, PIECE, b"x"),
    "in fragments that never end": [
        frame(TEXT, PIECE, fin=False),
        *[frame(CONT, PIECE, fin=False)] * 8,
    ],
}


@pytest.mark.parametrize("said", TOO_BIG.values(), ids=TOO_BIG)
async def test_more_than_64_kib_is_answered_with_1009(
    gateway: GatewayServer, said: list[bytes]
) -> None:
    heard = await asyncio.to_thread(heard_after, gateway, *said)
    assert [one.close_code for one in heard] == [1009]


@pytest.mark.parametrize("count", [1, 2, 64])
async def test_64_kib_are_heard_in_fragments_too(gateway: GatewayServer, count: int) -> None:
    command = b'{"op":"ping","id":"' + b"x" * (LIMIT - 21) + b'"}'
    assert len(command) == LIMIT
    size = LIMIT // count

    def answer() -> Frame | None:
        with connected(gateway) as peer:
            peer.say(*fragments(TEXT, *(command[at : at + size] for at in range(0, LIMIT, size))))
            return peer.hear()

    heard = await asyncio.to_thread(answer)
    assert heard is not None
    assert heard.payload.startswith(b'{"type":"pong"')


async def test_a_ping_within_a_message_counts_not_to_its_size(gateway: GatewayServer) -> None:
    start, _ = fragments(TEXT, b"x" * LIMIT, b"")

    def answer() -> Frame | None:
        with connected(gateway) as peer:
            peer.say(start, frame(PING, b"still here?"))
            return peer.hear()

    assert await asyncio.to_thread(answer) == Frame(PONG, b"still here?")
