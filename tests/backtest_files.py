"""Files for backtests, and markets to put into them: random walks, the same for the same seed."""

import gzip
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

import msgspec

from feeds.backtest.files import File
from feeds.backtest.run import Backtest, backtest
from feeds.derived.settings import DerivedChoices
from feeds.derived.signal_settings import (
    AnomalySettings,
    FlowSettings,
    LearnedSettings,
    ReversionSettings,
    SignalSettings,
    TrendSettings,
)

MINUTE_US = 60_000_000
START_US = 1_763_640_000_000_000
"""2025-11-20 12:00 UTC."""
MODELS = ("trend", "reversion", "flow", "anomaly")

QUICK = DerivedChoices(
    signal=SignalSettings(
        models=MODELS,
        trend=TrendSettings(
            horizon=3, enter=0.1, leave=0.02, fast=3, slow=6, macd=(3, 5, 2), atr=3
        ),
        reversion=ReversionSettings(horizon=3, enter=0.2, leave=0.05, rsi=4, bollinger=5),
        flow=FlowSettings(horizon=2, enter=0.1, leave=0.02, decay=3, history=6),
        anomaly=AnomalySettings(
            horizon=4, enter=0.1, leave=0.05, history=10, z_volume=0.5, z_move=0.5
        ),
        learned=LearnedSettings(horizon=3, enter=0.01, leave=0.005, examples=10),
    )
)
"""Models that warm up within a few candles and speak often: what they say is not the point."""

Row = tuple[int, float, float, float, float, float]
"""A candle: start, open, high, low, close, volume."""


def walk(minutes: int, seed: int = 7, start_us: int = START_US) -> list[Row]:
    """A market that goes nowhere in particular."""
    random = Random(seed)
    rows: list[Row] = []
    close = 50_000.0
    for minute in range(minutes):
        open_, close = close, round(close * (1 + random.gauss(0, 0.001)), 2)
        high = round(max(open_, close) * (1 + abs(random.gauss(0, 0.0003))), 2)
        low = round(min(open_, close) * (1 - abs(random.gauss(0, 0.0003))), 2)
        volume = round(random.lognormvariate(1, 1), 4)
        rows.append((start_us + minute * MINUTE_US, open_, high, low, close, volume))
    return rows


def candle_csv(path: Path, rows: Iterable[Row]) -> Path:
    lines = ["start,open,high,low,close,volume"]
    lines += [",".join(map(str, (start_us // 1_000, *numbers))) for start_us, *numbers in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def lean_zip(directory: Path, name: str, lines: Iterable[str]) -> Path:
    path = directory / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bars.csv", "".join(f"{line}\n" for line in lines))
    return path


def messages(path: Path, some: Iterable[dict[str, object]]) -> Path:
    """As `tickgate watch` writes them into a file; gzip where the name says so."""
    text = b"".join(msgspec.json.encode(each) + b"\n" for each in some)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def ticks(seconds: int, seed: int = 7, venue: str = "sim") -> list[dict[str, object]]:
    """Trades and quotes of one market, four of them a second, as messages of subscribers."""
    random = Random(seed)
    found: list[dict[str, object]] = []
    price = 50_000.0
    for number in range(4 * seconds):
        at_us = START_US + number * 250_000
        price = round(price * (1 + random.gauss(0, 0.0004)), 2)
        times = {"t": at_us - 3_000, "rx": at_us, "tx": at_us + 200, "gw": at_us + 300}
        if number % 2:
            quote = {"bid": f"{price:.2f}", "ask": f"{price + 1:.2f}", "bid_sz": "1", "ask_sz": "2"}
            found.append({"ch": f"quote:{venue}:BTC-USD", "seq": number, **quote, **times})
        else:
            side = random.choice(("buy", "sell"))
            size = f"{random.lognormvariate(0, 1):.4f}"
            trade = {"px": f"{price:.2f}", "sz": size, "side": side, "id": str(number)}
            found.append({"ch": f"trade:{venue}:BTC-USD", "seq": number, **trade, **times})
    return found


def run(
    paths: Sequence[Path], choices: DerivedChoices = QUICK, pair: str | None = "BTC-USD"
) -> Backtest:
    return backtest([File(path) for path in paths], choices, pair=pair, advance=lambda _: None)


def told(done: Backtest, until_us: int | None = None) -> list[bytes]:
    """Signals and outcomes byte for byte, in the order told: those of up to a moment."""
    entries = list(zip(done.heard.entries, done.heard.entries_at_us, strict=True))
    return [
        msgspec.json.encode(one) for one, at_us in entries if until_us is None or at_us <= until_us
    ]
