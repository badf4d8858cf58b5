"""A ledger of many files is one ledger: none can be missing, moved or made up unnoticed.

Files that are full never change again, and whoever moves them away loses nothing but them.
"""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from feeds.errors import LedgerError
from feeds.ledger.book import Book
from feeds.ledger.entry import Segment, payload_of
from feeds.ledger.segments import segment_files, segment_path
from feeds.ledger.state import kept, read_state
from feeds.ledger.table import Table
from feeds.ledger.track_record import track_records
from feeds.ledger.verification import Verification, verify_ledger
from feeds.ledger.witness import witness_of
from feeds.market import Outcome, Signal
from tests.ledger_entries import NOW_US, SECOND_US, history, outcome, signal
from tests.manual_clock import ManualClock
from tests.running_tickgate import REPOSITORY

LATER_US = NOW_US + 1_000 * 3_600 * SECOND_US
HISTORY = history(60)
TINY = 1
"""Each time something is appended a file is full already."""


def book(path: Path, segment_bytes_max: int = TINY) -> Book:
    return Book.open(
        path, simulated=False, clock=ManualClock(), segment_bytes_max=segment_bytes_max
    )


def filled(path: Path, told: Sequence[Signal | Outcome] = HISTORY, at_once: int = 20) -> Path:
    one = book(path)
    for at in range(0, len(told), at_once):
        assert one.append(told[at : at + at_once]) == told[at : at + at_once]
    one.close()
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("made") / "ledger.sqlite")


