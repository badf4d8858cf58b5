"""A ledger that somebody changed is found wrong, wherever the change is.

Whoever rewrites all of it, witness included, is given away by a head that was published before.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from feeds.ledger.book import Book
from feeds.ledger.entry import Entry, payload_of, seal
from feeds.ledger.sealing import seal_path
from feeds.ledger.table import Table
from feeds.ledger.verification import Verification, verify_ledger
from feeds.ledger.witness import Head, witness_of, write_head
from feeds.market import Signal
from tests.ledger_entries import NOW_US, SECOND_US, history, outcome, signal
from tests.manual_clock import ManualClock

LATER_US = NOW_US + 1_000 * 3_600 * SECOND_US
HISTORY = history(40)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    book = Book.open(path, simulated=False, clock=ManualClock())
    book.append(HISTORY)
    book.close()
    return path


def verified(path: Path, head: str | None = None, entries: int | None = None) -> Verification:
    return verify_ledger(path, LATER_US, head, entries)


def entries_of(path: Path) -> list[Entry]:
    with closing(Table.to_read(path)) as table:
        return list(table.entries())


def tampered(path: Path, *statements: tuple[str, Sequence[object]]) -> None:
    """By somebody who takes the triggers away, and puts them back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        triggers = file.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        kept = triggers.fetchall()
        for name, _ in kept:
            file.execute(f"DROP TRIGGER {name}")
        for statement, values in statements:
            file.execute(statement, values)
        for _, definition in kept:
            file.execute(definition)


def rewritten(path: Path, change: Callable[[bytes], bytes], *, until: int | None = None) -> None:
    """One payload changed, and the hashes of all that follows up to an entry made new."""
    previous, statements = "", []
    for entry in entries_of(path):
        payload = change(entry.payload)
        if not previous and payload == entry.payload:
            continue
        if until is not None and entry.n > until:
            break
        before = previous or entry.previous
        previous = seal(entry.n, entry.at_us, entry.kind, before, payload)
        values = (payload.decode(), before, previous, entry.n)
        statements.append(
            ("UPDATE entries SET payload = ?, previous = ?, hash = ? WHERE n = ?", values)
        )
    tampered(path, *statements)


EDITED = next(each for each in HISTORY[20:] if isinstance(each, Signal))


def better(payload: bytes) -> bytes:
    """One signal's reasons, made up afterwards."""
    is_it = payload.startswith(b'{"id":"%b"' % EDITED.id.encode())
    return payload.replace(b'"macd":0.25', b'"macd":0.75') if is_it else payload


def test_one_flipped_byte_of_every_entry_is_found(ledger: Path) -> None:
    whole = ledger.read_bytes()
    random = Random(3)
    for entry in entries_of(ledger):
        at = whole.index(entry.payload) + random.randrange(len(entry.payload))
        damaged = bytearray(whole)
        damaged[at] ^= 1 << random.randrange(8)
        ledger.write_bytes(damaged)
        wrong = verified(ledger).wrong
        assert wrong is not None
        assert wrong.startswith((f"entry {entry.n}: ", "the file is damaged"))


