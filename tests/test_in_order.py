"""What other processes publish, made ticks of: in order, each once, with every hole told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.market import Channel, Missing, Publication, Tick, Trade
from feeds.market.channel import HISTORY_MAX
from feeds.others.in_order import HoleError, InOrder

TRADES = Channel.parse("trade:kraken:BTC-USD")


def message(seq: int, epoch: str = "e", missing: Missing | None = None) -> bytes:
    payload = b'{"px":"100.5","sz":"2","side":"buy","id":"%d"}' % seq
    return Publication(epoch, seq, payload, missing).encode()


def ids(ticks: list[Tick]) -> list[str]:
    return [tick.payload.id for tick in ticks if isinstance(tick.payload, Trade)]


def test_a_channel_begins_with_what_is_heard_first() -> None:
    tick = InOrder().next(TRADES, message(7))
    assert tick == Tick(TRADES, Trade("100.5", "2", "buy", "7"))


def test_what_was_heard_is_not_heard_again() -> None:
    order = InOrder()
    order.begin({TRADES.name: ("e", 7)})
    assert order.next(TRADES, message(7)) is None
    assert order.next(TRADES, message(8)) is not None
    assert order.next(TRADES, message(8)) is None


@pytest.mark.parametrize("second", [message(9), message(8, "f")])
def test_a_hole_is_not_passed_over(second: bytes) -> None:
    order = InOrder()
    order.next(TRADES, message(7))
    with pytest.raises(HoleError):
        order.next(TRADES, second)
    assert order.places[TRADES.name] == ("e", 7)


def test_a_hole_that_its_publisher_tells_of_is_told() -> None:
    order = InOrder()
    order.next(TRADES, message(7))
    tick = order.next(TRADES, message(10, missing=Missing("venue", 2)))
    assert tick is not None
    assert tick.missing == Missing("venue", 2)


def test_what_the_bus_lost_is_had_from_the_stream() -> None:
    order = InOrder()
    order.next(TRADES, message(7))
    ticks = order.after(TRADES, [message(seq) for seq in range(3, 12)])
    assert ids(ticks) == ["8", "9", "10", "11"]
    assert [tick.missing for tick in ticks] == [None] * 4
    assert order.missed == 0


def test_what_the_stream_has_lost_too_is_told_to_be_missing_by_the_feed() -> None:
    order = InOrder()
    order.next(TRADES, message(7))
    ticks = order.after(TRADES, [message(11), message(12)])
    assert [tick.missing for tick in ticks] == [Missing("feed", 3), None]
    assert order.missed == 3


def test_of_another_epoch_at_least_one_is_missing() -> None:
    order = InOrder()
    order.next(TRADES, message(7))
    ticks = order.after(TRADES, [message(1, "f"), message(2, "f")])
    assert [tick.missing for tick in ticks] == [Missing("feed", 1), None]
    assert order.places[TRADES.name] == ("f", 2)


@pytest.mark.parametrize(
    ("newest", "behind"),
    [([], 0), ([message(7)], 0), ([message(10)], 3), ([message(1, "f")], HISTORY_MAX)],
)
def test_so_much_is_read_as_may_be_new(newest: list[bytes], behind: int) -> None:
    order = InOrder()
    order.next(TRADES, message(7))
    assert order.behind(TRADES, newest) == behind


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b'{"px":"x","sz":"1","side":"buy","id":"1"}',
        b'{"px":"0","sz":"1","side":"buy","id":"1"}',
        b'{"px":"1","sz":"-1","side":"buy","id":"1"}',
        b'{"px":"1","sz":"1","side":"both","id":"1"}',
    ],
)
def test_what_is_no_trade_is_left_out_and_counted(payload: bytes) -> None:
    order = InOrder()
    assert order.next(TRADES, Publication("e", 1, payload).encode()) is None
    assert order.unreadable == 1
    assert order.next(TRADES, message(2)) is not None


@given(st.lists(st.integers(1, 30)), st.integers(1, 30), st.integers(31, 40))
def test_whatever_the_bus_lost_and_repeated_each_comes_once_in_order(
    on_the_bus: list[int], kept_from: int, head: int
) -> None:
    order = InOrder()
    order.begin({TRADES.name: ("e", 0)})
    heard: list[Tick | None] = []
    for seq in on_the_bus:
        try:
            heard.append(order.next(TRADES, message(seq)))
        except HoleError:
            break
    ticks = [tick for tick in heard if tick is not None]
    ticks += order.after(TRADES, [message(seq) for seq in range(kept_from, head + 1)])
    numbers = [int(each) for each in ids(ticks)]
    missing = sum(tick.missing.messages for tick in ticks if tick.missing is not None)
    assert numbers == sorted(set(numbers))
    assert len(numbers) + missing == head
