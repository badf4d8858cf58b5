"""No lookahead, through the whole of a backtest: what comes later changes nothing told before."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.derived.settings import DerivedChoices
from tests.backtest_files import (
    MINUTE_US,
    QUICK,
    START_US,
    Row,
    candle_csv,
    lean_zip,
    messages,
    run,
    ticks,
    told,
    walk,
)

MINUTES = 120
SECONDS = 40
ROWS = walk(MINUTES)
TICKS = ticks(SECONDS)

Later = Callable[[list[Row]], list[Row]]


def _shifted(rows: list[Row]) -> list[Row]:
    return [(start_us + 7 * MINUTE_US, *numbers) for start_us, *numbers in rows]  # type: ignore[misc]


def _doubled(rows: list[Row]) -> list[Row]:
    return [(s, 2 * o, 2 * h, 2 * low, 2 * c, 3 * v) for s, o, h, low, c, v in rows]


def _upside_down(rows: list[Row]) -> list[Row]:
    return [(s, 1e5 - o, 1e5 - low, 1e5 - h, 1e5 - c, v) for s, o, h, low, c, v in rows]


LATER: dict[str, Later] = {
    "doubled": _doubled,
    "shifted": _shifted,
    "upside down": _upside_down,
    "another": lambda rows: walk(len(rows), 99, rows[0][0]) if rows else [],
    "nothing": lambda _: [],
}


@pytest.mark.parametrize("later", LATER.values(), ids=LATER)
@settings(max_examples=5)
@given(known=st.integers(20, MINUTES - 1))
def test_what_candles_come_later_changes_no_signal_and_no_outcome_of_before(
    later: Later, known: int
) -> None:
    until_us = START_US + known * MINUTE_US
    with TemporaryDirectory() as directory:
        path = Path(directory) / "walk.csv"
        before = told(run([candle_csv(path, ROWS)]), until_us)
        after = told(run([candle_csv(path, ROWS[:known] + later(ROWS[known:]))]), until_us)
    assert before == after
    assert before


def test_a_backtest_of_candles_says_something_worth_comparing(tmp_path: Path) -> None:
    done = run([candle_csv(tmp_path / "walk.csv", ROWS)])
    models = {signal.model for signal in done.heard.signals}
    assert models >= {"trend", "reversion", "anomaly"}
    assert len(done.heard.entries) > 100


@settings(max_examples=4)
@given(known=st.integers(70, len(TICKS) - 1), factor=st.sampled_from((0.5, 1.0001, 3.0)))
def test_what_ticks_come_later_changes_no_signal_and_no_outcome_of_before(
    known: int, factor: float
) -> None:
    until_us = TICKS[known - 1]["rx"]
    assert isinstance(until_us, int)
    changed = [dict(each) for each in TICKS]
    for each in changed[known:]:
        for name in each.keys() & {"px", "bid", "ask"}:
            each[name] = f"{float(str(each[name])) * factor:.2f}"
    with TemporaryDirectory() as directory:
        path = Path(directory) / "watched.jsonl"
        before = told(run([messages(path, TICKS)]), until_us)
        after = told(run([messages(path, changed)]), until_us)
        cut = told(run([messages(path, TICKS[:known])]), until_us)
    assert before == after == cut
    assert before


@settings(max_examples=4)
@given(known=st.integers(20, MINUTES - 1))
def test_what_quotes_come_later_changes_no_signal_that_starts_from_a_price(known: int) -> None:
    until_us = START_US + known * MINUTE_US
    with TemporaryDirectory() as name:
        directory = Path(name)
        files = [_lean_trades(directory, ROWS), _lean_quotes(directory, ROWS)]
        before = told(run(files), until_us)
        changed = ROWS[:known] + _doubled(ROWS[known:])
        _lean_trades(directory, changed)
        _lean_quotes(directory, changed)
        after = told(run(files), until_us)
    assert before == after
    assert any(b'"ch":"price:agg:BTC-USD"' in each for each in before)


def _lean_trades(directory: Path, rows: list[Row]) -> Path:
    lines = [",".join(map(str, (_ms(s), o, h, low, c, v))) for s, o, h, low, c, v in rows]
    return lean_zip(directory, "crypto_kraken_minute_btcusd_20251120_trade", lines)


def _lean_quotes(directory: Path, rows: list[Row]) -> Path:
    lines = [
        ",".join(map(str, (_ms(s), o, h, low, c, 1, o + 1, h + 1, low + 1, c + 1, 2)))
        for s, o, h, low, c, _ in rows
    ]
    return lean_zip(directory, "crypto_kraken_minute_btcusd_20251120_quote", lines)


def _ms(start_us: int) -> int:
    return start_us // 1_000 % 86_400_000


def test_the_same_files_give_the_same_signals_again(tmp_path: Path) -> None:
    path = candle_csv(tmp_path / "walk.csv", ROWS)
    assert told(run([path])) == told(run([path]))


@pytest.mark.parametrize("model", ["trend", "learned"])
def test_models_beside_a_model_change_nothing_of_what_it_says(tmp_path: Path, model: str) -> None:
    if model == "learned":
        pytest.importorskip("river", reason="the model `learned` needs river")
    path = candle_csv(tmp_path / "walk.csv", ROWS)
    together = run([path], _models("trend", "reversion", "learned"))
    alone = run([path], _models(model))
    assert told(alone) == [each for each in told(together) if f'"model":"{model}"'.encode() in each]


def _models(*names: str) -> DerivedChoices:
    signal = msgspec.structs.replace(QUICK.signal, models=names)
    return msgspec.structs.replace(QUICK, signal=signal)
