"""One byte changed anywhere in a ledger's files is found, also where nothing is kept; and none that
is as it was left is called wrong, however its writer ended.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pytest

from feeds.errors import LedgerError
from feeds.ledger.book import Book
from feeds.ledger.entry import NOTHING_BEFORE, Entry, Genesis, entry_of
from feeds.ledger.sealing import read_seal, seal_path
from feeds.ledger.segments import segment_files, segment_path
from feeds.ledger.table import Table
from feeds.ledger.verification import Verification, verify_ledger
from feeds.ledger.wholeness import WholenessError, unchecked
from feeds.ledger.witness import Head, witness_of
from feeds.market import Outcome, Signal
from tests.ledger_entries import NOW_US, SECOND_US, history, signal
from tests.manual_clock import ManualClock
from tests.running_tickgate import REPOSITORY
from tests.test_ledger_opening import LAYOUT_1

LATER_US = NOW_US + 1_000 * 3_600 * SECOND_US
HISTORY = history(60)
LONG = history(1_300)
"""With states, and an index of several pages."""
PAGE_BYTES = 4_096
HEADER_BYTES = 100
TABLE_LEAF = 13


def book(path: Path, segment_bytes_max: int = 10**9) -> Book:
    return Book.open(
        path, simulated=False, clock=ManualClock(), segment_bytes_max=segment_bytes_max
    )


def kept(path: Path, told: Sequence[Signal | Outcome], segment_bytes_max: int = 10**9) -> Path:
    one = book(path, segment_bytes_max)
    for at in range(0, len(told), 50):
        one.append(told[at : at + 50])
    one.close()
    return path


def verified(path: Path) -> Verification:
    return verify_ledger(path, LATER_US)


def entries_of(path: Path) -> list[Entry]:
    with closing(Table.to_read(path)) as table:
        return list(table.entries())


def places(size: int, random: Random) -> list[int]:
    """The file's header, each page's, and some of all else of each page."""
    found = set(range(HEADER_BYTES))
    for page in range(0, size, PAGE_BYTES):
        found |= set(range(page, page + 8))
        found |= {page + random.randrange(PAGE_BYTES) for _ in range(4)}
    return sorted(found)


def flipped(path: Path, where: Iterable[int], random: Random) -> Iterator[int]:
    """The file with one bit changed, and the place of it, for one after the other."""
    with path.open("r+b", buffering=0) as file:
        for place in where:
            (right,) = os.pread(file.fileno(), 1, place)
            os.pwrite(file.fileno(), bytes([right ^ 1 << random.randrange(8)]), place)
            yield place
            os.pwrite(file.fileno(), bytes([right]), place)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three full segments, and the one that was written last."""
    return kept(tmp_path_factory.mktemp("made") / "ledger.sqlite", HISTORY, 1)


