"""Recordings: our own format and the others, gzip or not, whole or broken."""

import base64
import gzip
import io
import json
import os
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.recordings.recording import (
    LINE_BYTES_MAX,
    BadLine,
    Frame,
    Header,
    RecordingError,
    RecordingWriter,
    Row,
    chunks,
    read_batches,
    read_rows,
)

NS = 1_723_161_255_343_000_123
HEADER = Header(venue="kraken", start_ns=NS)


def rows(content: bytes) -> list[Row]:
    return list(read_rows(io.BytesIO(content)))


def recorded(*frames: str | bytes, compress: bool = False) -> bytes:
    stream = io.BytesIO()
    with RecordingWriter(stream, "kraken", NS, gzip=compress) as writer:
        for number, frame in enumerate(frames):
            writer.received(frame, NS + number)
    return stream.getvalue()


@pytest.mark.parametrize("compress", [False, True])
def test_what_is_written_is_read_again(compress: bool) -> None:
    content = recorded('{"a":"é\\n"}', b"\xff\x00binary", "", compress=compress)
    assert content.startswith(b"\x1f\x8b") == compress
    assert rows(content) == [
        HEADER,
        Frame(2, NS, '{"a":"é\\n"}'),
        Frame(3, NS + 1, b"\xff\x00binary"),
        Frame(4, NS + 2, ""),
    ]


@settings(deadline=None)
@given(st.lists(st.text() | st.binary()), st.booleans())
def test_any_frames_are_read_as_they_were_written(
    frames: list[str | bytes], compress: bool
) -> None:
    content = recorded(*frames, compress=compress)
    assert [row.frame for row in rows(content) if isinstance(row, Frame)] == frames


def test_the_format_is_as_documented() -> None:
    first, second, third = recorded('{"a":1}', b"\xff").splitlines()
    assert first == (
        b'{"tickgate":"recording","version":1,"venue":"kraken","start_ns":1723161255343000123}'
    )
    assert second == b'{"dir":"recv","ns":1723161255343000123,"data":"{\\"a\\":1}"}'
    assert third == b'{"dir":"recv","ns":1723161255343000124,"b64":"/w=="}'


def test_what_we_sent_is_kept_in_the_file_and_skipped_by_readers() -> None:
    stream = io.BytesIO()
    with RecordingWriter(stream, "kraken", NS) as writer:
        writer.sent('{"method":"ping"}', NS)
    assert b'"dir":"send"' in stream.getvalue()
    assert rows(stream.getvalue()) == [HEADER]


def test_a_frame_too_long_to_be_read_back_is_not_written() -> None:
    stream = io.BytesIO()
    writer = RecordingWriter(stream, "kraken", NS)
    with pytest.raises(RecordingError):
        writer.received("x" * LINE_BYTES_MAX, NS)
    writer.received("y", NS)
    assert rows(stream.getvalue()) == [HEADER, Frame(2, NS, "y")]


def test_what_was_flushed_survives_a_crash() -> None:
    stream = io.BytesIO()
    writer = RecordingWriter(stream, "kraken", NS, gzip=True)
    writer.received("one", NS)
    writer.flush()
    found = rows(stream.getvalue())
    assert found[:2] == [HEADER, Frame(2, NS, "one")]
    assert isinstance(found[2], BadLine)
    assert "before it is complete" in found[2].reason


def test_session_rows_are_read_with_their_seconds_exact() -> None:
    content = (
        b'{"dir":"send","ts":1618677372.1,"data":"ours"}\n'
        b'{"dir":"recv","ts":1618677372.1768699,"data":"{\\"a\\":1}"}\n'
        b'{"dir":"http","ts":1618677372.2,"data":"{}"}\n'
        b'{"dir":"recv","data":"undated"}\n'
    )
    assert rows(content) == [
        Frame(2, 1_618_677_372_176_869_900, '{"a":1}'),
        Frame(4, None, "undated"),
    ]


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b'{"a":1}', mtime=0)),
        ("deflate-raw", zlib.compress(b'{"a":1}')[2:-4]),
        ("utf8", b'{"a":1}'),
    ],
)
def test_binary_rows_are_unpacked(encoding: str, packed: bytes) -> None:
    row = {"dir": "recv", "ts": 1.5, "b64": base64.b64encode(packed).decode()}
    content = json.dumps(row | {"encoding": encoding}).encode()
    assert rows(content) == [Frame(1, 1_500_000_000, b'{"a":1}')]


def test_replay_lines_are_a_time_and_a_message() -> None:
    content = b'1723161253937085768 {"stream":"x"}\n\n1723161254036059768 {}\r\n'
    assert rows(content) == [
        Frame(1, 1_723_161_253_937_085_768, b'{"stream":"x"}'),
        Frame(3, 1_723_161_254_036_059_768, b"{}"),
    ]


