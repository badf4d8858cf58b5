"""`tickgate backtest` as users start it: report, plot, JSON, and what it says of what can't be."""

import asyncio
import os
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gateway.cli import main
from gateway.commands.backtest import Report
from tests.backtest_files import candle_csv, messages, ticks, walk
from tests.running_tickgate import COMMAND, LIMIT_S, environment
from tests.until import until

MINUTES = 200
REPORTED = (
    "walk.csv: 1m candles (CSV)",
    "costs 20 bps in and out",
    "trend 1  BTC-USD",
    "reversion 1  BTC-USD",
    "always long",
    "no edge shown",
    "trend followed on BTC-USD:",
    "holding:",
)
MODELS = ("--model", "trend", "--model", "reversion")


@pytest.fixture
def market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file of one pair's candles, in the directory in which the command is called."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TICKGATE_CONFIG", os.devnull)
    return candle_csv(tmp_path / "walk.csv", walk(MINUTES)).name


@pytest.fixture
def called(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Calls `tickgate backtest`: its exit status, stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tickgate", "backtest", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return call


Called = Callable[..., tuple[int, str, str]]


def test_without_matplotlib_there_is_the_report_of_the_ledger_and_one_line(
    called: Called, market: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, out, err = called(market, "--pair", "BTC-USD", *MODELS)
    assert status == 0
    assert [text for text in REPORTED if text not in out] == []
    assert f"{MINUTES} ticks in" in err
    assert "no plot: it needs matplotlib: pip install 'tickgate[backtest]'" in err
    assert not (tmp_path / "backtest.png").exists()


def test_a_plot_lies_beside_it(called: Called, market: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="a plot needs the extra `backtest`")
    _, _, err = called(market, "--pair", "BTC-USD", "--model", "trend")
    assert "plot: backtest.png" in err
    picture = (tmp_path / "backtest.png").read_bytes()
    assert struct.unpack(">II", picture[16:24]) == (1560, 1040)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backtest.png", "walk.csv"]


def test_json_gives_the_same_as_one_object_and_draws_only_where_told(
    called: Called, market: str, tmp_path: Path
) -> None:
    arguments = (market, "--pair", "BTC-USD", "--model", "trend", "--costs-bps", "5", "--json")
    status, out, _ = called(*arguments)
    assert status == 0
    report = msgspec.json.decode(out, type=Report)
    (record,) = report.records
    assert (record.model, record.pair, report.cost_bps) == ("trend", "BTC-USD", 5.0)
    assert record.signals == report.signals > 0
    assert (report.ticks, report.plot) == (MINUTES, None)
    assert not (tmp_path / "backtest.png").exists()
    (equity,) = report.equities
    assert equity.drawdown <= 0
    assert called(*arguments)[1] == out


def test_signals_that_have_not_come_to_their_end_are_told_as_open(
    called: Called, market: str, tmp_path: Path
) -> None:
    messages(tmp_path / "watched.jsonl", ticks(30))
    settings = "fast = 3\nslow = 6\nmacd = [3, 5, 2]\natr = 3\nenter = 0.01\nleave = 0.005\n"
    (tmp_path / "quick.toml").write_text(f"[derived.signal.trend]\n{settings}")
    _, out, _ = called("watched.jsonl", "--model", "trend", "--config", "quick.toml", "--json")
    (record,) = msgspec.json.decode(out, type=Report).records
    assert record.simulated
    assert record.open > 0
    assert record.outcomes == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["none.csv"], "none.csv can't be read: No such file or directory"),
        (["walk.csv"], "walk.csv does not say of which pair it is: give --pair"),
        (["walk.csv", "--pair", "BTC"], "--pair: not a symbol like BTC-USDT: 'BTC'"),
        (["what.txt", "--pair", "BTC-USD"], "what.txt is none of what can be read: "),
        (["walk.csv", "--pair", "B-C", "--out", "no/x.png"], "--out no/x.png: can't be written"),
        (["walk.csv", "--model", "luck"], "'luck' is not one of"),
        (["walk.csv", "--pair", "B-C", "--interval", "1s"], "can't be fed with 1m ones"),
    ],
)
def test_what_can_not_work_is_one_line_and_status_2(
    called: Called, market: str, tmp_path: Path, arguments: list[str], told: str
) -> None:
    (tmp_path / "what.txt").write_text("hello\n")
    status, out, err = called(*arguments)
    assert (status, out) == (2, "")
    assert told in err
    assert len(err.splitlines()) == 1


def test_a_bad_line_is_counted_and_the_first_is_told(
    called: Called, market: str, tmp_path: Path
) -> None:
    with (tmp_path / market).open("a") as file:
        file.write("not,a,row\n1,2,3\n")
    status, out, err = called(market, "--pair", "BTC-USD", "--model", "trend", "--json")
    assert status == 1
    assert msgspec.json.decode(out, type=Report).bad_lines == 2
    assert f"2 lines could not be understood; the first: {market}:202: 3 columns, not 6" in err


async def test_ctrl_c_ends_it_without_a_traceback_and_without_a_plot(tmp_path: Path) -> None:
    long = candle_csv(tmp_path / "long.csv", walk(30_000))
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "backtest", str(long), "--pair", "BTC-USD",
        env=environment(tmp_path), cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        preexec_fn=_hears_ctrl_c,
    )  # fmt: skip
    try:
        await until(lambda: _has_open(process.pid, long), LIMIT_S)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, out, err.strip()) == (130, b"", b"")
    assert not (tmp_path / "backtest.png").exists()


def _hears_ctrl_c() -> None:
    """Also where the tests run in the background: a shell has SIGINT ignored there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _has_open(pid: int, path: Path) -> bool:
    """Whether a process is reading a file."""
    try:
        return any(link.readlink() == path for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
