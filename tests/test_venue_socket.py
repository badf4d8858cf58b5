"""A venue's socket: whole messages in order, however its bytes are cut, and the library's rules."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, Frame, Opcode

from feeds.settings import ConnectionSettings
from feeds.venue_socket import VenueSocket, lost, open_socket
from tests.raw_venue import RawVenue, framed, raw_venue, text
from tests.venue_server import until

LOOPS = {"uvloop": uvloop.new_event_loop}

SMALL = ConnectionSettings(frame_bytes_max=70_000, close_limit_s=0.01, frames_queued_max=4)


@contextlib.asynccontextmanager
async def connected(at_once: bytes = b"") -> AsyncIterator[tuple[RawVenue, VenueSocket]]:
    async with raw_venue(at_once) as venue, open_socket(venue.url, SMALL) as opened:
        yield venue, opened


async def heard(opened: VenueSocket, count: int) -> list[str | bytes]:
    messages: list[str | bytes] = []
    while len(messages) < count:
        messages += await opened.messages()
    return messages


async def ending(opened: VenueSocket) -> tuple[list[str | bytes], str]:
    """All messages, and then how it ended, in words."""
    messages: list[str | bytes] = []
    try:
        while True:
            messages += await opened.messages()
    except ConnectionClosed as error:
        return messages, str(lost(error))


def in_pieces(opcode: Opcode, pieces: Sequence[bytes], ping: bytes) -> bytes:
    """A message in several frames, with a ping after each but the last."""
    frames = [framed(opcode, pieces[0], fin=len(pieces) == 1)]
    for at, piece in enumerate(pieces[1:], 2):
        frames += [ping, framed(Opcode.CONT, piece, fin=at == len(pieces))]
    return b"".join(frames)


LONG = [0, 1, 125, 126, 127, 200, 65_535, 65_536]
MESSAGES = st.one_of(
    st.text(max_size=20), st.binary(max_size=20), st.sampled_from(LONG).map(lambda size: "x" * size)
)


@settings(max_examples=60)
@given(
    messages=st.lists(st.tuples(MESSAGES, st.integers(1, 3)), max_size=8),
    ping=st.sampled_from([b"", framed(Opcode.PING, b"still there?")]),
    sizes=st.lists(st.integers(1, 300) | st.just(70_000), min_size=1, max_size=10),
)
def test_messages_come_whole_and_in_order_however_their_bytes_are_cut(
    messages: list[tuple[str | bytes, int]], ping: bytes, sizes: list[int]
) -> None:
    stream = ping
    for message, count in messages:
        payload = message.encode() if isinstance(message, str) else message
        opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
        size = len(payload) // count + 1
        pieces = [payload[at * size : (at + 1) * size] for at in range(count)]
        stream += in_pieces(opcode, pieces, ping) + ping

    async def check() -> None:
        async with connected() as (_, opened):
            at, turn = 0, 0
            while at < len(stream):
                # As the event loop does, with reads of these very sizes.
                opened.data_received(stream[at : at + sizes[turn % len(sizes)]])
                at, turn = at + sizes[turn % len(sizes)], turn + 1
            if messages:
                assert await heard(opened, len(messages)) == [message for message, _ in messages]

    asyncio.run(check())


async def test_messages_of_one_read_come_together() -> None:
    async with connected() as (venue, opened):
        venue.send(b"".join(text(str(n)) for n in range(500)))
        first = await opened.messages()
        assert len(first) > 1
        assert first + await heard(opened, 500 - len(first)) == [str(n) for n in range(500)]


async def test_what_comes_with_the_handshake_is_not_lost() -> None:
    begun = text("ba")
    async with connected(text("a") + begun[:3]) as (venue, opened):
        assert await heard(opened, 1) == ["a"]
        venue.send(begun[3:] + text("c"))
        assert await heard(opened, 2) == ["ba", "c"]


async def test_a_ping_between_messages_is_answered() -> None:
    async with connected() as (venue, opened):
        venue.send(text("a") + framed(Opcode.PING, b"") + text("b"))
        assert await heard(opened, 2) == ["a", "b"]
        await until(lambda: len(venue.heard) == len(Frame(Opcode.PONG, b"").serialize(mask=True)))
        assert venue.heard[0] == 0x8A


async def test_a_text_that_is_no_utf_8_is_given_as_bytes_and_ends_nothing() -> None:
    async with connected() as (venue, opened):
        venue.send(framed(Opcode.TEXT, b"\xff{") + text("b"))
        assert await heard(opened, 2) == [b"\xff{", "b"]


@pytest.mark.parametrize(
    ("stream", "told"),
    [
        (
            framed(Opcode.CLOSE, Close(4000, "enough").serialize()) + text("after"),
            "closed the connection (4000 enough)",
        ),
        (text("x" * 70_001), "sent a frame larger than we take"),
        (framed(Opcode.TEXT, b"x" * 70_001)[:12], "sent a frame larger than we take"),
        (
            framed(Opcode.TEXT, b"x" * 60_000, fin=False) + framed(Opcode.CONT, b"x" * 10_001),
            "sent a frame larger than we take",
        ),
        (b"\x81\xff" + bytes(8), "had to be left (1002 incorrect masking)"),
        (b"\xc1\x01x", "had to be left (1002 reserved bits must be 0)"),
        (framed(Opcode.CONT, b"x"), "had to be left (1002 unexpected continuation frame)"),
        (
            framed(Opcode.TEXT, b"x", fin=False) + text("y"),
            "had to be left (1002 expected a continuation frame)",
        ),
        (text("cut off")[:5], "is cut off (the connection broke)"),
        (b"", "is cut off (the connection broke)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_end_comes_after_all_messages_before_it_and_says_why(
    stream: bytes, told: str
) -> None:
    async with connected() as (venue, opened):
        venue.send(text("a") + text("b") + stream)
        assert await heard(opened, 2) == ["a", "b"]
        venue.hang_up()
        assert await ending(opened) == ([], told)


async def test_a_reader_that_rests_stops_the_reading_and_loses_nothing() -> None:
    async with connected() as (venue, opened):
        sent = [f"{n} " + "x" * 10_000 for n in range(3_000)]
        for message in sent:
            venue.send(text(message))
        await until(lambda: not opened.transport.is_reading())
        assert await heard(opened, 3_000) == sent
        assert opened.transport.is_reading()
