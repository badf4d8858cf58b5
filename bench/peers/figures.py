"""What the trials of all peers come to: medians, spreads and ratios. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from rich.table import Table

from bench.fanout.figures import Spread, ratio
from bench.fanout.loads import W2, W3
from bench.peers.trial import Trial

_NONE: Final = "-"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One peer. None: it has no such figure."""

    peer: str
    w1_deliveries_per_s: Spread | None
    """The most that it kept up with."""
    w1_client_limited: bool
    """In a repeat or more those around it were at their limit before it was."""
    w2_us: Spread | None
    w2_ratio: Spread | None
    """Of its CPU per delivery to the reference's of the same repeat."""
    w2_p99_ms: Spread | None
    w3_p99_ms: Spread | None
    w3_missing: int
    w3_core: Spread | None
    kib_per_connection: Spread | None
    failures: list[str]


class Peak(msgspec.Struct, frozen=True):
    """Where a peer's climb of one repeat ended."""

    peer: str
    repeat: int
    deliveries_per_s: float
    is_client_limited: bool


def rows(trials: Sequence[Trial], peaks: Sequence[Peak], reference: str) -> list[Row]:
    """In the order in which the peers first came."""
    names = dict.fromkeys(trial.peer for trial in trials)
    costs = {
        trial.repeat: trial.us_per_delivery
        for trial in trials
        if trial.peer == reference and trial.load == W2.name and not trial.failed
    }
    return [_row(name, trials, peaks, costs) for name in names]


def _row(
    name: str, trials: Sequence[Trial], peaks: Sequence[Peak], costs: Mapping[int, float]
) -> Row:
    own = [trial for trial in trials if trial.peer == name]
    sound = [trial for trial in own if not trial.failed]
    w2 = [trial for trial in sound if trial.load == W2.name]
    w3 = [trial for trial in sound if trial.load == W3.name]
    highest = [peak for peak in peaks if peak.peer == name]
    return Row(
        peer=name,
        w1_deliveries_per_s=_spread(peak.deliveries_per_s for peak in highest),
        w1_client_limited=any(peak.is_client_limited for peak in highest),
        w2_us=_spread(trial.us_per_delivery for trial in w2),
        w2_ratio=_spread(
            ratio(trial.us_per_delivery, costs[trial.repeat])
            for trial in w2
            if trial.repeat in costs
        ),
        w2_p99_ms=_spread(trial.p99 for trial in w2),
        w3_p99_ms=_spread(trial.p99 for trial in w3),
        w3_missing=sum(trial.faults for trial in w3),
        w3_core=_spread(trial.server_core for trial in w3),
        kib_per_connection=_spread(trial.kib_per_connection for trial in w2),
        failures=list(dict.fromkeys(trial.failed for trial in own if trial.failed)),
    )


def _spread(values: Iterable[float]) -> Spread | None:
    kept = list(values)
    return Spread.of(kept) if kept else None


def ratio_of_peaks(told: Iterable[Row], one: str, other: str) -> float | None:
    """How many times as much one peer keeps up with as another, by their medians."""
    peaks = {row.peer: row.w1_deliveries_per_s for row in told}
    first, second = peaks.get(one), peaks.get(other)
    if first is None or second is None or not second.median:
        return None
    return first.median / second.median


def table_of(told: Iterable[Row]) -> Table:
    """Medians, and the least and the greatest in brackets."""
    table = Table("server", box=None, pad_edge=False)
    for title in (
        *("W1 deliveries/s", "W2 µs each", "to bare C", "W2 p99 ms"),
        *("W3 p99 ms", "missing", "W3 core", "KiB/conn."),
    ):
        table.add_column(title, justify="right")
    for row in told:
        table.add_row(
            row.peer,
            _told(row.w1_deliveries_per_s, ",.0f") + (" *" if row.w1_client_limited else ""),
            _told(row.w2_us, ".2f"),
            _told(row.w2_ratio, ".2f"),
            _told(row.w2_p99_ms, ",.1f"),
            _told(row.w3_p99_ms, ",.1f"),
            f"{row.w3_missing:,}" if row.w3_p99_ms else _NONE,
            _told(row.w3_core, ".0%"),
            _told(row.kib_per_connection, ".1f"),
        )
    return table


def _told(spread: Spread | None, form: str) -> str:
    return spread.told(form) if spread else _NONE
