"""`tickgate ledger`: what is typed, what is printed, and with which status it ends."""

import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from feeds.ledger.book import Book
from feeds.ledger.verification import verify_ledger
from gateway.cli import main
from tests.ledger_entries import history
from tests.manual_clock import ManualClock
from tests.running_tickgate import REPOSITORY, environment, run_to_end

Said = pytest.CaptureFixture[str]


def kept(directory: Path, *, simulated: bool = False, count: int = 120, files: int = 1) -> Path:
    path = directory / ("ledger-simulated.sqlite" if simulated else "ledger.sqlite")
    told = history(count, simulated=simulated)
    for number in range(files):
        bytes_max = 10**9 if number == 0 else 1
        book = Book.open(
            path, simulated=simulated, clock=ManualClock(), segment_bytes_max=bytes_max
        )
        book.append(told[number * len(told) // files : (number + 1) * len(told) // files])
        book.close()
    return path


class Tickgate:
    """The command `tickgate ledger`, in this process: it takes a fiftieth of the time."""

    def __init__(self, directory: Path, typed: pytest.MonkeyPatch, said: Said) -> None:
        self._typed = typed
        self._said = said
        for name in os.environ.keys() & {"REDIS_URL", "TICKGATE_SETTINGS", "TICKGATE_LEDGER_PATH"}:
            typed.delenv(name)
        for name, value in environment(directory, COLUMNS="120").items():
            typed.setenv(name, value)
        typed.chdir(directory)

    def __call__(self, *words: str, **variables: str) -> tuple[int, str, str]:
        """Status, stdout and stderr."""
        for name, value in variables.items():
            self._typed.setenv(name, value)
        self._typed.setattr(sys, "argv", ["tickgate", "ledger", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._said.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> Tickgate:
    return Tickgate(tmp_path, monkeypatch, capsys)


def test_a_whole_ledger_says_so_and_tells_its_head(ledger: Tickgate, tmp_path: Path) -> None:
    found = verify_ledger(kept(tmp_path), 0)
    status, told, _ = ledger("verify")
    assert status == 0
    assert told.startswith(f"{tmp_path / 'ledger.sqlite'}: whole\n")
    assert f"  head {found.head}\n" in told
    assert "  238 entries: 120 signals, 117 outcomes\n" in told
    assert "LOOK: 3 signals are overdue: their horizon is over, and no outcome was told" in told


async def test_it_is_a_command_like_any_other(tmp_path: Path) -> None:
    path = kept(tmp_path)
    status, told, said = await run_to_end("ledger", "verify", data_dir=tmp_path, COLUMNS="120")
    assert (status, said) == (0, "")
    assert told.startswith(f"{path}: whole\n")


def test_a_wrong_ledger_is_status_1_and_names_the_entry(ledger: Tickgate, tmp_path: Path) -> None:
    path = kept(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"macd":0.25', b'"macd":0.75'))
    status, told, _ = ledger("verify", str(path))
    assert status == 1
    assert "WRONG: entry 2: its hash is not that of what it says: it was changed" in told
    status, told, said = ledger("report", str(path))
    assert (status, told) == (1, "")
    assert said == (
        f"tickgate: the ledger {path} is wrong: entry 2: its hash is not that of what it says:"
        " it was changed\n"
    )


def test_a_ledger_without_its_seal_is_right_and_not_whole(ledger: Tickgate, tmp_path: Path) -> None:
    path = kept(tmp_path)
    (tmp_path / "ledger.sqlite.seal").unlink()
    status, told, _ = ledger("verify")
    assert status == 0
    assert told.startswith(f"{path}: every entry is right\n")
    assert "whole" not in told
    assert "  NOT EACH BYTE: ledger.sqlite: it has no seal: " in told


def test_a_published_head_is_compared(ledger: Tickgate, tmp_path: Path) -> None:
    path = kept(tmp_path)
    found = verify_ledger(path, 0)
    status, told, _ = ledger("verify", "--head", str(found.head), "--entries", str(found.entries))
    assert status == 0
    assert "compared with the head you gave and its witness" in told
    status, told, _ = ledger("verify", "--entries", "239")
    assert status == 1
    assert "it ends with entry 238; the head you gave is of entry 239: it was cut off" in told


def test_a_ledger_of_several_files_is_one(ledger: Tickgate, tmp_path: Path) -> None:
    kept(tmp_path, files=3)
    status, told, _ = ledger("verify")
    assert (status, told.count(": whole")) == (0, 1)
    assert "  240 entries in 3 files: 120 signals, 117 outcomes\n" in told
    _, report, _ = ledger("report", "--model", "trend")
    (tmp_path / "ledger.sqlite").unlink()
    status, told, _ = ledger("verify")
    assert status == 0
    assert "  the 80 before them are in segments that are not here\n" in told
    assert ledger("report", "--model", "trend") == (0, report, "")
    status, _, said = ledger("verify", "--entries", "7")
    assert (status, said.count("entry 7 is in a segment that is not here")) == (2, 1)


@pytest.mark.parametrize("words", [["verify"], ["report"], ["verify", "absent.sqlite"]])
def test_where_there_is_no_ledger_it_is_one_line_and_status_2(
    ledger: Tickgate, tmp_path: Path, words: list[str]
) -> None:
    status, told, said = ledger(*words)
    assert (status, told) == (2, "")
    assert said.startswith("tickgate: there is no ledger ")
    assert said.count("\n") == 1


def test_of_live_and_simulated_markets_both_are_told(ledger: Tickgate, tmp_path: Path) -> None:
    paths = [kept(tmp_path), kept(tmp_path, simulated=True)]
    status, told, _ = ledger("verify")
    assert status == 0
    assert [line for line in told.splitlines() if line.endswith(": whole")] == [
        f"{path}: whole" for path in paths
    ]
    assert "of a simulated market, since 2025-11-20" in told
    status, _, said = ledger("verify", "--entries", "7")
    assert (status, said.count("--head and --entries are of one ledger")) == (2, 1)


def test_a_report_sets_the_model_beside_its_baselines_and_says_what_it_shows(
    ledger: Tickgate,
    tmp_path: Path,
) -> None:
    kept(tmp_path)
    status, told, _ = ledger("report", "--model", "trend")
    assert status == 0
    assert told.startswith("trend 1  all pairs  2025-11-20 10:00 to 2025-11-20 ")
    rows = ("the model ", "always long ", "coin flip ", "last move continues ")
    assert all(sum(line.startswith(row) for line in told.splitlines()) == 1 for row in rows)
    assert told.splitlines()[-1].startswith("no edge shown: ")


@pytest.mark.parametrize("columns", ["80", "40"])
def test_no_figure_of_a_report_is_cut_and_a_table_fits_80_columns(
    ledger: Tickgate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    kept(tmp_path)
    monkeypatch.setenv("COLUMNS", columns)
    status, told, _ = ledger("report")
    rows = ("the model ", "always long ", "coin flip ", "last move continues ")
    lengths = [len(line) for line in told.splitlines() if line.startswith(rows)]
    assert (status, len(lengths), told.count("…")) == (0, 8, 0)
    assert max(lengths) <= 80


def test_a_report_of_one_pair_may_be_json(ledger: Tickgate, tmp_path: Path) -> None:
    kept(tmp_path)
    status, told, _ = ledger("report", "--pair", "ETH-USD", "--json")
    records = json.loads(told)
    assert status == 0
    assert [(each["model"], each["pair"]) for each in records] == [
        ("learned", "ETH-USD"), ("trend", "ETH-USD"),
    ]  # fmt: skip
    assert {each["entries"] for each in records} == {238}


def test_a_report_of_what_is_not_there_names_what_is(ledger: Tickgate, tmp_path: Path) -> None:
    kept(tmp_path)
    status, told, said = ledger("report", "--model", "tend")
    assert (status, told) == (2, "")
    assert said == "tickgate: there is no record of that; there is of learned, trend\n"


def test_the_ledgers_place_is_a_setting(ledger: Tickgate, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    path = kept(elsewhere)
    os.rename(path, elsewhere / "kept.db")
    os.rename(f"{path}.head", elsewhere / "kept.db.head")
    os.rename(f"{path}.seal", elsewhere / "kept.db.seal")
    set_to = str(elsewhere / "kept.db")
    status, told, _ = ledger("verify", TICKGATE_LEDGER_PATH=set_to)
    assert status == 0
    assert told.startswith(f"{set_to}: whole\n")


def test_the_readmes_check_needs_nothing_of_ours_and_comes_to_the_same(
    tmp_path: Path, capsys: Said
) -> None:
    path = kept(tmp_path)
    section = (REPOSITORY / "README.md").read_text().split("## The ledger\n")[1]
    program = section.split("```python\n")[1].split("```")[0]
    with closing(sqlite3.connect(path)) as file:
        exec(program.replace('sqlite3.connect("ledger.sqlite")', "file"), {"file": file})
    found = verify_ledger(path, 0)
    assert capsys.readouterr().out == f"{found.entries} {found.head}\n"
