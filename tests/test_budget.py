"""A plan's messages per second: what is over it is conflated or announced, and never silent."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.market.channel import OnLag
from gateway.access.keys import Holder
from gateway.access.plans import PLANS
from gateway.errors import CLOSES
from gateway.fanout.counts import Counts
from gateway.fanout.fanout import Fanout
from gateway.fanout.group import Groups
from gateway.fanout.message import Message
from gateway.fanout.outbox import OutboxLimits
from gateway.fanout.session import Session, Sink
from gateway.fanout.subscription import Subscription
from gateway.protocol import SessionId
from tests.tap import ROOMY, Tap

PER_S = 10


class Direct(Tap):
    """A socket that may be written directly, while it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.descriptor = 1


def write_all(sinks: Sequence[Sink], frames: bytes) -> None:
    for sink in sinks:
        sink.write(frames)


class Stream:
    """One session on a hub of its own, subscribed to channels by how they lag."""

    def __init__(
        self,
        *on_lags: OnLag,
        per_s: int = PER_S,
        tap: Tap | None = None,
        limits: OutboxLimits = ROOMY,
    ) -> None:
        self.tap = Direct() if tap is None else tap
        self.counts = Counts()
        self.fanout = Fanout(write_all, self.counts)
        self.session = Session(
            SessionId("s"),
            holder=Holder("testkey1", "pro"),
            plan=msgspec.structs.replace(PLANS["pro"], messages_per_s=per_s),
            encoding="json",
            sink=self.tap,
            outbox_limits=limits,
            counts=self.counts,
        )
        self.names = [f"trade:k:{n}" for n in range(len(on_lags))]
        self.groups: dict[str, Groups] = {name: {} for name in self.names}
        self.seqs = dict.fromkeys(self.names, 0)
        for name, on_lag in zip(self.names, on_lags, strict=True):
            self.session.channels[name] = Subscription("all", on_lag)
        self.regroup()

    def regroup(self) -> None:
        """As the session's channels are now."""
        places = {(name, "all"): self.groups[name] for name in self.session.channels}
        self.fanout.regroup(self.session, places, 0.0)

    def publish(self, name: str, count: int, now_s: float) -> None:
        """So many messages of one channel, in one flush."""
        for _ in range(count):
            self.seqs[name] += 1
            message = Message(name, self.seqs[name], b'{"px":"1"}', 5)
            self.fanout.send(self.groups[name], message)
        self.fanout.flush(now_s)

    def heard(self, name: str) -> list[tuple[Any, ...]]:
        """Messages as (seq, n), gaps as (from, to, by)."""
        return [
            (told["from"], told["to"], told["by"])
            if told.get("type") == "gap"
            else (told["seq"], told.get("n", 1))
            for told in self.tap.heard_of(name)
        ]

    @property
    def is_direct(self) -> bool:
        assert self.session.group is not None
        return self.session in self.session.group.fast


def test_what_the_plan_allows_is_written_directly() -> None:
    stream = Stream("gap")
    for second in range(20):
        stream.publish("trade:k:0", PER_S, float(second))
        assert stream.is_direct
    assert stream.heard("trade:k:0") == [(seq, 1) for seq in range(1, 20 * PER_S + 1)]


def test_a_plan_without_a_limit_has_none() -> None:
    stream = Stream("gap", per_s=0)
    stream.publish("trade:k:0", 5_000, 0.0)
    assert len(stream.heard("trade:k:0")) == 5_000


def test_what_is_over_it_is_conflated_and_comes_when_it_may() -> None:
    stream = Stream("conflate")
    stream.publish("trade:k:0", PER_S, 0.0)
    for _ in range(7):
        stream.publish("trade:k:0", 1, 0.0)
    assert not stream.is_direct
    stream.session.release(0.0)
    assert stream.heard("trade:k:0")[PER_S:] == []
    stream.session.release(0.1)
    assert stream.heard("trade:k:0")[PER_S:] == [(PER_S + 7, 7)]
    assert stream.is_direct
    assert stream.counts.conflated == 6


def test_what_is_over_it_of_a_channel_that_must_be_whole_is_announced_as_the_plans_doing() -> None:
    stream = Stream("gap")
    stream.publish("trade:k:0", PER_S, 0.0)
    for _ in range(7):
        stream.publish("trade:k:0", 1, 0.0)
    stream.session.release(0.1)
    assert stream.heard("trade:k:0")[PER_S:] == [(PER_S + 1, PER_S + 7, "plan")]
    assert stream.counts.missing_by == {"plan": 7}
    stream.publish("trade:k:0", 1, 0.2)
    assert stream.heard("trade:k:0")[-1] == (PER_S + 8, 1)


def test_signals_over_it_wait_and_none_is_lost() -> None:
    stream = Stream("close")
    for _ in range(3 * PER_S):
        stream.publish("trade:k:0", 1, 0.0)
    assert stream.session.closing is None
    for tenth in range(1, 22):
        stream.session.release(tenth / 10)
    assert stream.heard("trade:k:0") == [(seq, 1) for seq in range(1, 3 * PER_S + 1)]


def test_signals_that_find_no_room_any_more_end_the_session_because_of_the_plan() -> None:
    limits = OutboxLimits(bytes_max=1_000_000, messages_max=5, age_max_s=5.0)
    stream = Stream("close", limits=limits)
    for _ in range(PER_S + 6):
        stream.publish("trade:k:0", 1, 0.0)
    assert stream.tap.closed == CLOSES["rate"]


