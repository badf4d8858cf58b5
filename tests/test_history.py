"""What a channel has said lately: any part of it again, exactly; or the word that it can't be."""

from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from feeds.market import Channel, Missing, Moment, Publication
from gateway.fanout.history import RING_MAX, Entry
from gateway.fanout.hub import Hub
from gateway.fanout.message import Message
from gateway.fanout.topic import Head, Topic
from gateway.protocol import Gap
from tests.tap import Joined

CHANNEL = Channel.parse("custom:desk:BTC-USD")
AT = Moment(1_000_000, 10.0)


class Step(NamedTuple):
    what: str
    number: int = 1


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["publish", "publish", "skip", "lose", "spoil", "recall", "trim"]),
        st.integers(1, 60),
    ),
    max_size=12,
)


class Truth:
    """A channel's stream, all that a hub was told of it, and what each seq came to."""

    def __init__(self) -> None:
        self.hub = Hub(Joined())
        self.topic: Topic = self.hub.open(CHANNEL, 0.0)
        self.hub.resume(CHANNEL.name, None, AT)
        self.log: list[Publication] = []
        self.fates: list[str] = []
        """Of seq 1, 2 ...: `m`, or whose fault it is that there is none."""

    def publish(self, payload: bytes = b"{}", skipped: int = 0) -> None:
        self.fates += ["feed"] * skipped + ["m" if payload == b"{}" else "feed"]
        missing = Missing("feed", skipped) if skipped else None
        self.log.append(Publication("k1", len(self.fates), payload, missing))
        self.hub.publish(CHANNEL.name, self.log[-1], AT)

    def lose(self) -> None:
        """Something that reaches neither the hub nor, for long enough, the stream."""
        self.fates.append("bus")
        self.log.append(Publication("k1", len(self.fates), b"{}"))
        self.log.clear()
        self.publish()
        self.hub.resume(CHANNEL.name, Head("k1", len(self.fates), list(self.log)), AT)

    def take(self, step: Step) -> None:
        match step.what:
            case "publish":
                for _ in range(step.number):
                    self.publish()
            case "skip":
                self.publish(skipped=step.number)
            case "lose":
                self.lose()
            case "spoil":
                self.publish(b'{"n":1}')
            case "recall":
                self.topic.recall(self.log[-step.number :], 0, AT)
            case _:
                del self.log[: step.number]


def fates_of(entries: list[Entry], after: int) -> list[str]:
    """As the truth keeps them; each begins where the one before it ended."""
    fates: list[str] = []
    for entry in entries:
        if isinstance(entry, Message):
            assert entry.seq == after + 1
            after = entry.seq
            fates.append("m")
            continue
        gap = entry.announcement
        assert isinstance(gap, Gap)
        assert gap.first == after + 1 <= gap.last
        fates += [gap.by] * (gap.last - gap.first + 1)
        after = gap.last
    return fates


@given(steps=STEPS, back=st.integers(0, 400))
@settings(max_examples=200)
@example([Step("publish", 60)] * 4 + [Step("recall", 60), Step("publish", 60)], 239)
@example([Step("publish", 60)] * 3 + [Step("skip", 9), Step("recall", 60)], 5)
@example([Step("lose"), Step("recall", 1)], 2)
def test_what_is_told_again_is_what_was_told(steps: list[Step], back: int) -> None:
    truth = Truth()
    for step in steps:
        truth.take(step)
    after = max(0, len(truth.fates) - back)
    history = truth.topic.history
    if history.has(after):
        told = history.between(after, len(truth.fates))
        assert fates_of(told, after) == truth.fates[after:]
    else:
        assert truth.fates[after:].count("m") > RING_MAX - 60, "the ring has the newest"


def test_everything_that_the_stream_has_can_be_told_again() -> None:
    truth = Truth()
    truth.take(Step("publish", 500))
    history = truth.topic.history
    assert not history.has(0)
    truth.topic.recall(truth.log, 0, AT)
    truth.take(Step("publish", 60))
    assert history.has(0)
    assert fates_of(history.between(0, 560), 0) == ["m"] * 560


@pytest.mark.parametrize(("since", "is_whole"), [(RING_MAX + 1, True), (5_000, False)])
def test_what_follows_a_recalled_part_is_kept_with_it_for_a_while(
    since: int, is_whole: bool
) -> None:
    truth = Truth()
    truth.take(Step("publish", 300))
    truth.topic.recall(truth.log, 0, AT)
    truth.take(Step("publish", since))
    history = truth.topic.history
    assert history.has(0) == is_whole
    history.forget()
    assert not history.has(0)
    assert not history.is_gone(0), "the stream had it, and may be read again"
    assert history.has(300 + since - RING_MAX)


@pytest.mark.parametrize("kept", [0, 20])
def test_what_a_reading_did_not_find_is_gone_until_the_numbering_begins_anew(kept: int) -> None:
    truth = Truth()
    truth.take(Step("publish", 300))
    truth.topic.recall(truth.log[300 - kept :], 50, AT)
    history = truth.topic.history
    assert history.is_gone(50)
    assert not history.is_gone(300 - max(kept, RING_MAX))
    history.begin(0)
    assert not history.is_gone(50)


def test_the_future_can_not_be_told() -> None:
    truth = Truth()
    truth.take(Step("publish", 5))
    assert not truth.topic.history.has(6)
    assert truth.topic.history.between(5, 5) == []