@pytest.fixture
def ledger(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / made.name


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kept(tmp_path_factory.mktemp("long") / "ledger.sqlite", LONG)


def copied(ledger: Path, to: Path) -> Path:
    """By SQLite, as a backup is: without witness and seal."""
    with closing(sqlite3.connect(ledger)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)
    return to


def test_a_closed_ledger_is_whole_to_its_last_byte(ledger: Path) -> None:
    told = verified(ledger)
    assert (told.wrong, told.unchecked.count, told.segments) == (None, 0, 4)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_one_flipped_bit_anywhere_in_a_closed_ledger_is_found(ledger: Path, number: int) -> None:
    path, random = segment_path(ledger, number), Random(number)
    for place in flipped(path, places(path.stat().st_size, random), random):
        assert verified(ledger).wrong is not None, f"byte {place}"


def test_each_byte_of_a_closed_file_counts(tmp_path: Path) -> None:
    path = kept(tmp_path / "ledger.sqlite", HISTORY[:4])
    seal, random = read_seal(path), Random(5)
    assert seal is not None
    last = Head(seal.entries, seal.head)
    assert unchecked(path, seal, last) is None
    size = path.stat().st_size
    tried = 0
    for _ in flipped(path, range(size), random):
        with pytest.raises(WholenessError):
            unchecked(path, seal, last)
        tried += 1
    assert tried == size


def test_each_byte_of_the_witness_and_of_a_seal_counts(ledger: Path) -> None:
    random = Random(6)
    for path in (witness_of(ledger), seal_path(ledger), seal_path(segment_path(ledger, 4))):
        for place in flipped(path, range(path.stat().st_size), random):
            assert verified(ledger).wrong is not None, f"{path.name} byte {place}"


@pytest.mark.parametrize("told", [HISTORY, LONG[:1_050]])
def test_of_a_copy_without_a_seal_each_byte_is_found_or_is_named_as_not_looked_at(
    tmp_path: Path, told: Sequence[Signal | Outcome]
) -> None:
    copy = copied(kept(tmp_path / "ledger.sqlite", told), tmp_path / "copy.sqlite")
    first = verified(copy)
    assert (first.wrong, first.unchecked.count) == (None, 1)
    assert first.unchecked.first[0].startswith("copy.sqlite: it has no seal: ")
    before, random = entries_of(copy), Random(7)
    where = places(copy.stat().st_size, random)
    where = sorted({*where[:HEADER_BYTES:2], *random.sample(where, 40)})
    unseen = 0
    for place in flipped(copy, where, random):
        found = verified(copy)
        if found.wrong is None:
            assert found.unchecked.count == 1
            assert entries_of(copy) == before, f"byte {place}"
            unseen += 1
    assert unseen < len(where) / 10


def test_where_nothing_is_kept_beside_the_entries_a_byte_is_found_without_a_seal(
    tmp_path: Path, long: Path
) -> None:
    copy = copied(long, tmp_path / "copy.sqlite")
    whole = copy.read_bytes()
    empty = [
        page + at
        for page in range(PAGE_BYTES, len(whole), PAGE_BYTES)
        if whole[page] == TABLE_LEAF and whole[page + 4] >= 3  # States are two at most.
        for at in range(8 + 2 * whole[page + 4], int.from_bytes(whole[page + 5 : page + 7]))
    ]
    assert len(empty) > 10_000
    random = Random(8)
    for place in flipped(copy, random.sample(empty, 15), random):
        wrong = verified(copy).wrong
        page = place // PAGE_BYTES + 1
        assert wrong == f"copy.sqlite is damaged: page {page} has something where nothing is kept"


def test_a_long_ledger_that_was_closed_is_whole(long: Path) -> None:
    told = verified(long)
    assert (told.wrong, told.unchecked.count) == (None, 0)


def test_a_ledger_that_is_written_is_right_and_not_called_whole(tmp_path: Path) -> None:
    one = book(tmp_path / "ledger.sqlite", 1)
    one.append(HISTORY[:20])
    one.append(HISTORY[20:40])
    told = verified(tmp_path / "ledger.sqlite")
    assert (told.wrong, told.unchecked.count) == (None, 1)
    assert told.unchecked.first[0].startswith(
        "ledger.sqlite.segment-0003: it is being written, or its writer was killed"
    )
    one.close()
    assert verified(tmp_path / "ledger.sqlite").unchecked.count == 0


def test_a_byte_of_a_ledger_that_is_written_is_found_or_it_is_not_called_whole(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.sqlite"
    one = book(path)
    one.append(LONG[:600])
    one._table._connection.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
    one.append(LONG[600:620])
    taken = tmp_path / "taken" / path.name
    taken.parent.mkdir()
    for beside in ("", "-wal", ".head"):
        shutil.copy(path.with_name(path.name + beside), taken.with_name(path.name + beside))
    one.close()
    before, random = entries_of(taken), Random(9)
    where = random.sample(range(taken.stat().st_size), 100)
    unseen = 0
    for place in flipped(taken, where, random):
        told = verified(taken)
        if told.wrong is None:
            assert told.unchecked.count == 1
            assert entries_of(taken) == before, f"byte {place}"
            unseen += 1
    assert unseen < len(where) / 5


def test_a_start_that_is_refused_leaves_the_seal_as_it_is(ledger: Path) -> None:
    newest = segment_files(ledger)[-1].path
    before = newest.read_bytes(), seal_path(newest).read_bytes()
    with pytest.raises(Exception, match="is the ledger of live markets"):
        Book.open(ledger, simulated=True, clock=ManualClock())
    assert (newest.read_bytes(), seal_path(newest).read_bytes()) == before
    assert verified(ledger).unchecked.count == 0


def test_a_seal_that_another_program_left_behind_is_no_proof_against_the_ledger(
    tmp_path: Path,
) -> None:
    path = kept(tmp_path / "ledger.sqlite", HISTORY)
    behind = seal_path(path).read_bytes()
    kept(path, [signal(99_999)])
    seal_path(path).write_bytes(behind)
    told = verified(path)
    assert told.wrong is None
    assert told.unchecked.first[0].startswith("ledger.sqlite: its seal is of before: ")


def test_a_ledger_of_before_seals_whose_room_was_never_cleared_is_right(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    entries = [entry_of(Genesis("5f0c", NOW_US, 1, simulated=False), 1, NOW_US, NOTHING_BEFORE)]
    for payload in LONG:
        entries.append(entry_of(payload, len(entries) + 1, NOW_US, entries[-1].hash))
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for statement in ("PRAGMA secure_delete = OFF", *LAYOUT_1):
            file.execute(statement).fetchall()
        rows = [entry._replace(payload=entry.payload.decode()) for entry in entries]  # type: ignore[arg-type]
        for at in range(0, len(rows), 100):
            file.execute("BEGIN")
            file.executemany(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", rows[at : at + 100]
            )
            file.execute("COMMIT")
    told = verified(path)
    assert (told.wrong, told.unchecked.count) == (None, 1)
    kept(path, [signal(99_999)])
    assert (verified(path).wrong, verified(path).unchecked.count) == (None, 0)
    for file in segment_files(path):
        seal_path(file.path).unlink()
    assert (verified(path).wrong, verified(path).unchecked.count) == (None, 1)


COMES_AND_GOES = """
import sys
from pathlib import Path
from feeds.ledger.book import Book
from tests.ledger_entries import signal
from tests.manual_clock import ManualClock
print("begun", flush=True)
number = 10_000
while True:
    book = Book.open(
        Path(sys.argv[1]), simulated=False, clock=ManualClock(), segment_bytes_max=200_000
    )
    for _ in range(3):
        book.append([signal(number), signal(number, pair="ETH-USD")])
        number += 1
    book.close()
"""


def test_a_ledger_whose_writer_comes_and_goes_is_never_called_wrong(tmp_path: Path) -> None:
    path = kept(tmp_path / "ledger.sqlite", HISTORY)
    told = [verified(path)]
    command = [sys.executable, "-c", COMES_AND_GOES, str(path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        try:
            while len(told) < 60 or told[-1].entries == told[0].entries:
                assert len(told) < 3_000, "it writes nothing"
                # While a slow disk holds the writer up it can't be read: that calls nothing wrong.
                with suppress(LedgerError):
                    told.append(verified(path))
            assert writer.poll() is None
        finally:
            writer.kill()
    assert {each.wrong for each in told} == {None}
    assert verified(path).wrong is None
    kept(path, [signal(999_999)])
    assert (verified(path).wrong, verified(path).unchecked.count) == (None, 0)