def test_one_flipped_byte_of_a_ledger_that_is_being_written_is_found(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    book = Book.open(path, simulated=False, clock=ManualClock())
    book.append(HISTORY)
    waiting = path.with_name(path.name + "-wal")
    copy = tmp_path / "copy" / path.name
    copy.parent.mkdir()
    whole = waiting.read_bytes()
    files = {copy: path, witness_of(copy): witness_of(path)}
    before = entries_of(path)
    random = Random(4)
    for place in sorted(random.sample(range(len(whole)), 60)):
        for theirs, ours in files.items():
            theirs.write_bytes(ours.read_bytes())
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        copy.with_name(waiting.name).write_bytes(damaged)
        copy.with_name(path.name + "-shm").unlink(missing_ok=True)
        told = verified(copy)
        if told.wrong is None:
            assert told.unchecked.count == 1
            assert entries_of(copy) == before, f"byte {place}"
    book.close()


@pytest.mark.parametrize(
    ("statement", "wrong"),
    [
        ("DELETE FROM entries WHERE n = 7", "entry 7: it is missing: the next one there is 8"),
        ("DELETE FROM entries WHERE n = 1", "entry 1: it is missing: the next one there is 2"),
        ("DELETE FROM entries", "it ends with entry 0; its witness is of entry 78: it was cut off"),
        ("DELETE FROM entries WHERE n > 70", "it ends with entry 70; its witness is of entry 78"),
        ("UPDATE entries SET n = n + 1000 WHERE n = 78", "entry 78: it is missing"),
        ("UPDATE entries SET at = at - 1 WHERE n = 9", "entry 9: its hash is not that of what it"),
        ("UPDATE entries SET kind = 'outcomes' WHERE n = 9", "entry 9: its hash is not that of"),
        ("UPDATE entries SET signal = 'x' WHERE n = 9", "entry 9: it is kept as 'x', and is "),
        ("UPDATE entries SET previous = hash WHERE n = 9", "entry 9: its hash is not that of"),
        ("UPDATE entries SET hash = 'ab' WHERE n = 9", "entry 9: its hash is not that of"),
        ("UPDATE entries SET payload = payload || ' ' WHERE n = 9", "entry 9: its hash is not"),
        ("UPDATE entries SET payload = x'ff' WHERE n = 9", "entry 9: its hash is not that of"),
        ("UPDATE entries SET payload = 5 WHERE n = 9", "entry 9: its hash is not that of"),
    ],
)
def test_what_was_changed_by_sql_is_found(ledger: Path, statement: str, wrong: str) -> None:
    tampered(ledger, (statement, ()))
    told = verified(ledger).wrong
    assert told is not None
    assert told.startswith(wrong)


def test_two_entries_that_changed_places_are_found(ledger: Path) -> None:
    move = "UPDATE entries SET n = ? WHERE n = ?"
    tampered(ledger, (move, (1_000, 7)), (move, (7, 8)), (move, (8, 1_000)))
    assert verified(ledger).wrong == "entry 7: its hash is not that of what it says: it was changed"


def test_the_courtesy_of_triggers_refuses_to_change_or_delete(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as file:
        for statement in ("UPDATE entries SET at = 0", "DELETE FROM entries"):
            with pytest.raises(sqlite3.IntegrityError, match="the ledger is append-only"):
                file.execute(statement)


def test_triggers_that_were_taken_away_are_missed(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as file:
        file.execute("DROP TRIGGER entries_are_not_changed")
    assert verified(ledger).wrong == "it is no ledger of Tickgate, or its table was changed"


def test_an_edited_entry_with_its_own_hash_made_new_is_found_by_the_next(ledger: Path) -> None:
    (number,) = [entry.n for entry in entries_of(ledger) if better(entry.payload) != entry.payload]
    rewritten(ledger, better, until=number)
    assert verified(ledger).wrong == (
        f"entry {number + 1}: it does not follow the one before: the hash of that is another"
    )


def test_a_ledger_that_was_rewritten_from_an_entry_on_is_found_by_its_witness(ledger: Path) -> None:
    rewritten(ledger, better)
    assert (
        verified(ledger).wrong == "entry 78: its hash is not that of its witness: it was rewritten"
    )


def test_one_that_was_rewritten_with_its_witness_is_given_away_by_published_heads(
    ledger: Path,
) -> None:
    published = verified(ledger)
    rewritten(ledger, better)
    forged = entries_of(ledger)[-1]
    write_head(ledger, Head(forged.n, forged.hash))
    seal_path(ledger).unlink()
    assert verified(ledger).wrong is None
    head, entries = published.head, published.entries
    assert verified(ledger, head, entries).wrong == (
        "entry 78: its hash is not that of the head you gave: it was rewritten"
    )
    assert verified(ledger, head).wrong == (
        "no entry has the hash of the head you gave: it was cut off or rewritten"
    )


def test_a_tail_that_was_cut_off_leaves_traces_in_the_file(ledger: Path) -> None:
    tampered(ledger, ("DELETE FROM entries WHERE n > 70", ()))
    witness_of(ledger).unlink()
    seal_path(ledger).unlink()
    wrong = verified(ledger).wrong
    assert wrong is not None
    assert wrong.endswith(" has something where nothing is kept")


def test_a_tail_that_was_cut_off_with_the_witness_is_given_away_by_published_heads(
    ledger: Path,
) -> None:
    published = verified(ledger)
    tampered(ledger, ("DELETE FROM entries WHERE n > 70", ()), ("VACUUM", ()))
    witness_of(ledger).unlink()
    seal_path(ledger).unlink()
    assert verified(ledger).wrong is None
    assert verified(ledger, published.head).wrong is not None
    assert verified(ledger, entries=published.entries).wrong == (
        "it ends with entry 70; the head you gave is of entry 78: it was cut off"
    )


def test_a_head_of_before_is_still_there_when_the_ledger_has_grown(ledger: Path) -> None:
    published = verified(ledger)
    book = Book.open(ledger, simulated=False, clock=ManualClock())
    book.append([signal(9_999)])
    book.close()
    assert verified(ledger, published.head, published.entries).wrong is None


def test_signals_whose_outcome_was_left_out_are_named(ledger: Path) -> None:
    told = verified(ledger)
    assert told.wrong is None
    open_ids = [each.id for each in told.open]
    assert len(open_ids) == 3
    assert told.overdue.count == 3
    assert [line.partition(": for ")[0] for line in told.overdue.first] == open_ids


def test_a_signal_that_was_appended_long_after_it_says_it_was_made_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    clock = ManualClock()
    book = Book.open(path, simulated=False, clock=clock)
    clock.advance(7_200)
    book.append([signal(0), signal(7_199)])
    book.close()
    told = verified(path)
    assert told.wrong is None
    assert told.late.count == 1
    assert told.late.first == [f"{signal(0).id}: appended 7200 s later"]


def test_what_is_kept_is_what_was_said(ledger: Path) -> None:
    _, *kept = map(payload_of, entries_of(ledger))
    assert kept == HISTORY
    assert outcome(signal()) not in kept
