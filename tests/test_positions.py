"""A client's bookkeeping: every seq is delivered once, announced, or found missing. Never two."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.market import Position
from gateway.consumer.errors import RefusedError, UnreachableError, closed, pause_s
from gateway.consumer.positions import Missed, Positions
from gateway.errors import CLOSES, next_after
from gateway.protocol import Accepted, Gap, Reset

NAME = "trade:sim:BTC-USD"

happenings = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["deliver", "lose", "repeat"]), st.integers(1, 5)),
        st.tuples(st.just("gap"), st.integers(1, 5)),
        st.tuples(st.sampled_from(["resume", "come back"]), st.integers(0, 5)),
    ),
    max_size=30,
)


class Truth:
    """A gateway that says what it does, and a naive account of every seq."""

    def __init__(self) -> None:
        self.positions = Positions()
        self.head = 0
        self.delivered: list[int] = []
        self.announced: set[int] = set()
        self.told: dict[str, set[int]] = {"away": set(), "unannounced": set()}
        self.lost: set[int] = set()
        self.away: set[int] = set()
        self.positions.accepted(Accepted(NAME, "e1", 0))

    def note(self, missed: object) -> None:
        if isinstance(missed, Missed):
            self.told[missed.why] |= set(range(missed.first, missed.last + 1))

    def deliver(self, seq: int) -> None:
        is_new, missed = self.positions.came(NAME, seq)
        self.note(missed)
        if is_new:
            self.delivered.append(seq)

    def happen(self, what: str, count: int) -> None:
        if what in ("resume", "come back"):
            # What was lost before a connection ended is found by the message after it.
            self.happen("deliver", 1)
        first, last = self.head + 1, self.head + count
        match what:
            case "deliver":
                self.head = last
                for seq in range(first, last + 1):
                    self.deliver(seq)
            case "lose":
                self.head = last
                self.lost |= set(range(first, last + 1))
            case "repeat" if self.delivered:
                self.deliver(self.delivered[-min(count, len(self.delivered))])
            case "gap":
                self.head = last
                self.announced |= set(range(first, last + 1))
                is_new, missed = self.positions.announced(Gap(NAME, first, last, "bus"))
                assert is_new
                self.note(missed)
            case "resume":
                self.note(self.positions.accepted(Accepted(NAME, "e1", last, recovered=True)))
                self.happen("deliver", count)
            case "come back" if count:
                self.head = last
                self.away |= set(range(first, last))
                self.note(self.positions.accepted(Accepted(NAME, "e1", last, recovered=False)))
                self.deliver(last)


@given(happenings)
def test_every_seq_is_accounted_for_exactly_once(script: list[tuple[str, int]]) -> None:
    truth = Truth()
    for what, count in script:
        truth.happen(what, count)
    truth.happen("deliver", 1)
    assert truth.told == {"away": truth.away, "unannounced": truth.lost}
    assert len(set(truth.delivered)) == len(truth.delivered)
    account = [set(truth.delivered), truth.announced, truth.lost, truth.away]
    assert sum(map(len, account)) == truth.head
    assert set().union(*account) == set(range(1, truth.head + 1))


def test_a_channel_that_redis_knows_no_more_begins_anew() -> None:
    """Else the new numbering's first messages would pass for repetitions of the old one's."""
    positions = Positions()
    positions.restore({NAME: Position("e1", 19)})
    told = positions.accepted(Accepted(NAME, recovered=False, state="waiting"))
    assert told == Reset(NAME, "", 0, "bus")
    assert positions.current() == {}
    assert positions.came(NAME, 1) == (True, None)
    positions.begins(NAME, "e2")
    assert positions.current() == {NAME: Position("e2", 1)}


def test_a_channel_whose_numbering_was_never_told_begins_anew_as_well() -> None:
    positions = Positions()
    positions.accepted(Accepted(NAME))
    assert positions.came(NAME, 7, 7) == (True, None)
    assert positions.accepted(Accepted(NAME)) == Reset(NAME, "", 0, "bus")
    assert positions.came(NAME, 1) == (True, None)


def test_a_channel_that_has_not_begun_is_not_said_to_begin_anew() -> None:
    positions = Positions()
    positions.accepted(Accepted(NAME))
    assert positions.accepted(Accepted(NAME, recovered=False)) is None


def test_another_gateway_that_is_a_moment_behind_repeats_nothing() -> None:
    positions = Positions()
    positions.restore({NAME: Position("e1", 10)})
    assert positions.accepted(Accepted(NAME, "e1", 8, recovered=False)) is None
    assert [positions.came(NAME, seq) for seq in (9, 10, 11)] == [
        (False, None),
        (False, None),
        (True, None),
    ]


def test_another_epoch_is_a_reset() -> None:
    positions = Positions()
    positions.restore({NAME: Position("e1", 10)})
    told = positions.accepted(Accepted(NAME, "e2", 12, recovered=False))
    assert told == Reset(NAME, "e2", 12, "bus")
    assert positions.current() == {NAME: Position("e2", 12)}


def test_a_message_that_stands_for_several_leaves_no_hole() -> None:
    positions = Positions()
    positions.accepted(Accepted(NAME, "e1", 1))
    assert positions.came(NAME, 5, 4) == (True, None)
    assert positions.came(NAME, 7) == (True, Missed(NAME, 6, 6, "unannounced"))


def test_a_channel_that_began_after_its_ack_has_no_position_until_its_epoch_is_told() -> None:
    positions = Positions()
    positions.accepted(Accepted(NAME))
    positions.came(NAME, 1)
    assert positions.since([NAME]) == {}
    positions.begins(NAME, "e1")
    assert positions.since(["trade:sim:*"]) == {NAME: Position("e1", 1)}


@pytest.mark.parametrize("code", [row.code for row in CLOSES.values()])
def test_a_close_is_followed_by_what_its_band_says(code: int) -> None:
    assert closed(code, "").next == next_after(code)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, "stop"), (404, "stop"), (429, "back_off"), (500, "back_off"), (503, "back_off")],
)
def test_a_refusal_is_followed_by_what_its_status_says(status: int, expected: str) -> None:
    assert RefusedError(status, "code", "message").next == expected


@given(st.integers(1, 100), st.integers())
def test_waits_stay_within_their_bands(failures: int, seed: int) -> None:
    random = Random(seed)
    assert 0 <= pause_s(closed(4200, ""), failures, random) <= 3
    assert 0.5 <= pause_s(UnreachableError(""), failures, random) <= min(30, 0.5 * 2**failures)
    assert 7 <= pause_s(RefusedError(503, "", "", "7"), failures, random) <= 30
