"""A ledger is opened by its end: what came of all before stands there, and follows from it."""

import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from feeds.errors import LedgerError
from feeds.ledger.book import Book
from feeds.ledger.entry import NOTHING_BEFORE, Genesis, entry_of
from feeds.ledger.reopening import CHECKED
from feeds.ledger.segments import segment_files
from feeds.ledger.state import KeptState, State, kept, read_state
from feeds.ledger.table import LAYOUT, Table
from feeds.ledger.track_record import track_records
from feeds.ledger.verification import verify_ledger
from feeds.ledger.witness import Head, witness_of, write_head
from feeds.market import Outcome, Signal, TrackRecord
from tests.ledger_entries import NOW_US, SECOND_US, history, signal
from tests.manual_clock import ManualClock

LATER_US = NOW_US + 1_000 * 3_600 * SECOND_US
HISTORY = history(1_700)


def book(path: Path) -> Book:
    return Book.open(path, simulated=False, clock=ManualClock())


def kept_at(path: Path, told: Sequence[Signal | Outcome] = HISTORY, at_once: int = 400) -> Path:
    one = book(path)
    for at in range(0, len(told), at_once):
        one.append(told[at : at + at_once])
    one.close()
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kept_at(tmp_path_factory.mktemp("made") / "ledger.sqlite")


@pytest.fixture
def ledger(made: Path, tmp_path: Path) -> Path:
    path = tmp_path / made.name
    shutil.copy(made, path)
    shutil.copy(witness_of(made), witness_of(path))
    return path


def states_of(path: Path) -> list[KeptState]:
    with closing(Table.to_read(path)) as table:
        return table.states()


def changed(path: Path, statement: str, *values: object) -> None:
    """By somebody who takes the triggers away, and puts them back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        triggers = file.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        definitions = triggers.fetchall()
        for name, _ in definitions:
            file.execute(f"DROP TRIGGER {name}")
        file.execute(statement, values)
        for _, definition in definitions:
            file.execute(definition)


def restated(path: Path, change: Callable[[State], State]) -> None:
    """A state that somebody made up, with the hash that it has then."""
    row = states_of(path)[-1]
    forged = kept(change(read_state(row)))
    changed(path, "UPDATE states SET state = ?, hash = ?", forged.text.decode(), forged.hash)


def plain(records: Sequence[TrackRecord]) -> list[TrackRecord]:
    """Without what differs with the number of entries."""
    return [msgspec.structs.replace(each, entries=None, head=None) for each in records]


def test_what_it_comes_to_is_kept_with_the_entries_and_is_what_they_give(ledger: Path) -> None:
    (row,) = states_of(ledger)
    assert len(HISTORY) - 1_000 <= row.n <= len(HISTORY)
    told = verify_ledger(ledger, LATER_US)
    assert (told.wrong, told.signals, told.signals + told.outcomes) == (None, 1_700, len(HISTORY))


def test_opened_by_its_end_it_is_what_reading_all_of_it_gives(ledger: Path) -> None:
    one = book(ledger)
    assert plain(one.records()) == track_records(HISTORY)
    assert one.open_signals == verify_ledger(ledger, LATER_US).open
    one.close()


def test_a_ledger_that_was_opened_often_has_the_same_record(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    for at in range(0, len(HISTORY), 300):
        kept_at(path, HISTORY[at : at + 300])
    one = book(path)
    assert plain(one.records()) == track_records(HISTORY)
    one.close()
    assert verify_ledger(path, LATER_US).wrong is None


def test_what_is_far_from_the_end_is_not_read_at_a_start_and_found_by_verifying(
    ledger: Path,
) -> None:
    changed(ledger, "UPDATE entries SET payload = 'nonsense' WHERE n = 40")
    book(ledger).close()
    assert verify_ledger(ledger, LATER_US).wrong == (
        "entry 40: its hash is not that of what it says: it was changed"
    )


@pytest.mark.parametrize("back", [0, 1, CHECKED // 2, CHECKED - 1])
def test_a_wrong_entry_near_the_end_is_found_at_a_start(ledger: Path, back: int) -> None:
    n = verify_ledger(ledger, LATER_US).entries - back
    changed(ledger, "UPDATE entries SET at = at + 1 WHERE n = ?", n)
    with pytest.raises(LedgerError, match=f"is wrong: entry {n}: its hash is not that"):
        book(ledger)


def test_an_end_that_was_cut_off_behind_its_state_is_found_without_a_witness(ledger: Path) -> None:
    witness_of(ledger).unlink()
    (row,) = states_of(ledger)
    changed(ledger, "DELETE FROM entries WHERE n >= ?", row.n)
    assert verify_ledger(ledger, LATER_US).wrong == (
        "it knows what came of more entries than there are: its end was cut off"
    )
    with pytest.raises(LedgerError, match=f"does not have the entry {row.n} that its state is of"):
        book(ledger)


def test_sums_that_somebody_made_up_are_found_and_named(ledger: Path) -> None:
    def better(state: State) -> State:
        first, *others = state.sums
        return msgspec.structs.replace(
            state, sums=(msgspec.structs.replace(first, hits=first.hits + 1), *others)
        )

    restated(ledger, better)
    first = next(each for each in track_records(HISTORY) if each.pair is None)
    wrong = verify_ledger(ledger, LATER_US).wrong
    assert wrong is not None
    assert f": {first.model} {first.version} all pairs: hits " in wrong


def test_sums_that_somebody_made_up_are_not_told(ledger: Path) -> None:
    restated(ledger, lambda state: msgspec.structs.replace(state, sums=()))
    one = book(ledger)
    assert plain(one.records()) == track_records(HISTORY)
    one.close()


def test_a_state_that_says_the_same_otherwise_is_not_what_was_sealed(ledger: Path) -> None:
    (row,) = states_of(ledger)
    text = row.text + b" "
    changed(
        ledger,
        "UPDATE states SET state = ?, hash = ?",
        text.decode(),
        hashlib.sha256(text).hexdigest(),
    )
    assert verify_ledger(ledger, LATER_US).wrong == (
        f"what it says its entries came to: after entry {row.n}: it is not what was sealed then"
    )


@pytest.mark.parametrize(
    ("field", "value"), [("open", ()), ("said", {}), ("segment", 2), ("head", "0" * 64)]
)
def test_whatever_else_of_a_state_was_made_up_is_found(
    ledger: Path, field: str, value: object
) -> None:
    restated(ledger, lambda state: msgspec.structs.replace(state, **{field: value}))
    assert f": {field} is not what the entries give" in (verify_ledger(ledger, 0).wrong or "")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE states SET state = replace(state, '\"hits\":', '\"hits\":1')",
        "UPDATE states SET hash = 'ab'",
        "UPDATE states SET state = x'ff'",
        "UPDATE states SET n = n - 1",
        "DELETE FROM states",
    ],
)
def test_where_its_state_is_damaged_or_gone_all_is_read_instead(
    ledger: Path, statement: str
) -> None:
    changed(ledger, statement)
    one = book(ledger)
    assert plain(one.records()) == track_records(HISTORY)
    one.close()
    assert verify_ledger(ledger, LATER_US).wrong is None


LAYOUT_1 = (
    "PRAGMA application_id = 1909222014",
    """CREATE TABLE entries (
    n INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    signal TEXT,
    payload TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL,
    UNIQUE (signal, kind)
)""",
    """CREATE TRIGGER entries_are_not_changed BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER entries_are_not_deleted BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
)
"""As ledgers were made until 2026-11-21."""


