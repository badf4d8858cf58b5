"""What is missing, what comes twice and what can't be, by the ids of trades."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from feeds.watching.trade_ids import HOLE_MAX, IDS_MAX, Consecutive, Oddity, Unique, Unnumbered


def judged(trades: Iterable[tuple[int, int]]) -> list[int | Oddity]:
    """What is said of each id, which happened at a time."""
    ids, newest, told = Consecutive(), 0, []
    for number, time in trades:
        told.append(ids.judge(str(number), time - newest))
        newest = max(newest, time)
    return told


def test_ids_in_order_lack_nothing() -> None:
    assert judged([(5, 1), (6, 1), (7, 2)]) == [0, 0, 0]


def test_a_hole_is_counted() -> None:
    assert judged([(5, 1), (9, 2)]) == [0, 3]


def test_what_comes_again_is_a_duplicate() -> None:
    assert judged([(5, 1), (6, 2), (6, 2), (5, 1)]) == [0, 0, "duplicate", "duplicate"]


def test_what_was_missing_may_come_late_once() -> None:
    assert judged([(5, 1), (9, 4), (7, 2), (7, 2), (10, 5)]) == [0, 3, "late", "duplicate", 0]


def test_an_id_far_ahead_does_not_lock_the_others_out() -> None:
    far = 5 + 10 * HOLE_MAX
    assert judged([(5, 1), (far, 2), (6, 2), (7, 3)]) == [0, "renumbered", 0, 0]


def test_a_venue_that_counts_anew_is_followed_from_the_second_trade() -> None:
    assert judged([(9_000, 1), (1, 2), (2, 2), (3, 3)]) == [0, "renumbered", 0, 0]


def test_an_id_that_was_a_mistake_is_forgotten_again() -> None:
    told = judged([(5, 1), (5_000, 2), (6, 3), (7, 4), (8, 5), (9, 6)])
    assert told == [0, 4_994, "renumbered", 0, 0, 0]


def test_an_id_that_is_no_number_is_only_odd() -> None:
    ids = Consecutive()
    assert ids.judge("x-7", 1) == "renumbered"
    assert ids.judge("7", 1) == 0


def test_ids_without_order_are_known_again() -> None:
    ids = Unique()
    assert [ids.judge(id_, 0) for id_ in ("b", "a", "b", "c")] == [0, 0, "duplicate", 0]


def test_memory_of_ids_is_bounded() -> None:
    ids = Unique()
    for number in range(10 * IDS_MAX):
        ids.judge(str(number), 0)
    assert ids.judge(str(9 * IDS_MAX), 0) == "duplicate"
    assert ids.judge("0", 0) == 0


def test_ids_that_mean_nothing_are_never_odd() -> None:
    ids = Unnumbered()
    assert [ids.judge("", None), ids.judge("", None)] == [0, 0]


def test_a_trade_of_several_fills_stands_for_the_ids_before_its_own() -> None:
    ids = Consecutive()
    told = [
        ids.judge(str(number), 1, fills) for number, fills in ((5, 9), (8, 3), (14, 4), (15, 1))
    ]
    assert told == [0, 0, 2, 0]


def test_a_late_trade_of_several_fills_comes_once() -> None:
    ids = Consecutive()
    ids.judge("5", 1)
    assert ids.judge("12", 1) == 6
    assert [ids.judge("10", 0, 4), ids.judge("8", 0), ids.judge("11", 0)] == [
        "late",
        "duplicate",
        "late",
    ]


def test_more_fills_than_there_is_room_for_are_no_hole() -> None:
    ids = Consecutive()
    told = [ids.judge(str(number), 1, fills) for number, fills in ((5, 1), (8, 10**12), (9, 1))]
    assert told == [0, 0, 0]


@given(
    fills=st.lists(st.tuples(st.integers(1, 20), st.booleans()), min_size=1, max_size=60),
    first=st.integers(0, 2**70),
)
def test_of_aggregated_trades_each_that_is_lost_is_missed_and_none_else(
    fills: list[tuple[int, bool]], first: int
) -> None:
    """Each of some fills and kept or lost; what comes twice, as after a reconnect, is known."""
    ids, last, owed = Consecutive(), first, 0
    assert ids.judge(str(first), 0) == 0
    for count, is_kept in fills:
        last += count
        if is_kept:
            assert ids.judge(str(last), 0, count) == owed
            assert ids.judge(str(last), 0, count) == "duplicate"
        owed = 0 if is_kept else owed + count


@given(
    first=st.integers(0, 2**70),
    kept=st.lists(st.booleans(), min_size=1, max_size=60),
    again=st.lists(st.integers(0, 59), max_size=20),
)
def test_every_id_is_passed_once_or_counted_as_missing(
    first: int, kept: list[bool], again: list[int]
) -> None:
    """Trades in order, some of them lost, then some of them again, as after a reconnect."""
    given_ids = [first + at for at, is_kept in enumerate(kept) if is_kept]
    resent = [first + at for at in sorted(again) if at < len(kept)]
    ids = Consecutive()
    told = [ids.judge(str(number), 0) for number in given_ids]
    missing = sum(one for one in told if isinstance(one, int))
    assert all(isinstance(one, int) for one in told)
    if given_ids:
        assert missing == given_ids[-1] - given_ids[0] + 1 - len(given_ids)
    known = set(given_ids)
    for number in resent:
        verdict = ids.judge(str(number), -1)
        assert (verdict == "duplicate") >= (number in known)
        known.add(number)


@given(st.lists(st.tuples(st.integers(0, 50) | st.integers(0, 2**64), st.integers(-5, 5))))
def test_whatever_came_before_the_next_trades_get_through(noise: list[tuple[int, int]]) -> None:
    """Nothing that a venue does to its ids locks later trades out."""
    ids = Consecutive()
    for number, ahead_us in noise:
        ids.judge(str(number), ahead_us)
    told = [ids.judge(str(number), 1) for number in range(1_000, 1_010)]
    assert "duplicate" not in told
    assert told[2:] == [0] * 8
