"""`tickgate decode`: files and pipes in, one JSON object a line out, an honest exit status."""

import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from feeds.decode import BAD_LINES, DONE, MISUSED, decode
from feeds.recordings.recording import RecordingWriter
from tests.captured import RECEIVED_NS, RECEIVED_US, frames

REPOSITORY = Path(__file__).resolve().parents[1]
PROGRAM = (
    "import sys; from feeds.decode import decode;"
    "sys.exit(decode(sys.argv[1], sys.argv[2:], None, sys.stdout.buffer, sys.stderr))"
)
TRADE = {
    "ch": "trade:binance:BTC-USDT",
    "px": "61837.63000000",
    "sz": "0.02000000",
    "side": "sell",
    "id": "3735683259",
    "t": 1723161255342000,
}


class Terminal(io.StringIO):
    """An error stream with a person before it."""

    def isatty(self) -> bool:
        return True


class Closed(io.BytesIO):
    """An output that nobody reads any more."""

    def write(self, _: object, /) -> int:
        raise BrokenPipeError


def run(
    venue: str, *files: Path | str, symbol: str | None = None
) -> tuple[int, list[dict[str, object]], list[str]]:
    """The exit status, what came out, and what was said about it."""
    out, err = io.BytesIO(), io.StringIO()
    status = decode(venue, [str(file) for file in files], symbol, out, err)
    return (
        status,
        [json.loads(line) for line in out.getvalue().splitlines()],
        err.getvalue().splitlines(),
    )


@pytest.fixture
def messages(tmp_path: Path) -> Path:
    file = tmp_path / "messages.jsonl"
    file.write_text("\n".join(frames("binance")) + "\n")
    return file


def test_a_trade_comes_out_as_subscribers_get_it(messages: Path) -> None:
    status, found, said = run("binance", messages)
    assert (status, said) == (DONE, [])
    assert found[0] == TRADE
    assert list(found[0]) == ["ch", "px", "sz", "side", "id", "t"]
    assert len(found) == 10


def test_a_quote_comes_out_without_what_its_venue_does_not_say(messages: Path) -> None:
    assert run("binance", messages)[1][5] == {
        "ch": "quote:binance:SWRV-BUSD",
        "bid": "2.27200000",
        "ask": "2.27700000",
        "bid_sz": "218.40800000",
        "ask_sz": "1.19200000",
    }


def test_a_recordings_times_come_out_as_rx(tmp_path: Path) -> None:
    file = tmp_path / "recording.jsonl.gz"
    with file.open("wb") as stream, RecordingWriter(stream, "binance", 1, gzip=True) as writer:
        writer.received(frames("binance")[0], RECEIVED_NS)
    assert run("binance", file) == (DONE, [TRADE | {"rx": RECEIVED_US}], [])


def test_a_bad_line_is_told_with_its_number_and_the_rest_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    file.write_bytes(
        frames("binance")[0].encode()
        + b"\n\n\x1b[31mnonsense\xff\n"
        + frames("binance")[1].encode()
    )
    status, found, said = run("binance", file)
    assert status == BAD_LINES
    assert [tick["id"] for tick in found] == ["3735683259", "3735683260"]
    assert len(said) == 1
    assert said[0].startswith(f"{file}:3: ")
    assert "\x1b" not in said[0]


def test_lines_that_are_no_data_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "quiet.jsonl"
    file.write_text('\n{"result":null,"id":1}\n{"error":{"code":2,"msg":"no"},"id":2}\n\n')
    assert run("binance", file) == (DONE, [], [])