@pytest.fixture(scope="module")
def made_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("before") / "ledger.sqlite"
    entries = [entry_of(Genesis("5f0c", NOW_US, 1, simulated=False), 1, NOW_US, NOTHING_BEFORE)]
    for payload in HISTORY:
        entries.append(entry_of(payload, len(entries) + 1, NOW_US, entries[-1].hash))
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for statement in LAYOUT_1:
            file.execute(statement)
        file.execute("BEGIN")
        rows = [entry._replace(payload=entry.payload.decode()) for entry in entries]  # type: ignore[arg-type]
        file.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        file.execute("COMMIT")
    write_head(path, Head(len(entries), entries[-1].hash))
    return path


@pytest.fixture
def old(made_before: Path, tmp_path: Path) -> Path:
    path = tmp_path / made_before.name
    shutil.copy(made_before, path)
    shutil.copy(witness_of(made_before), witness_of(path))
    return path


def test_a_ledger_of_before_states_is_verified_as_it_is(old: Path) -> None:
    before = old.read_bytes()
    told = verify_ledger(old, LATER_US)
    assert (told.wrong, told.entries) == (None, len(HISTORY) + 1)
    assert plain(told.records.all()) == track_records(HISTORY)
    assert old.read_bytes() == before


def test_a_ledger_of_before_states_is_gone_on_with_and_loses_nothing(old: Path) -> None:
    with closing(Table.to_read(old)) as table:
        before = list(table.entries())
    one = book(old)
    assert plain(one.records()) == track_records(HISTORY)
    one.close()
    with closing(Table.to_read(old)) as table:
        assert table.has_states
        assert list(table.entries())[:-1] == before
    assert [row.n for row in states_of(old)] == [len(HISTORY) + 1]
    assert verify_ledger(old, LATER_US).wrong is None


def test_a_ledger_of_before_states_that_is_full_goes_on_in_another_file(old: Path) -> None:
    for _ in range(2):
        one = Book.open(old, simulated=False, clock=ManualClock(), segment_bytes_max=100_000)
        assert plain(one.records()) == track_records(HISTORY)
        one.close()
    assert [file.number for file in segment_files(old)] == [1, 2]
    assert verify_ledger(old, LATER_US).wrong is None


def test_a_file_says_which_layout_it_has(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (LAYOUT,)


def test_a_ledger_that_is_gone_while_its_witness_is_there_is_not_begun_anew(ledger: Path) -> None:
    ledger.unlink()
    with pytest.raises(LedgerError, match="and its witness saw 3400 entries"):
        book(ledger)


def test_a_reader_that_takes_its_time_does_not_leave_a_long_wal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.sqlite"
    monkeypatch.setattr("feeds.ledger.table._WAL_BYTES_MAX", 65_536)
    one = book(path)
    one.append(HISTORY[:10])
    waiting = path.with_name(path.name + "-wal")
    with closing(Table.to_read(path)) as reader:
        assert reader.last == 11
        one.append(history(4_000, seed=7))
        assert waiting.stat().st_size > 1_000_000
    for number in range(3):
        one.append([signal(1_000_000 + number)])
    assert waiting.stat().st_size <= 65_536
    one.close()