@pytest.fixture
def ledger(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / made.name


def verified(path: Path, head: str | None = None, entries: int | None = None) -> Verification:
    return verify_ledger(path, LATER_US, head, entries)


def first_of(path: Path) -> Segment:
    with closing(Table.to_read(path)) as table:
        entry = table.entry(table.first)
    assert entry is not None
    payload = payload_of(entry)
    assert isinstance(payload, Segment)
    return payload


def test_a_full_file_is_followed_by_another_and_the_chain_goes_on(ledger: Path) -> None:
    files = segment_files(ledger)
    assert [file.path.name for file in files][:3] == [
        "ledger.sqlite", "ledger.sqlite.segment-0002", "ledger.sqlite.segment-0003",
    ]  # fmt: skip
    told = verified(ledger)
    assert told.wrong is None
    assert (told.segments, told.before) == (len(files), 0)
    assert told.entries == len(HISTORY) + len(files)
    assert (told.signals, told.outcomes) == (60, len(HISTORY) - 60)
    assert [
        msgspec.structs.replace(each, entries=None, head=None) for each in told.records.all()
    ] == track_records(HISTORY)


def test_a_file_says_what_it_goes_on_from(ledger: Path) -> None:
    with closing(Table.to_read(ledger)) as table:
        (last,) = table.newest(1)
    second = first_of(segment_path(ledger, 2))
    assert (second.segment, second.after) == (2, "ledger.sqlite")
    assert (second.entries, second.head) == (last.n, last.hash)


def test_a_restart_goes_on_in_the_newest_file(ledger: Path) -> None:
    before = verified(ledger)
    one = book(ledger, 10**9)
    assert one.open_signals == before.open
    assert one.recent(1_000) == HISTORY
    assert one.recent(25) == HISTORY[-24:]
    more = [outcome(before.open[0]), signal(99_999)]
    assert one.append(more) == more
    one.close()
    assert verified(ledger).wrong is None
    assert len(segment_files(ledger)) == before.segments


def test_each_file_is_its_owners_to_read(ledger: Path) -> None:
    one = book(ledger)
    one.append([signal(99_999)])
    made = set(ledger.parent.glob("ledger.sqlite.*-wal")) | {segment_path(ledger, 3)}
    assert len(made) == 2
    assert {path.stat().st_mode & 0o077 for path in made} == {0}
    one.close()


def test_a_small_file_is_not_followed_by_another(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    one = book(path, 10**6)
    one.append(HISTORY)
    one.append([signal(99_999)])
    one.close()
    assert len(segment_files(path)) == 1


def test_full_files_may_be_moved_away_and_the_rest_is_as_good(ledger: Path) -> None:
    whole = verified(ledger)
    for number in (1, 2):
        segment_path(ledger, number).unlink()
    told = verified(ledger, whole.head, whole.entries)
    assert (told.wrong, told.entries, told.open) == (None, whole.entries, whole.open)
    assert told.before == first_of(segment_path(ledger, 3)).entries
    assert told.records.all() == whole.records.all()
    one = book(ledger)
    assert [each.signals for each in one.records()] == [
        each.signals for each in whole.records.all()
    ]
    assert one.append([signal(99_999)]) == [signal(99_999)]
    one.close()
    assert verified(ledger).wrong is None


def test_files_that_were_moved_away_can_be_verified_where_they_are(
    ledger: Path, tmp_path: Path
) -> None:
    away = tmp_path / "away"
    away.mkdir()
    head = first_of(segment_path(ledger, 3))
    for number in (1, 2):
        path = segment_path(ledger, number)
        path.rename(away / path.name)
    told = verified(away / "ledger.sqlite", head.head, head.entries)
    assert (told.wrong, told.segments) == (None, 2)


def test_one_file_alone_can_be_verified(ledger: Path) -> None:
    told = verified(segment_path(ledger, 2))
    assert (told.wrong, told.segments) == (None, 1)
    assert told.before == first_of(segment_path(ledger, 2)).entries


def test_an_entry_in_a_file_that_is_not_here_can_not_be_compared(ledger: Path) -> None:
    for number in (1, 2):
        segment_path(ledger, number).unlink()
    with pytest.raises(LedgerError, match="entry 5 is in a segment that is not here"):
        verified(ledger, entries=5)


def test_a_file_that_is_missing_between_others_is_found(ledger: Path) -> None:
    segment_path(ledger, 2).unlink()
    assert verified(ledger).wrong == (
        "entry 2: it is missing: there is no ledger.sqlite.segment-0002 "
        "(in ledger.sqlite.segment-0003)"
    )


def test_files_that_changed_places_are_found(ledger: Path) -> None:
    second, third = segment_path(ledger, 2), segment_path(ledger, 3)
    kept_aside = ledger.parent / "aside"
    second.rename(kept_aside)
    third.rename(second)
    kept_aside.rename(third)
    wrong = verified(ledger).wrong
    assert wrong is not None
    assert wrong.endswith("(in ledger.sqlite.segment-0002)")


def test_a_file_of_another_ledger_is_found(ledger: Path, tmp_path: Path) -> None:
    other = filled(tmp_path / "other" / "ledger.sqlite")
    shutil.copy(segment_path(other, 2), segment_path(ledger, 2))
    assert verified(ledger).wrong is not None


def test_the_newest_file_can_not_be_left_out(ledger: Path) -> None:
    newest = segment_files(ledger)[-1]
    newest.path.unlink()
    wrong = verified(ledger).wrong
    assert wrong is not None
    assert "its witness is of entry" in wrong
    with pytest.raises(LedgerError, match="its end was cut off or rewritten"):
        book(ledger)


def test_a_file_before_that_was_rewritten_is_not_written_on(ledger: Path) -> None:
    newest = segment_files(ledger)[-1]
    one = book(ledger.parent / "other" / "ledger.sqlite")
    one.append(history(3, seed=9))
    one.close()
    shutil.copy(ledger.parent / "other" / "ledger.sqlite", newest.path.parent / "forged")
    (newest.path.parent / "forged").rename(segment_path(ledger, newest.number - 1))
    with pytest.raises(LedgerError, match="it does not go on from "):
        book(ledger)


@pytest.mark.parametrize("number", [3, 4])
def test_what_a_file_goes_on_from_can_not_be_made_up(ledger: Path, number: int) -> None:
    path = segment_path(ledger, number)
    with closing(Table.to_read(path)) as table:
        row = table.states()[0]
    first, *others = read_state(row).sums
    better = msgspec.structs.replace(first, hits=first.hits + 5)
    forged = kept(msgspec.structs.replace(read_state(row), sums=(better, *others)))
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute(
            "UPDATE states SET state = ?, hash = ? WHERE n = ?",
            (forged.text.decode(), forged.hash, row.n),
        )
    changed = "what it goes on from is not what it says: it was changed"
    assert changed in (verified(ledger).wrong or "")
    for earlier in range(1, number):
        segment_path(ledger, earlier).unlink()
    assert changed in (verified(ledger).wrong or "")


@pytest.mark.parametrize("statement", ["DELETE FROM states", "UPDATE states SET state = '{}'"])
def test_who_has_lost_what_a_file_goes_on_from_is_told(ledger: Path, statement: str) -> None:
    newest = segment_files(ledger)[-1].path
    with closing(sqlite3.connect(newest, isolation_level=None)) as file:
        file.execute(statement)
    assert verified(ledger).wrong is not None
    with pytest.raises(LedgerError, match="what it goes on from is damaged"):
        book(ledger)


def test_one_flipped_byte_of_every_entry_of_a_later_file_is_found(ledger: Path) -> None:
    path = segment_path(ledger, 2)
    with closing(Table.to_read(path)) as table:
        entries = list(table.entries())
    whole = path.read_bytes()
    for entry in entries:
        damaged = bytearray(whole)
        damaged[whole.index(entry.payload) + entry.n % len(entry.payload)] ^= 4
        path.write_bytes(damaged)
        wrong = verified(ledger).wrong
        assert wrong is not None
        assert wrong.startswith((f"entry {entry.n}: ", "the file is damaged"))


def test_a_signal_of_a_file_that_was_moved_away_is_not_told_again(ledger: Path) -> None:
    for file in segment_files(ledger)[:-1]:
        file.path.unlink()
    one = book(ledger)
    said = [each for each in HISTORY if isinstance(each, Signal)]
    assert one.append(said) == []
    one.close()


def test_a_copy_that_lies_beside_it_is_no_part_of_it(ledger: Path) -> None:
    files = segment_files(ledger)
    for name in ("ledger.sqlite.20261121", "ledger.sqlite.segment-0002.bak", "ledger.sqlite.0009"):
        shutil.copy(ledger, ledger.with_name(name))
    assert segment_files(ledger) == files
    assert verified(ledger).wrong is None


@pytest.mark.parametrize("content", [b"", "header"])
def test_a_file_that_was_about_to_be_begun_is_taken_away(
    ledger: Path, content: bytes | str
) -> None:
    before = verified(ledger)
    path = segment_path(ledger, before.segments + 1)
    if content:
        with closing(Table.to_write(path)) as table:
            table.begin_writing()
    else:
        path.touch()
    assert verified(ledger).entries == before.entries
    one = book(ledger, 10**9)
    assert not path.exists()
    one.append([signal(99_999)])
    one.close()
    assert verified(ledger).wrong is None


def test_where_no_file_can_be_begun_nothing_is_written_until_that_is_settled(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.sqlite"
    one = book(path)
    segment_path(path, 2).mkdir()
    with pytest.raises(LedgerError, match="can't be used"):
        one.append([signal()])
    segment_path(path, 2).rmdir()
    assert one.append([signal(30)]) == [signal(30)]
    one.close()
    assert verified(path).wrong is None


def test_what_a_reader_kept_in_a_full_files_wal_is_moved_into_it_at_the_next_start(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.sqlite"
    one = book(path)
    with closing(Table.to_read(path)) as reader:
        assert reader.last == 1
        one.append(HISTORY[:20])
        one.append(HISTORY[20:40])
        one.close()
    waiting = path.with_name("ledger.sqlite.segment-0002-wal")
    assert verified(path).wrong is None
    book(path).close()
    assert not waiting.exists()
    assert not path.with_name("ledger.sqlite-wal").exists()
    assert verified(path).wrong is None


WRITES_UNTIL_KILLED = """
import sys
from pathlib import Path
from feeds.ledger.book import Book
from tests.ledger_entries import signal
from tests.manual_clock import ManualClock
book = Book.open(
    Path(sys.argv[1]), simulated=False, clock=ManualClock(), segment_bytes_max=1
)
number = 10_000 * int(sys.argv[2])
while True:
    for one in book.append([signal(number), signal(number, pair="ETH-USD")]):
        print(one.id, flush=True)
    number += 1
"""


def test_whoever_is_killed_while_files_follow_each_other_has_published_nothing_unwritten(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.sqlite"
    published: list[str] = []
    for run, lines in enumerate((1, 2, 5, 8, 14)):
        command = [sys.executable, "-c", WRITES_UNTIL_KILLED, str(path), str(run)]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            published += [writer.stdout.readline().strip() for _ in range(lines)]
            writer.kill()
            published += [line.strip() for line in writer.stdout if line.endswith("\n")]
        assert verified(path).wrong is None
    one = book(path)
    there = [each.id for each in one.recent(10_000) if isinstance(each, Signal)]
    one.close()
    assert set(published) <= set(there)
    assert witness_of(path).exists()
    assert verified(path).wrong is None