def test_several_files_are_decoded_in_order_and_each_counts_its_own_lines(
    messages: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("x\n")
    status, found, said = run("binance", bad, messages, bad)
    assert status == BAD_LINES
    assert len(found) == 10
    assert [line.partition(": ")[0] for line in said] == [f"{bad}:1", f"{bad}:1"]


def test_the_symbol_is_for_messages_that_name_none(tmp_path: Path) -> None:
    file = tmp_path / "nameless.jsonl"
    named = frames("kraken")[2]
    file.write_text(named + "\n" + named.replace('"symbol":"BTC/USD",', "") + "\n")
    status, found, _ = run("kraken", file, symbol="ETH-EUR")
    assert status == DONE
    assert [tick["ch"] for tick in found] == ["trade:kraken:BTC-USD"] * 2 + [
        "trade:kraken:ETH-EUR"
    ] * 2


def test_a_missing_file_is_one_clear_line_and_the_others_are_decoded(
    messages: Path, tmp_path: Path
) -> None:
    status, found, said = run("binance", tmp_path / "none", messages)
    assert status == MISUSED
    assert said == [f"tickgate decode: {tmp_path / 'none'}: No such file or directory"]
    assert len(found) == 10


def test_a_directory_is_one_clear_line(tmp_path: Path) -> None:
    status, _, said = run("binance", tmp_path)
    assert status == MISUSED
    assert said == [f"tickgate decode: {tmp_path}: Is a directory"]


def test_an_unknown_venue_is_one_clear_line() -> None:
    assert run("mtgox") == (
        MISUSED,
        [],
        [
            "tickgate decode: no such venue: mtgox;"
            " there are binance, coinbase, kraken, bitstamp, okx",
        ],
    )


def test_a_symbol_that_is_none_is_one_clear_line(messages: Path) -> None:
    status, found, said = run("binance", messages, symbol="btcusdt")
    assert (status, found) == (MISUSED, [])
    assert len(said) == 1


def test_a_recording_of_another_venue_is_told_so(tmp_path: Path) -> None:
    file = tmp_path / "recording.jsonl"
    with file.open("wb") as stream, RecordingWriter(stream, "kraken", 1) as writer:
        writer.received("{}", RECEIVED_NS)
    assert run("binance", file) == (
        MISUSED,
        [],
        [f"tickgate decode: {file}: a recording of kraken, not of binance"],
    )


def test_a_cut_gzip_file_gives_what_is_whole_and_status_1(tmp_path: Path) -> None:
    file = tmp_path / "cut.gz"
    packed = gzip.compress("\n".join(frames("binance")).encode() + b"\n")
    file.write_bytes(packed[:-1])
    status, found, said = run("binance", file)
    assert (status, len(found), len(said)) == (BAD_LINES, 10, 1)


def test_nobody_reading_is_no_error(messages: Path) -> None:
    err = io.StringIO()
    assert decode("binance", [str(messages)], None, Closed(), err) == DONE
    assert err.getvalue() == ""


def test_a_long_file_shows_progress_on_a_terminal_and_nowhere_else(tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    file.write_text((frames("binance")[0] + "\n") * 30_000)
    plain, terminal = io.StringIO(), Terminal()
    assert decode("binance", [str(file)], None, io.BytesIO(), plain) == DONE
    assert decode("binance", [str(file)], None, io.BytesIO(), terminal) == DONE
    assert plain.getvalue() == ""
    assert "long.jsonl" in terminal.getvalue()


def test_a_pipe_is_decoded_as_it_comes_and_closing_the_output_ends_it_quietly() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "binance"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        line = frames("binance")[0].encode() + b"\n"
        process.stdin.write(line)
        process.stdin.flush()
        # Comes while the input is still open: nothing that is known waits in a buffer.
        assert json.loads(process.stdout.readline()) == TRADE
        process.stdout.close()
        process.stdin.write(line * 2)
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=20) == 0


def test_stdin_has_a_name_in_what_is_said_of_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "binance", "-"],
        cwd=REPOSITORY,
        input=b"\nx\n",
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == BAD_LINES
    assert done.stdout == b""
    assert done.stderr.startswith(b"stdin:2: ")


def test_a_name_that_no_terminal_should_see_is_made_harmless(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\x1b[2J\xff")
    status, _, said = run("binance", name)
    assert status == MISUSED
    assert "\x1b" not in said[0]
