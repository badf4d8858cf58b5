"""What waits for the bus: holes that the venue left stand where they were."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from feeds.batch import Batch, Waiting
from feeds.market import Channel, Missing, Tick, Trade
from feeds.retention import Retention

BTC = Channel.parse("trade:toy:BTC-USD")
KEPT = Retention(1_000, 5_000, 120.0, 0.0)


def tick(number: int, hole: Missing | None = None) -> Tick:
    return Tick(BTC, Trade("1", "1", "buy", str(number)), missing=hole)


def calls(waiting: Waiting, ticks_max: int = 100) -> list[tuple[str, int]]:
    """What is said to be missing in each call, and how many ticks follow."""
    told = []
    while waiting.payloads:
        batch = Batch(1)
        batch.add(waiting, ticks_max, b"}", 0.0)
        _, missing, count = batch.arguments[:3]
        assert isinstance(missing, str)
        assert isinstance(count, int)
        told.append((missing, count))
    return told


def test_a_hole_is_told_before_the_tick_that_it_precedes() -> None:
    waiting = Waiting(BTC, KEPT)
    for each in (tick(1), tick(2), tick(5, Missing("venue", 2)), tick(6)):
        waiting.add(each)
    assert calls(waiting) == [("-", 2), ("venue:2", 2)]


def test_holes_that_meet_are_one_by_the_feed_if_any_of_it_is() -> None:
    waiting = Waiting(BTC, KEPT)
    for each in (tick(1), tick(5, Missing("venue", 3)), tick(6)):
        waiting.add(each)
    waiting.drop()
    waiting.drop()
    assert calls(waiting) == [("feed:5", 1)]


@given(
    st.lists(st.integers(0, 3), max_size=40),
    st.lists(st.sampled_from(("drop", "call")), max_size=40),
    st.integers(1, 5),
)
def test_every_tick_is_published_or_told_as_missing(
    holes: Sequence[int], deeds: Sequence[str], ticks_max: int
) -> None:
    """Seqs count on as bus.lua does: each tick ends on the number that it has at the venue."""
    waiting, number, seq = Waiting(BTC, KEPT), 0, 0
    published: list[tuple[int, int]] = []

    def call() -> None:
        nonlocal seq
        batch = Batch(1)
        batch.add(waiting, ticks_max, b"}", 0.0)
        _, missing, count = batch.arguments[:3]
        seq += int(str(missing).partition(":")[2] or 0)
        for payload in batch.arguments[3:]:
            assert isinstance(payload, bytes)
            seq += 1
            published.append((seq, int(payload.split(b'"id":"')[1].split(b'"')[0])))
        assert count == len(batch.arguments) - 3 > 0

    for hole, deed in zip(holes, [*deeds, *["none"] * len(holes)], strict=False):
        number += hole + 1
        waiting.add(tick(number, Missing("venue", hole) if hole else None))
        if deed == "drop" and len(waiting.payloads) > 1:
            waiting.drop()
        elif deed == "call":
            call()
    while waiting.payloads:
        call()
    assert all(seq == its_number for seq, its_number in published)
    assert len(published) + waiting.gone >= len(holes)
