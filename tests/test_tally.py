"""What several trades come to, against exact fractions."""

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fanout.tally import Tally, sum_of, tally_of

digits = st.builds(
    lambda whole, part: f"{whole}.{part}" if part else str(whole),
    st.integers(0, 10**12),
    st.text("0123456789", max_size=18),
)
trades = st.lists(st.tuples(digits, digits, st.sampled_from(["buy", "sell"])), min_size=1)


def payload(price: str, size: str, side: str) -> bytes:
    return msgspec.json.encode({"px": price, "sz": size, "side": side, "id": "1"})


def tally(rows: list[tuple[str, str, str]]) -> Tally:
    first, *rest = [tally_of(payload(*row)) for row in rows]
    assert first is not None
    for one in rest:
        assert one is not None
        first = sum_of([first, one])
    return first


@given(rows=trades)
def test_nothing_is_rounded_but_the_average(rows: list[tuple[str, str, str]]) -> None:
    told = msgspec.json.decode(tally(rows).payload(payload(*rows[-1])))
    prices, sizes = [Fraction(row[0]) for row in rows], [Fraction(row[1]) for row in rows]
    volume = sum(sizes)
    assert Fraction(told["sz"]) == volume
    assert Fraction(told["buy_sz"]) == sum(Fraction(row[1]) for row in rows if row[2] == "buy")
    assert Fraction(told["hi"]) == max(prices)
    assert Fraction(told["lo"]) == min(prices)
    if volume:
        turnover = sum(price * size for price, size in zip(prices, sizes, strict=True))
        unit = Fraction(1, 10 ** len(told["vwap"].partition(".")[2]))
        assert abs(Fraction(told["vwap"]) - turnover / volume) <= unit / 2


@given(rows=trades, parts=st.integers(0, 100))
def test_it_does_not_matter_how_they_are_put_together(
    rows: list[tuple[str, str, str]], parts: int
) -> None:
    cut = parts % len(rows)
    whole = tally(rows)
    assert cut == 0 or sum_of([tally(rows[:cut]), tally(rows[cut:])]) == whole


def test_of_trades_of_nothing_the_average_is_the_high() -> None:
    assert tally([("10.5", "0", "buy"), ("9", "0", "sell")]).average() == "10.5"


@pytest.mark.parametrize(
    "wrong",
    [
        b"{}",
        b'{"px":"x","sz":"1","side":"buy"}',
        b'{"px":"NaN","sz":"1","side":"buy"}',
        b'{"px":"1","sz":"Infinity","side":"sell"}',
        b'{"px":1.5,"sz":"1","side":"sell"}',
        b'{"px":"1","sz":"1","side":"both"}',
        b"{",
        b'{"px":"' + b"1" * 100 + b'","sz":"1","side":"buy"}',
    ],
)
def test_what_is_no_trade_has_no_tally(wrong: bytes) -> None:
    assert tally_of(wrong) is None


@pytest.mark.parametrize("suspects", [[], [0], [2]])
def test_a_suspect_trade_makes_what_stands_for_it_suspect(suspects: list[int]) -> None:
    trades = [
        msgspec.json.encode(
            {"px": "10", "sz": "1", "side": "buy"} | ({"suspect": True} if at in suspects else {})
        )
        for at in range(3)
    ]
    tallies = [one for payload in trades if (one := tally_of(payload)) is not None]
    told = msgspec.json.decode(sum_of(tallies).payload(trades[-1]))
    assert told.get("suspect", False) is bool(suspects)
