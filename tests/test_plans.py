"""Plans: the shipped rows, what settings make of them, and which channels a key may see."""

import contextlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.grants import PATTERNS_MAX, Grant, checked_patterns
from gateway.access.plans import (
    FALLBACK,
    PLANS,
    PlanSettings,
    check_plan_name,
    plans_from,
    share_of,
    share_of_count,
)
from gateway.configuration import SettingsError, load
from gateway.durations import seconds_in
from gateway.fanout.rates import RATES


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As the whole product's have them."""

    plan: dict[str, PlanSettings] = {}


def loaded(directory: Path, text: str) -> Settings:
    path = directory / "tickgate.toml"
    path.write_text(text)

    def check(name: object) -> None:
        check_plan_name(str(name))

    return load(Settings, path, {}, {}, {"plan": check})


def test_without_settings_the_plans_are_as_shipped() -> None:
    assert plans_from({}) == PLANS
    assert FALLBACK in PLANS
    free = PLANS["free"]
    assert (free.connections_max, free.subscriptions_max, free.fastest_rate) == (2, 100, "1s")
    assert (free.commands_per_s, free.commands_burst, free.rest_per_month) == (5, 20, 10_000)
    pro = PLANS["pro"]
    assert (pro.connections_max, pro.subscriptions_max, pro.fastest_rate) == (10, 1_024, "all")


def test_a_file_changes_shipped_plans_and_adds_others(tmp_path: Path) -> None:
    text = """
    [plan.free]
    connections_max = 1
    over_limit = "kick_oldest"
    [plan.desk]
    commands_per_s = 2.5
    channels = ["trade:kraken:*", "candle.*:agg:*"]
    """
    plans = plans_from(loaded(tmp_path, text).plan)
    assert list(plans) == ["free", "pro", "unlimited", "desk"]
    assert plans["free"] == msgspec.structs.replace(
        PLANS["free"], connections_max=1, over_limit="kick_oldest"
    )
    assert plans["desk"] == msgspec.structs.replace(
        PLANS["free"],
        name="desk",
        commands_per_s=2.5,
        channels=("trade:kraken:*", "candle.*:agg:*"),
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("connections_max = -1", "plan.free.connections_max: expected a whole number >= 0"),
        ("subscriptions_max = 0", "plan.free.subscriptions_max: expected a whole number >= 1"),
        ('commands_per_s = "5"', "plan.free.commands_per_s: expected a number, got a text"),
        ("commands_per_s = 0.0", "plan.free.commands_per_s: expected a number > 0"),
        ('fastest_rate = "3s"', "plan.free.fastest_rate: expected 100ms, 1s, 200ms"),
        ('over_limit = "kick"', "plan.free.over_limit: expected kick_oldest or reject"),
        ('channels = ["trade kraken"]', "plan.free.channels: expected a text matching regex"),
        ("conections_max = 1", "did you mean plan.free.connections_max?"),
    ],
)
def test_what_a_plan_can_not_be_is_told_with_its_key(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(SettingsError) as failure:
        loaded(tmp_path, f"[plan.free]\n{line}\n")
    assert said in str(failure.value)
    assert str(tmp_path) in str(failure.value)


def test_a_plan_can_not_be_called_anything(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="a plan's name has up to 32 letters"):
        loaded(tmp_path, '[plan."a b"]\nconnections_max = 1\n')


def test_a_faster_rate_than_the_plan_has_is_slowed_to_it() -> None:
    assert [PLANS["free"].served_rate(rate) for rate in RATES] == ["1s"] * 7 + ["2s", "5s"]
    assert [PLANS["pro"].served_rate(rate) for rate in RATES] == list(RATES)


def test_a_workers_share_is_never_nothing() -> None:
    assert [share_of(5, workers) for workers in (0, 1, 2, 4, 64)] == [5, 5, 2.5, 1.25, 1]
    assert [share_of_count(10, workers) for workers in (0, 1, 3, 4, 64)] == [10, 10, 3, 2, 1]


@pytest.mark.parametrize(
    ("pattern", "name", "allowed"),
    [
        ("*", "trade:kraken:BTC-USD", True),
        ("*:*:*", "status:kraken:*", True),
        ("trade:kraken:*", "trade:kraken:BTC-USD", True),
        ("trade:kraken:*", "trade:kraken:*", True),
        ("trade:kraken:*", "trade:krakenx:BTC-USD", False),
        ("trade:kraken:*", "quote:kraken:BTC-USD", False),
        ("trade:*:BTC-USD", "trade:binance:BTC-USD", True),
        ("trade:*:BTC-*", "trade:binance:BTC-USDT-PERP", True),
        ("trade:*:BTC-*", "trade:binance:ETH-BTC-USD", False),
        ("candle.*:agg:*", "candle.1m:agg:BTC-USD", True),
        ("candle.1*:agg:*", "candle.5m:agg:BTC-USD", False),
        ("book.10:okx:*", "bookx10:okx:BTC-USD", False),
        ("trade:kraken:BTC-USD", "trade:kraken:BTC-USD\n", False),
        ("trade:kraken:BTC-USD", "xtrade:kraken:BTC-USD", False),
    ],
)
def test_a_pattern_stands_for_the_names_it_looks_like(
    pattern: str, name: str, allowed: bool
) -> None:
    assert checked_patterns([pattern]) == (pattern,)
    assert Grant((pattern,)).allows(name) == allowed


def test_a_key_sees_only_what_its_plan_sees_too() -> None:
    plan = msgspec.structs.replace(PLANS["pro"], channels=("trade:*:*", "quote:*:*"))
    own = plan.grant(("*:kraken:*",))
    names = ("trade:kraken:X", "quote:kraken:X", "book.10:kraken:X", "trade:okx:X")
    assert [own.allows(name) for name in names] == [True, True, False, False]
    assert [plan.grant(None).allows(name) for name in names] == [True, True, False, True]
    assert [plan.grant(()).allows(name) for name in names] == [False] * 4
    assert PLANS["pro"].grant(None).allows("anything:at:ALL")


@pytest.mark.parametrize(
    "text",
    ["", "trade", "trade:kraken", "a:b:C:D", "Trade:kraken:*", "trade:kraken:btc", "*:*", "**"],
)
def test_other_texts_are_no_patterns(text: str) -> None:
    with pytest.raises(ValueError, match="is no channel pattern"):
        checked_patterns([text])


def test_there_is_an_end_to_patterns() -> None:
    with pytest.raises(ValueError, match="at most"):
        checked_patterns(["*"] * (PATTERNS_MAX + 1))


@given(text=st.text())
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert Grant(checked_patterns([text])).allows("trade:kraken:BTC-USD") in {True, False}


def test_lengths_of_time_are_read_in_four_units() -> None:
    texts = ("0s", "90s", "15m", "24h", "90d")
    assert [seconds_in(text) for text in texts] == [0, 90, 900, 86_400, 7_776_000]


@pytest.mark.parametrize(
    "text", ["", "1", "h", "-1h", "1.5h", "1 h", "1w", "40000d", "9" * 40 + "s"]
)
def test_other_lengths_of_time_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a length of time|more than a hundred years"):
        seconds_in(text)
