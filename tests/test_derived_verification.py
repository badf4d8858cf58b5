"""Recorded messages, computed again."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.derived.price import Consolidation
from feeds.derived.settings import PriceSettings
from feeds.derived.verification import Verdict, Wrong, verify
from feeds.market import Channel, Quote, Tick

NOW_US = 1_763_632_800_000_000


def recorded() -> list[bytes]:
    """Prices as a subscriber got them, one every second."""
    one = Consolidation(PriceSettings(venues_min=2))
    lines: list[bytes] = []
    for step in range(5):
        at_us = NOW_US + step * 1_000_000
        ticks = [
            Tick(
                Channel("quote", venue, "BTC-USD"), Quote(bid, f"{step + 70}.5", received_us=at_us)
            )
            for venue, bid in (("kraken", "60.25"), ("coinbase", "61"), ("bitstamp", "90"))
        ]
        ticks.append(Tick(Channel("quote", "kraken", "USDT-USD"), Quote("0.99", "1.01")))
        for tick in one.take(ticks, at_us):
            payload = msgspec.json.encode(tick.payload)
            head = b'{"ch":"%b","seq":%d,' % (tick.channel.name.encode(), step + 1)
            lines.append(head + payload[1:-1] + b',"tx":1,"gw":2}')
    return lines


def test_what_was_recorded_is_right() -> None:
    lines = recorded()
    assert len(lines) == 10
    assert verify(lines) == Verdict(right=10, lines=10)


def test_a_message_that_was_changed_is_named() -> None:
    lines = recorded()
    at = next(at for at, line in enumerate(lines) if b'"ch":"price:agg:BTC-USD","seq":3' in line)
    lines[at] = lines[at].replace(b'"px":"66.75"', b'"px":"66.76"')
    verdict = verify(lines)
    assert (verdict.right, verdict.wrong_messages) == (9, 1)
    (wrong,) = verdict.wrong
    assert (wrong.channel, wrong.seq) == ("price:agg:BTC-USD", 3)
    assert any("its votes come to" in fault for fault in wrong.faults)


def test_other_messages_are_passed_over() -> None:
    lines = [b'{"ch":"trade:kraken:BTC-USD","seq":1,"px":"1"}', b"\n", b'{"type":"welcome"}']
    lines.append(b'{"type":"gap","ch":"price:agg:BTC-USD","from":1,"to":2,"by":"feed"}')
    assert verify(lines) == Verdict(passed_over=4, lines=4)


@pytest.mark.parametrize(
    "spoil", [lambda line: line[:-9], lambda line: line.replace(b"price:", b"prize:")]
)
def test_a_price_that_was_cut_or_damaged_is_not_passed_over(
    spoil: Callable[[bytes], bytes],
) -> None:
    lines = recorded()
    lines[4] = spoil(lines[4])
    verdict = verify(lines)
    assert (verdict.right, verdict.spoilt_lines, verdict.spoilt) == (9, 1, [5])


def test_a_price_that_cannot_be_read_is_wrong() -> None:
    verdict = verify([b'{"ch":"price:agg:BTC-USD","seq":4,"px":"1"}'])
    assert verdict.wrong_messages == 1
    assert verdict.wrong[0] == Wrong("price:agg:BTC-USD", 4, verdict.wrong[0].faults)
    assert verdict.wrong[0].faults[0].startswith("is no price: ")


@given(cut=st.integers(0, 2_000), byte=st.binary(min_size=1, max_size=1), line=st.integers(0, 9))
def test_any_bytes_at_all_give_a_verdict(cut: int, byte: bytes, line: int) -> None:
    lines = recorded()
    at = cut % len(lines[line])
    lines[line] = lines[line][:at] + byte + lines[line][at + 1 :]
    verdict = verify(lines)
    seen = verdict.right, verdict.wrong_messages, verdict.passed_over, verdict.spoilt_lines
    assert sum(seen) == verdict.lines == 10
