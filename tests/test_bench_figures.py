"""The arithmetic of the benchmarks."""

import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.fanout.figures import (
    Spread,
    differences,
    merged,
    quantile,
    quantiles_ms,
    ratio,
    ratios_of_pairs,
)
from bench.fanout.loads import FIXED, RAMP, Load, told_rate, w1
from bench.fanout.run import bottleneck
from bench.suite import asked_in
from bench.verdict import Asked, at_least, at_most, free_path, keep

_VALUES = st.lists(st.integers(0, 10_000), min_size=1)


def _histogram(values: list[int]) -> list[tuple[int, int]]:
    return [(value, values.count(value)) for value in sorted(set(values))]


@given(st.lists(_VALUES))
def test_merged_histograms_are_the_histogram_of_all_values(parts: list[list[int]]) -> None:
    together = [value for part in parts for value in part]
    assert merged(map(_histogram, parts)) == _histogram(together)


@given(_VALUES, st.sampled_from((0.5, 0.9, 0.99, 1.0)))
def test_a_quantile_is_the_least_value_that_the_share_does_not_exceed(
    values: list[int], share: float
) -> None:
    found = quantile(_histogram(values), share)
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < share * len(values)


def test_the_quantiles_of_nothing_are_no_numbers() -> None:
    assert all(map(math.isnan, quantiles_ms([]).values()))


def test_quantiles_are_told_in_milliseconds() -> None:
    told = quantiles_ms([(1_500, 98), (9_000, 1), (20_000, 1)])
    assert told == {"p50": 1.5, "p90": 1.5, "p99": 9.0, "p99.9": 20.0, "max": 20.0}


def test_a_spread_names_the_median_and_the_ends() -> None:
    assert Spread.of([3.0, 1.0, 9.0]) == Spread(3.0, 1.0, 9.0)
    assert Spread.of([3.0, 1.0, 9.0]).told() == "3.0 (1.0-9.0)"


def test_the_spread_of_a_single_run_is_one_number() -> None:
    assert Spread.of([8.04]).told() == "8.0"


def test_a_ratio_with_nothing_is_no_number() -> None:
    assert math.isnan(ratio(1.0, 0.0))


def test_ratios_compare_neighbours_before_the_median() -> None:
    assert ratios_of_pairs([(10.0, 5.0), (90.0, 30.0), (8.0, 8.0)]) == Spread(2.0, 1.0, 3.0)


def test_differences_are_what_each_step_adds() -> None:
    assert differences({"tcp": 2.0, "key": 5.0, "all": 4.5}) == {"tcp": 2, "key": 3, "all": -0.5}


@pytest.mark.parametrize("load", [*FIXED, *RAMP], ids=lambda load: load.name)
def test_every_connection_of_a_load_is_due_as_many_messages(load: Load) -> None:
    assert load.ticks(3.7) % load.channels == 0
    each = load.ticks(3.7) // load.channels * load.each
    assert load.deliveries(3.7) == each * load.connections


def test_a_load_is_named_by_what_it_offers() -> None:
    assert w1(2_500).name == "W1 2.5M/s"
    assert w1(1_000, 20.0).name == "W1 1M/s, 20 ms window"
    assert told_rate(300_000) == "300k/s"


@pytest.mark.parametrize(
    ("waited", "client_core", "shared_core", "publisher_late_s", "told"),
    [
        (0.1, 0.5, 0.8, 0.01, None),
        (0.3, 0.95, 0.97, 0.5, "neighbours"),
        (0.0, 0.91, 0.97, 0.5, "client"),
        (0.0, 0.5, 0.8, 0.21, "publisher"),
        (0.0, 0.7, 0.96, 0.01, "shared core"),
    ],
)
def test_the_bottleneck_besides_the_server_is_named(
    waited: float,
    client_core: float,
    shared_core: float,
    publisher_late_s: float,
    told: str | None,
) -> None:
    assert bottleneck(waited, client_core, shared_core, publisher_late_s) == told


def test_a_figure_is_met_at_its_very_limit() -> None:
    assert at_most("p99", 25.0, 25, " ms") == Asked("p99", "≤ 25 ms", "25 ms", met=True)
    assert at_least("most", 4_999_999, 5e6, "").met is False


def test_no_figure_is_met_by_what_was_not_measured() -> None:
    assert at_most("p99", math.nan, 25, " ms").met is False


def test_an_earlier_result_is_never_written_over(tmp_path: Path) -> None:
    first = free_path(tmp_path, "fanout-2026-11-20", ".json")
    first.touch()
    second = free_path(tmp_path, "fanout-2026-11-20", ".json")
    second.touch()
    third = free_path(tmp_path, "fanout-2026-11-20", ".json")
    assert [path.name for path in (first, second, third)] == [
        "fanout-2026-11-20.json",
        "fanout-2026-11-20-2.json",
        "fanout-2026-11-20-3.json",
    ]


def test_the_suite_reads_what_was_asked_from_a_result(tmp_path: Path) -> None:
    result = tmp_path / "w.json"
    result.write_bytes(msgspec.json.encode({"runs": [1], "asked": [Asked("p50", "≤ 3", "2")]}))
    assert asked_in(result) == [Asked("p50", "≤ 3", "2")]


def test_the_suite_asks_nothing_of_a_benchmark_without_a_result(tmp_path: Path) -> None:
    assert asked_in(tmp_path / "none.json") == []


def test_what_was_not_measured_is_null_in_a_result(tmp_path: Path) -> None:
    result = keep("w", "Question?", {"output": None}, [{"p99": math.nan}], [], tmp_path / "w.json")
    assert msgspec.json.decode(result.read_bytes())["runs"] == [{"p99": None}]
