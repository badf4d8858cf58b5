"""The ledger on a disk: appended first, never twice, the same after a restart, one writer."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from feeds.errors import LedgerError
from feeds.ledger.book import Book
from feeds.ledger.store import Ledger
from feeds.ledger.track_record import track_records
from feeds.ledger.verification import verify_ledger
from feeds.ledger.witness import witness_of
from feeds.market import Outcome, Signal
from tests.ledger_entries import NOW_US, SECOND_US, history, outcome, signal
from tests.manual_clock import ManualClock
from tests.running_tickgate import REPOSITORY

LATER_US = NOW_US + 3_600 * SECOND_US


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "ledger.sqlite"


async def opened(path: Path, *, simulated: bool = False) -> Ledger:
    return await Ledger.open(path, simulated=simulated, clock=ManualClock())


@pytest.fixture
async def ledger(path: Path) -> AsyncIterator[Ledger]:
    one = await opened(path)
    yield one
    await one.close()


async def test_what_is_appended_can_be_verified_at_once(ledger: Ledger, path: Path) -> None:
    told = history(40)
    assert await ledger.append(told) == told
    found = verify_ledger(path, LATER_US)
    assert found.wrong is None
    assert (found.entries, found.signals, found.outcomes) == (len(told) + 1, 40, len(told) - 40)
    assert found.compared_with == ("its witness",)


async def test_it_is_its_owners_to_read(ledger: Ledger, path: Path) -> None:
    await ledger.append(history(1))
    files = [one for one in path.parent.iterdir() if one.name.startswith(path.name)]
    assert files
    assert {one.stat().st_mode & 0o077 for one in files} == {0}


async def test_a_restart_goes_on_where_it_was(path: Path) -> None:
    told = history(60)
    first = await opened(path)
    await first.append(told[:70])
    before = (await first.open_signals(), await first.records(), await first.recent(50))
    await first.close()
    second = await opened(path)
    assert (await second.open_signals(), await second.records(), await second.recent(50)) == before
    assert await second.append(told[70:]) == told[70:]
    records = [
        msgspec.structs.replace(each, entries=None, head=None) for each in track_records(told)
    ]
    assert [
        msgspec.structs.replace(each, entries=None, head=None) for each in await second.records()
    ] == records
    await second.close()
    assert verify_ledger(path, LATER_US).wrong is None


async def test_its_newest_entries_are_told_as_they_were_appended(ledger: Ledger) -> None:
    told = history(30)
    await ledger.append(told)
    outcomes = [each for each in told if isinstance(each, Outcome)]
    assert await ledger.recent(1_000) == told
    ended = {each.signal for each in outcomes}
    signals = [each for each in told if isinstance(each, Signal)]
    assert await ledger.open_signals() == [each for each in signals if each.id not in ended]


async def test_records_name_the_ledgers_head(ledger: Ledger, path: Path) -> None:
    await ledger.append(history(10))
    records = await ledger.records()
    found = verify_ledger(path, LATER_US)
    assert {(each.entries, each.head) for each in records} == {(found.entries, found.head)}
    assert await ledger.changed_records() == records
    assert await ledger.changed_records() == []


async def test_a_second_outcome_is_refused_and_not_to_be_published(ledger: Ledger) -> None:
    one = signal()
    assert await ledger.append([one, outcome(one)]) == [one, outcome(one)]
    assert await ledger.append([outcome(one), outcome(one, "250")]) == []
    assert len(await ledger.recent(10)) == 2


@pytest.mark.parametrize("is_open", [True, False])
async def test_a_signal_that_is_there_is_refused(ledger: Ledger, is_open: bool) -> None:
    one, other = signal(), signal(30)
    told = [one] if is_open else [one, outcome(one)]
    await ledger.append(told)
    assert await ledger.append([one, other]) == [other]


async def test_an_outcome_of_no_signal_is_refused(ledger: Ledger) -> None:
    assert await ledger.append([outcome(signal())]) == []


@pytest.mark.parametrize(
    "wrong",
    [
        msgspec.structs.replace(signal(), score=float("nan")),
        msgspec.structs.replace(signal(), last_move=float("inf")),
        msgspec.structs.replace(signal(), simulated=True),
        msgspec.structs.replace(signal(), id="nonsense"),
        msgspec.structs.replace(signal(), horizon_s=0),
    ],
)
async def test_what_could_not_be_proven_is_left_out_alone(ledger: Ledger, wrong: Signal) -> None:
    other = signal(30)
    assert await ledger.append([wrong, other]) == [other]


async def test_an_outcome_that_is_not_what_its_prices_give_is_refused(ledger: Ledger) -> None:
    one = signal()
    told = outcome(one)
    await ledger.append([one])
    assert await ledger.append([msgspec.structs.replace(told, result=0.5)]) == []
    assert await ledger.append([msgspec.structs.replace(told, direction="bear")]) == []
    assert await ledger.append([told]) == [told]


async def test_a_second_process_is_told_who_writes_it(ledger: Ledger, path: Path) -> None:
    with pytest.raises(LedgerError, match=f"another process \\({os.getpid()}\\) writes"):
        await opened(path)


async def test_a_simulated_market_and_live_ones_have_ledgers_of_their_own(path: Path) -> None:
    await (await opened(path)).close()
    with pytest.raises(LedgerError, match="is the ledger of live markets"):
        await opened(path, simulated=True)


def book(path: Path) -> Book:
    return Book.open(path, simulated=False, clock=ManualClock())


def kept(path: Path, told: Sequence[Signal | Outcome]) -> None:
    """Appended, and closed."""
    one = book(path)
    one.append(told)
    one.close()


def test_a_file_that_is_something_else_is_left_alone(path: Path) -> None:
    content = b"not a database at all" * 500
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="file is not a database"):
        book(path)
    assert path.read_bytes() == content


def test_another_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE entries (n INTEGER)")
    with pytest.raises(LedgerError, match="is no ledger, or its table was changed"):
        book(path)


def test_an_empty_file_becomes_a_ledger(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    book(path).close()
    assert verify_ledger(path, LATER_US).entries == 1


async def test_a_place_that_cannot_be_written_is_one_clear_error() -> None:
    with pytest.raises(LedgerError, match=r"can't be used: .*File exists"):
        await opened(Path("/dev/null/ledger.sqlite"))


def test_a_ledger_with_a_wrong_entry_is_not_written_on(path: Path) -> None:
    kept(path, history(5))
    path.write_bytes(path.read_bytes().replace(b'"macd":0.25', b'"macd":0.75', 1))
    with pytest.raises(LedgerError, match=r"is wrong: entry \d+: its hash is not that"):
        book(path)


def test_a_ledger_whose_end_was_cut_off_is_not_written_on(path: Path) -> None:
    kept(path, history(5))
    shorter = path.read_bytes()
    kept(path, [signal(9_999)])
    path.write_bytes(shorter)
    with pytest.raises(LedgerError, match="its end was cut off or rewritten"):
        book(path)


def test_a_witness_that_stayed_behind_is_no_harm(path: Path) -> None:
    book(path).close()
    behind = witness_of(path).read_bytes()
    kept(path, history(5))
    witness_of(path).write_bytes(behind)
    book(path).close()
    assert verify_ledger(path, LATER_US).wrong is None


async def test_closing_twice_is_no_harm(path: Path) -> None:
    one = await opened(path)
    await one.close()
    await one.close()
    await (await opened(path)).close()


WRITES_AND_DIES = """
import os, sys
from pathlib import Path
from feeds.ledger.book import Book
from tests.ledger_entries import history
from tests.manual_clock import ManualClock
book = Book.open(Path(sys.argv[1]), simulated=False, clock=ManualClock())
book.append(history(20))
os.kill(os.getpid(), 9)
"""


def test_a_writer_that_is_killed_leaves_all_that_it_appended(path: Path) -> None:
    command = [sys.executable, "-c", WRITES_AND_DIES, str(path)]
    died = subprocess.run(command, cwd=REPOSITORY, check=False, timeout=20)
    assert died.returncode == -9
    assert path.with_name(path.name + "-wal").exists()
    found = verify_ledger(path, LATER_US)
    assert found.wrong is None
    assert found.entries == len(history(20)) + 1


def test_a_killed_writers_ledger_can_be_opened_again(path: Path) -> None:
    command = [sys.executable, "-c", WRITES_AND_DIES, str(path)]
    subprocess.run(command, cwd=REPOSITORY, check=False, timeout=20)
    one = book(path)
    assert one.recent(1_000) == history(20)
    one.close()


def test_a_full_disk_is_told_and_outcomes_wait_for_it_while_signals_do_not(path: Path) -> None:
    one = book(path)
    disk = one._table._connection
    first, second, third = signal(-60), signal(-30), signal(9_999)
    one.append([first])
    size = disk.execute("PRAGMA page_count").fetchone()[0]
    disk.execute(f"PRAGMA max_page_count = {size + 3}").fetchall()
    late = outcome(first)
    with pytest.raises(LedgerError, match="can't be used: database or disk is full"):
        one.append([late, second, *history(200)])
    disk.execute("PRAGMA max_page_count = 100000").fetchall()
    added = one.append([third])
    assert (added[0], added[-1]) == (late, third)
    assert second not in added
    one.close()
    assert verify_ledger(path, LATER_US).wrong is None


def test_a_trial_finds_a_full_disk_where_a_last_entry_would_still_go_in(path: Path) -> None:
    one = book(path)
    disk = one._table._connection
    told = history(5)
    one.append(told)
    size = disk.execute("PRAGMA page_count").fetchone()[0]
    disk.execute(f"PRAGMA max_page_count = {size + 3}").fetchall()
    with pytest.raises(LedgerError, match="can't be used: database or disk is full"):
        one.try_writing()
    assert one.append([signal(9_999)])
    disk.execute("PRAGMA max_page_count = 100000").fetchall()
    one.try_writing()
    assert one.recent(1_000) == [*told, signal(9_999)]
    one.close()
    assert verify_ledger(path, LATER_US).wrong is None


def test_a_trial_is_written_to_the_disk_before_it_is_taken_back(path: Path) -> None:
    one = book(path)
    wal = path.with_name(path.name + "-wal")
    before = wal.stat().st_size
    one.try_writing()
    assert wal.stat().st_size > before + 128 * 1024
    one.close()


def test_what_came_of_a_signal_that_the_full_disk_refused_is_not_written_either(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = book(path)
    disk = one._table._connection
    size = disk.execute("PRAGMA page_count").fetchone()[0]
    disk.execute(f"PRAGMA max_page_count = {size + 3}").fetchall()
    with pytest.raises(LedgerError, match="can't be used: database or disk is full"):
        one.append(history(200))
    disk.execute("PRAGMA max_page_count = 100000").fetchall()
    last = signal(9_999)
    assert one.append([last]) == [last]
    one.close()
    assert not caplog.records
