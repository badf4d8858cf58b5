"""The table of known channels: what a name stands for, and what is said of a wrong one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bus.directory import Directory
from gateway.errors import CommandError

NAMES = (
    "trade:kraken:BTC-USD",
    "trade:kraken:ETH-USD",
    "trade:sim:AAA-USD",
    "quote:kraken:BTC-USD",
    "candle.1m:agg:BTC-USD",
    "custom:desk:BTC-USD",
)


@pytest.fixture
def directory() -> Directory:
    filled = Directory()
    filled.fill(NAMES, 10.0)
    return filled


def refusal_of(directory: Directory, name: str) -> CommandError:
    with pytest.raises(CommandError) as raised:
        directory.named(name)
    return raised.value


@pytest.mark.parametrize("name", NAMES)
def test_a_known_name_stands_for_itself(directory: Directory, name: str) -> None:
    assert directory.knows(name)
    assert name in directory
    assert [channel.name for channel in directory.named(name)] == [name]


def test_a_star_stands_for_the_symbols_of_its_kind_and_venue_in_order(
    directory: Directory,
) -> None:
    assert directory.knows("trade:kraken:*")
    named = [channel.name for channel in directory.named("trade:kraken:*")]
    assert named == ["trade:kraken:BTC-USD", "trade:kraken:ETH-USD"]


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("", "bad_channel", "<kind>:<venue>:<SYMBOL>"),
        ("*", "bad_channel", "<kind>:<venue>:<SYMBOL>"),
        ("trade:kraken", "bad_channel", "<kind>:<venue>:<SYMBOL>"),
        ("trade:kraken:BTC-USD:x", "bad_channel", "<kind>:<venue>:<SYMBOL>"),
        ("trades:kraken:BTC-USD", "bad_channel", "no such kind"),
        ("trade:*:BTC-USD", "bad_channel", "venue"),
        ("*:kraken:BTC-USD", "bad_channel", "no such kind"),
        ("trade:kraken:btc-usd", "bad_channel", "upper case"),
        ("trade:kraken:BTC*", "bad_channel", "symbol"),
        ("candle:agg:BTC-USD", "bad_channel", "candle.1m"),
        ("candle.2m:agg:BTC-USD", "bad_channel", "candle.1m"),
        ("trade.1m:kraken:BTC-USD", "bad_channel", "write the kind as trade"),
        ("trade:krakken:BTC-USD", "unknown_venue", "kraken, sim"),
        ("trade:krakken:*", "unknown_venue", "kraken, sim"),
        ("signal:model:BTC-USD", "unknown_venue", "nor by any other"),
        ("trade:kraken:BTC-EUR", "unknown_symbol", "kraken has no trade of BTC-EUR"),
    ],
)
def test_a_wrong_name_is_refused_with_the_part_that_is_wrong(
    directory: Directory, name: str, code: str, told: str
) -> None:
    refusal = refusal_of(directory, name)
    assert refusal.row.code == code
    assert told in refusal.detail
    assert not directory.knows(name)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("trade:kraken:BTC-USDT", "BTC-USD"),
        ("trade:kraken:BTCUSD", "BTC-USD"),
        ("trade:kraken:eth-usd", "ETH-USD"),
        ("trade:kraken:QQQ", None),
        ("trade:nobody:BTC-USD", None),
        ("no channel at all", None),
    ],
)
def test_a_hint_is_the_nearest_known_symbol(
    directory: Directory, wrong: str, hint: str | None
) -> None:
    assert directory.hint(wrong) == hint


def test_names_that_are_no_channels_are_left_out_as_anyone_may_add_to_the_set() -> None:
    directory = Directory()
    directory.fill(["trade:kraken:BTC-USD", "junk", "", "trade:kraken:*", "\ufffd:x:Y"], 1.0)
    assert len(directory) == 1
    assert [c.name for c in directory.named("trade:kraken:*")] == ["trade:kraken:BTC-USD"]


def test_filling_replaces_what_was_there(directory: Directory) -> None:
    directory.fill(["trade:sim:BBB-USD"], 11.0)
    assert directory.refreshed_s == 11.0
    assert not directory.knows("trade:kraken:*")
    assert [c.name for c in directory.named("trade:sim:*")] == ["trade:sim:BBB-USD"]


@given(name=st.one_of(st.text(), st.from_regex(r"[a-z.0-9]{1,8}:[a-z*]{1,6}:[A-Z*-]{1,8}")))
def test_any_name_at_all_is_some_channels_or_a_refusal(name: str) -> None:
    directory = Directory()
    directory.fill(NAMES, 1.0)
    if directory.knows(name):
        named = directory.named(name)
        assert named
        assert {channel.name for channel in named} <= set(NAMES)
    else:
        codes = {"bad_channel", "unknown_venue", "unknown_symbol"}
        assert refusal_of(directory, name).row.code in codes
    assert directory.hint(name) is None or name.count(":") >= 2
