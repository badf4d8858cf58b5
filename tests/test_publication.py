"""A place in a channel, and a message as it travels the bus."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.market import Missing, Position, PositionError, Publication, PublicationError
from feeds.market.position import SEQ_MAX


@pytest.mark.parametrize(("epoch", "seq"), [("k3", 0), ("0", 1), ("z" * 32, SEQ_MAX)])
def test_a_sound_position_is_itself(epoch: str, seq: int) -> None:
    position = Position(epoch, seq)
    assert position.checked() is position
    written = msgspec.json.encode(position)
    assert written == f'["{epoch}",{seq}]'.encode()
    assert msgspec.json.decode(written, type=Position) == position


@pytest.mark.parametrize(
    ("epoch", "seq"),
    [
        ("", 1),
        ("K3", 1),
        ("k 3", 1),
        ("k3\n", 1),
        ("k" * 33, 1),
        ("k3", -1),
        ("k3", SEQ_MAX + 1),
        ("k3", 2**63),
    ],
)
def test_a_position_that_can_be_none_is_refused(epoch: str, seq: int) -> None:
    with pytest.raises(PositionError):
        Position(epoch, seq).checked()


PUBLICATIONS = st.builds(
    Publication,
    epoch=st.from_regex(r"\A[0-9a-z]{1,32}\Z"),
    seq=st.integers(1, SEQ_MAX),
    payload=st.binary(max_size=100).map(lambda inside: b"{%b}" % inside),
    missing=st.none()
    | st.builds(Missing, st.sampled_from(("venue", "feed")), st.integers(1, SEQ_MAX)),
)


@given(publication=PUBLICATIONS)
def test_a_publication_survives_the_bus(publication: Publication) -> None:
    assert Publication.decode(publication.encode()) == publication


def test_a_publication_is_text_that_a_person_can_read() -> None:
    written = b'k3 1851 feed:7 {"px":"1 2"}'
    publication = Publication("k3", 1851, b'{"px":"1 2"}', Missing("feed", 7))
    assert publication.encode() == written
    assert Publication.decode(written) == publication


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{}",
        b"k1 1 -",
        b"k1 1 - ",
        b"k1 1 - []",
        b"k1 1 - {",
        b"k1 0 - {}",
        b"k1 -1 - {}",
        b"k1 +1 - {}",
        b"k1 1_0 - {}",
        b"k1 1.5 - {}",
        b"k1 1e+17 - {}",
        b"k1 9007199254740992 - {}",
        b"k1 99999999999999999999999 - {}",
        b"k1 " + b"9" * 5_000 + b" - {}",
        b"k1  1 - {}",
        b" 1 - {}",
        b"K1 1 - {}",
        b"k\xff 1 - {}",
        b"k" * 33 + b" 1 - {}",
        b"k1 1 + {}",
        b"k1 1 feed {}",
        b"k1 1 feed: {}",
        b"k1 1 feed:0 {}",
        b"k1 1 feed:-1 {}",
        b"k1 1 feed:x {}",
        b"k1 1 bus:1 {}",
        b"k1 1 \xff:1 {}",
    ],
)
def test_what_is_no_publication_is_refused(message: bytes) -> None:
    with pytest.raises(PublicationError):
        Publication.decode(message)


NEAR = st.from_regex(rb"\A[k\xff]{0,2} ?[-+_0-9]{0,3} (-|feed|bus|venue:[0-9]{0,2}) \{.{0,3}\}?\Z")


@given(message=st.one_of(st.binary(), NEAR))
def test_any_bytes_at_all_are_a_publication_or_refused(message: bytes) -> None:
    try:
        publication = Publication.decode(message)
    except PublicationError:
        return
    assert 1 <= publication.seq <= SEQ_MAX
    assert publication.encode().split(b" ", 3)[3] == message.split(b" ", 3)[3]


def test_blanks_around_a_payload_are_no_part_of_it() -> None:
    assert Publication.decode(b'k1 1 -  {"a":1} \r\n').payload == b'{"a":1}'
