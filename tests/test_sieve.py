"""The sieve before a client's WebSocket library: text frames out, every other byte passed on."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from feeds.market import SystemClock
from gateway.fanout.frames import frame
from gateway.measure.sieve import Sieve

PONG = b"\x8a\x00"
CLOSE = b"\x88\x02\x03\xe8"
FRAGMENTS = b"\x01\x02ab\x80\x02cd"
MASKED = b"\x81\x82\x00\x00\x00\x00ok"

texts = st.one_of(
    st.binary(max_size=200), st.integers(120, 70_000).map(lambda size: b"x" * size)
).map(lambda payload: (frame(payload, "json"), payload))
others = st.sampled_from([PONG, FRAGMENTS, b"\x89\x05hello"]).map(lambda whole: (whole, None))


class Library(asyncio.Protocol):
    """Keeps what it is handed."""

    def __init__(self) -> None:
        self.heard = b""

    def data_received(self, data: bytes) -> None:
        self.heard += data


def sieved(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    """What was taken out of them, and what was passed on."""
    library, taken = Library(), []
    sieve = Sieve(library, lambda payload, _: taken.append(payload), SystemClock())
    for piece in pieces:
        sieve.data_received(piece)
    return taken, library.heard


@given(st.lists(st.one_of(texts, others), max_size=12), st.lists(st.integers(1, 5_000)))
def test_however_the_bytes_are_chopped_every_frame_goes_one_way(
    frames: list[tuple[bytes, bytes | None]], sizes: list[int]
) -> None:
    stream = b"".join(whole for whole, _ in frames)
    pieces = []
    for size in sizes:
        pieces.append(stream[:size])
        stream = stream[size:]
    taken, passed = sieved([*filter(None, pieces), stream])
    assert taken == [payload for _, payload in frames if payload is not None]
    assert passed == b"".join(whole for whole, payload in frames if payload is None)


@given(st.lists(texts, max_size=3), st.binary(max_size=400))
def test_after_a_frame_that_no_server_sends_everything_is_the_librarys(
    frames: list[tuple[bytes, bytes]], more: bytes
) -> None:
    before = b"".join(whole for whole, _ in frames)
    taken, passed = sieved([before + MASKED, more])
    assert taken == [payload for _, payload in frames]
    assert passed == MASKED + more


def test_a_frame_beyond_all_limits_is_for_the_library_to_refuse() -> None:
    header = b"\x81\x7f" + (2**40).to_bytes(8, "big")
    assert sieved([header]) == ([], header)


@given(st.lists(st.binary(max_size=50)))
def test_any_bytes_are_taken_passed_on_or_waited_for(pieces: list[bytes]) -> None:
    taken, passed = sieved(pieces)
    assert len(passed) + sum(map(len, taken)) <= sum(map(len, pieces))


def test_a_close_is_the_librarys() -> None:
    assert sieved([frame(b"{}", "json") + CLOSE]) == ([b"{}"], CLOSE)