def test_many_channels_share_what_is_allowed_in_turn() -> None:
    stream = Stream(*["conflate"] * 30, per_s=PER_S)
    stream.publish(stream.names[0], PER_S, 0.0)
    for tenth in range(1, 61):
        for name in stream.names:
            stream.publish(name, 1, tenth / 10)
        stream.session.release(tenth / 10)
    heard = [len(stream.heard(name)) for name in stream.names[1:]]
    assert set(heard) <= {1, 2, 3}
    assert sum(heard) + len(stream.heard(stream.names[0])) <= 6 * PER_S + PER_S


def test_a_client_that_is_only_over_its_plan_is_never_closed_as_slow() -> None:
    stream = Stream(*["conflate"] * 200, per_s=PER_S)
    for second in range(60):
        for name in stream.names:
            stream.publish(name, 1, float(second))
        stream.session.release(float(second))
        assert not stream.session.is_too_slow(float(second), 10.0)


def test_a_client_over_its_plan_that_also_stops_reading_is_closed_as_slow() -> None:
    stream = Stream("conflate")
    stream.publish("trade:k:0", PER_S, 0.0)
    stream.publish("trade:k:0", 1, 0.0)
    stream.tap.writes_left = 0
    stream.session.busy()
    slow = []
    for second in range(20):
        stream.publish("trade:k:0", 1, float(second))
        stream.session.release(float(second))
        slow.append(stream.session.is_too_slow(float(second), 10.0))
    assert slow.index(True) in {15, 16}


def test_a_gap_of_the_plan_that_is_compacted_stays_whole() -> None:
    stream = Stream("gap")
    stream.publish("trade:k:0", PER_S, 0.0)
    for _ in range(5):
        stream.publish("trade:k:0", 1, 0.0)
    stream.tap.writes_left = 0
    stream.session.busy()
    stream.session.is_too_slow(6.0, 10.0)
    stream.tap.writes_left = None
    stream.session.release(7.0)
    assert stream.heard("trade:k:0")[PER_S:] == [(PER_S + 1, PER_S + 5, "slow")]
    assert stream.counts.missing_by == {"plan": 5}


def test_what_one_flush_brings_beyond_the_budget_is_not_written_half() -> None:
    stream = Stream("gap")
    stream.publish("trade:k:0", PER_S + 3, 0.0)
    assert stream.heard("trade:k:0") == [(seq, 1) for seq in range(1, PER_S + 1)]
    stream.session.release(0.1)
    assert stream.heard("trade:k:0")[-1] == (PER_S + 1, PER_S + 3, "plan")


def test_a_change_of_subscriptions_does_not_refill_the_budget() -> None:
    stream = Stream("gap", "gap")
    stream.publish("trade:k:0", PER_S, 0.0)
    del stream.session.channels["trade:k:1"]
    stream.regroup()
    stream.publish("trade:k:0", 1, 0.0)
    assert len(stream.heard("trade:k:0")) == PER_S


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("publish", "release", "busy", "ready", "sweep")),
        st.integers(0, 2),
        st.integers(1, 15),
        st.integers(0, 64),
    ),
    max_size=80,
)


@given(steps=STEPS)
def test_nothing_is_ever_missing_unsaid_and_never_more_is_sent_than_the_plan_allows(
    steps: list[tuple[str, int, int, int]],
) -> None:
    stream, now_s = Stream("gap", "conflate", "close"), 0.0
    session, tap = stream.session, stream.tap
    for what, which, count, pause in steps:
        now_s += pause / 64
        match what:
            case "publish":
                stream.publish(stream.names[which], count, now_s)
            case "release":
                session.release(now_s)
            case "busy":
                tap.writes_left = 0
                session.busy()
            case "ready":
                tap.writes_left = None
                session.flush()
            case "sweep" if session.is_too_slow(now_s, 10.0):
                session.end(CLOSES["slow"])
        if not any(step[0] == "busy" for step in steps):
            assert sum(len(stream.heard(name)) for name in stream.names) <= PER_S * (now_s + 1)
    if session.closing is not None:
        return
    tap.writes_left = None
    session.flush()
    for second in range(100):
        session.release(now_s + second)
    for name in stream.names:
        assert accounted(stream.heard(name)) == stream.seqs[name]
    assert stream.is_direct


def accounted(heard: list[tuple[Any, ...]]) -> int:
    """Up to which seq every one was told of, once and in order; fails where one was not."""
    reached = 0
    for one in heard:
        match one:
            case (first, last, _):
                assert first == reached + 1
                reached = last
            case (seq, count):
                assert seq - count == reached
                reached = seq
    return reached


@pytest.mark.parametrize("unlimited", [0, 1])
def test_a_group_of_several_plans_limits_each_by_its_own(unlimited: int) -> None:
    """Both in one group: they want the same."""
    small, large = Stream("gap"), Stream("gap", per_s=0 if unlimited else 100)
    large.fanout.regroup(large.session, {}, 0.0)
    large.tap.writes.clear()
    places = {("trade:k:0", "all"): small.groups["trade:k:0"]}
    small.fanout.regroup(large.session, places, 0.0)
    for _ in range(5):
        small.publish("trade:k:0", 5, 0.0)
    assert len(small.heard("trade:k:0")) == PER_S
    assert len(large.heard("trade:k:0")) == 25
    assert large.is_direct