def test_other_lines_are_messages_without_a_time() -> None:
    content = b'\xef\xbb\xbf{"a":1}\n   \n[1,2]\npong\n12\n12345678901234567890 {}\n\xff'
    assert rows(content) == [
        Frame(1, None, b'{"a":1}'),
        Frame(3, None, b"[1,2]"),
        Frame(4, None, b"pong"),
        Frame(5, None, b"12"),
        Frame(6, None, b"12345678901234567890 {}"),
        Frame(7, None, b"\xff"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        '{"dir":',
        '{"dir":7}',
        '{"dir":"recv"}',
        '{"dir":"recv","ns":-1,"data":""}',
        '{"dir":"recv","ns":99999999999999999999,"data":""}',
        '{"dir":"recv","ts":"now","data":""}',
        '{"dir":"recv","ts":1e400,"data":""}',
        '{"dir":"recv","ts":-5,"data":""}',
        '{"dir":"recv","ts":null,"data":""}',
        '{"dir":"recv","ns":1,"b64":"%"}',
        '{"dir":"recv","ns":1,"b64":"AAAA","encoding":"gzip"}',
        '{"dir":"recv","ns":1,"b64":"AAAA","encoding":"rot13"}',
        '{"dir":"recv","ns":1,"x":' + "[" * 20_000,
        '{"tickgate":"recording","version":2,"venue":"x","start_ns":1}',
        '{"tickgate":"something"}',
    ],
)
def test_a_bad_row_is_told_by_its_number_and_the_rest_goes_on(line: str) -> None:
    first, second, third = rows(f"a\n{line}\nb\n".encode())
    assert (first, third) == (Frame(1, None, b"a"), Frame(3, None, b"b"))
    assert isinstance(second, BadLine)
    assert second.line == 2


def test_a_frame_that_inflates_without_end_is_a_bad_row() -> None:
    bomb = base64.b64encode(gzip.compress(bytes(LINE_BYTES_MAX + 1_000_000))).decode()
    (row,) = rows(f'{{"dir":"recv","ns":1,"b64":"{bomb}","encoding":"gzip"}}'.encode())
    assert isinstance(row, BadLine)


def test_a_line_too_long_is_told_and_not_held() -> None:
    long = b"x" * 65_536
    pieces = [b"a\n", *[long] * (LINE_BYTES_MAX // len(long) + 1), b"x\nb"]
    found = [row for batch in read_batches(pieces) for row in batch]
    assert found == [
        Frame(1, None, b"a"),
        BadLine(2, "longer than 16,777,216 bytes"),
        Frame(3, None, b"b"),
    ]


def test_gzip_files_one_after_the_other_are_one() -> None:
    content = gzip.compress(b"a\nb", mtime=0) + gzip.compress(b"c\nd\n") + bytes(512)
    assert [row.frame for row in rows(content) if isinstance(row, Frame)] == [b"a", b"bc", b"d"]


@pytest.mark.parametrize("cut", [3, 15, 20, -1])
def test_a_gzip_file_that_ends_early_is_told(cut: int) -> None:
    found = rows(gzip.compress(b"a\nb\n", mtime=0)[:cut])
    assert isinstance(found[-1], BadLine)


def test_a_gzip_file_with_damage_is_told_after_what_is_whole() -> None:
    content = bytearray(gzip.compress(os.urandom(1_000_000).hex().encode() + b"\nend\n"))
    content[500_000] ^= 0xFF
    found = rows(bytes(content))
    assert isinstance(found[-1], BadLine)
    assert "gzip" in found[-1].reason


@settings(deadline=None)
@given(st.data())
def test_where_the_pieces_are_cut_does_not_matter(data: st.DataObject) -> None:
    content = recorded("one", "two\nlines", b"\xff", compress=data.draw(st.booleans()))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(content) - 1))))
    pieces = [
        content[start:end] for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)
    ]
    assert [row for batch in read_batches(pieces) for row in batch] == rows(content)


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_give_rows(content: bytes) -> None:
    assert all(isinstance(row, Header | Frame | BadLine) for row in rows(content))
    assert all(
        isinstance(row, Header | Frame | BadLine) for row in rows(b"\x1f\x8b\x08\x00" + content)
    )


def test_a_pipe_is_read_as_it_comes() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as stream, open(writing, "wb", buffering=0) as pipe:
        batches = read_batches(chunks(stream))
        pipe.write(b"1 one\n2 tw")
        assert next(batches) == [Frame(1, 1, b"one")]
        pipe.write(b"o\n")
        assert next(batches) == [Frame(2, 2, b"two")]


@pytest.mark.parametrize("venue", ["huobi", "okx", "upbit"])
def test_packed_frames_of_captured_sessions_are_what_they_are_said_to_be(
    venue: str, shared: Path
) -> None:
    compared = 0
    for path in (shared / "captures" / "sessions" / venue).glob("*.gz"):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            row = json.loads(line)
            if row["dir"] != "recv" or "b64" not in row:
                continue
            said = row.pop("data")
            (frame,) = rows(json.dumps(row).encode())
            assert isinstance(frame, Frame)
            assert frame.frame == said.encode()
            compared += 1
    assert compared > 100
