"""Track records: counts, intervals and baselines, against the plainest reckoning of them."""

import statistics
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.ledger.proportion import Interval, Pairs, paired_difference, wilson
from feeds.ledger.track_record import TrackRecords, coin, track_records
from feeds.market import Direction, Outcome, Signal, TrackRecord
from tests.ledger_entries import history, outcome, pair_of, signal


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_a_shares_interval_is_as_published(hits: int, of: int, low: float, high: float) -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3."""
    found = wilson(hits, of)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert found.middle == hits / of


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        # Bentur et al. (2009) in Fagerland, Lydersen, Laake, Statistics in Medicine 33 (2014).
        (Pairs(1, 1, 7, 12), Interval(-0.507, -0.286, -0.026)),
        # Altman et al., Statistics with Confidence (2000), table 6.2.
        (Pairs(14, 5, 0, 22), Interval(0.011, 0.122, 0.226)),
    ],
)
def test_the_interval_of_a_paired_difference_is_as_published(
    pairs: Pairs, expected: Interval
) -> None:
    assert paired_difference(pairs) == pytest.approx(expected, abs=6e-4)


COUNTS = st.integers(0, 400)


@given(st.builds(Pairs, COUNTS, COUNTS, COUNTS, COUNTS).filter(sum))
def test_a_difference_lies_within_its_interval_and_mirrors(pairs: Pairs) -> None:
    found = paired_difference(pairs)
    assert -1 - 1e-9 <= found.low <= found.middle <= found.high <= 1 + 1e-9
    turned = paired_difference(
        Pairs(pairs.both, pairs.second_only, pairs.first_only, pairs.neither)
    )
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def rows(
    moves: Sequence[tuple[Direction, float]], last_move: float | None = 0.01, **given: bool
) -> list[Signal | Outcome]:
    """Signals one after the other, each with the move that came."""
    told: list[Signal | Outcome] = []
    for number, (direction, move) in enumerate(moves):
        one = signal(number * 60, direction, "100", last_move=last_move, **given)
        told += [one, outcome(one, f"{100 * (1 + move):.6f}")]
    return told


def over_all(told: Sequence[Signal | Outcome]) -> TrackRecord:
    (record,) = [each for each in track_records(told) if each.pair is None]
    return record


def test_a_record_counts_what_was_right_before_costs_and_what_it_gave_after_them() -> None:
    moves: list[tuple[Direction, float]] = [("bull", 0.01), ("bull", -0.01), ("bear", -0.001)]
    moves += [("neutral", 0.05), ("bull", 0.0)]
    record = over_all(rows(moves))
    assert (record.signals, record.open, record.outcomes, record.unpriced) == (5, 0, 4, 0)
    assert (record.hit_rate.hits, record.hit_rate.of) == (2, 4)
    assert record.mean_return == pytest.approx((0.008 - 0.012 - 0.001 - 0.002) / 4)
    assert record.median_return == pytest.approx((-0.001 - 0.002) / 2)


def test_outcomes_without_a_price_count_nowhere_else() -> None:
    one, other = signal(0), signal(30)
    record = over_all([one, other, outcome(one, None)])
    assert (record.signals, record.open, record.outcomes, record.unpriced) == (2, 1, 0, 1)
    assert record.hit_rate.share is None
    assert record.mean_return is None
    assert record.verdict == "no edge shown: no outcome yet"


def test_a_baseline_stands_beside_the_same_outcomes() -> None:
    record = over_all(rows([("bull", 0.01), ("bear", 0.01), ("bear", -0.01)] * 20))
    long, flipped, last = record.baselines
    assert (long.name, long.hit_rate.hits, long.hit_rate.of) == ("always long", 40, 60)
    assert long.edge == pytest.approx(0.0)
    assert (last.name, last.hit_rate.hits) == ("last move continues", 40)
    assert flipped.name == "coin flip"
    assert long.mean_return == pytest.approx(0.01 / 3 - 0.002)


def test_where_no_last_move_is_known_that_baseline_has_nothing_to_compare_with() -> None:
    record = over_all(rows([("bull", 0.01)] * 40, last_move=None))
    last = record.baselines[2]
    assert (last.hit_rate.of, last.edge, last.mean_return) == (0, None, None)
    assert not record.has_edge
    assert "last move continues has no outcome to compare with" in record.verdict


def test_the_coin_is_the_same_for_the_same_signal_and_fair_over_many() -> None:
    ids = [signal(number).id for number in range(2_000)]
    assert [coin(each) for each in ids] == [coin(each) for each in ids]
    assert abs(sum(map(coin, ids))) < 200


def test_few_outcomes_show_no_edge_however_good_they_are() -> None:
    record = over_all(rows([("bull", 0.01), ("bear", -0.01)] * 14))
    assert not record.has_edge
    assert record.verdict == "no edge shown: 28 outcomes, too few of at least 30"


def test_an_edge_is_shown_where_the_model_beats_every_baseline_and_earns_its_costs() -> None:
    moves: list[tuple[Direction, float]] = [("bull", 0.01), ("bear", -0.01)] * 40
    told = rows([*moves, ("bull", -0.01)])
    record = over_all(told)
    assert record.has_edge
    assert record.verdict.startswith("edge shown: 98.8% hits")
    assert all(each.edge_low is not None and each.edge_low > 0 for each in record.baselines)


def test_an_edge_that_does_not_earn_its_costs_is_none() -> None:
    record = over_all(rows([("bull", 0.001), ("bear", -0.001)] * 40))
    assert not record.has_edge
    assert record.verdict.startswith("no edge shown after costs: 100.0% hits")


def test_who_only_goes_with_a_rising_market_shows_no_edge() -> None:
    record = over_all(rows([("bull", 0.01)] * 70 + [("bull", -0.01)] * 30))
    assert record.hit_rate.low is not None
    assert record.hit_rate.low > 0.5
    assert not record.has_edge
    assert record.verdict.startswith("no edge shown: 70.0% hits, ")
    assert record.verdict.endswith("it may be nothing")


def test_who_is_worse_than_chance_is_told_so() -> None:
    record = over_all(rows([("bear", 0.01)] * 80 + [("bear", -0.01)] * 20))
    assert record.verdict.startswith("no edge shown: worse than always long: 20.0% hits")


def guessed(random: Random, right: float, count: int) -> list[Signal | Outcome]:
    """A model that is right as often as that, on a market that goes nowhere."""
    moves: list[tuple[Direction, float]] = []
    for _ in range(count):
        move = random.gauss(0, 0.01)
        is_up = (move > 0) == (random.random() < right)
        moves.append(("bull" if is_up else "bear", move))
    return rows(moves, last_move=random.choice((-0.01, 0.01)))


def test_of_models_that_know_nothing_hardly_one_shows_an_edge() -> None:
    random = Random(20_261_121)
    shown = sum(over_all(guessed(random, 0.5, 150)).has_edge for _ in range(60))
    assert shown <= 1


def test_a_model_that_knows_something_shows_its_edge() -> None:
    random = Random(20_261_121)
    shown = sum(over_all(guessed(random, 0.7, 300)).has_edge for _ in range(20))
    assert shown >= 18


def test_a_record_of_a_simulated_market_says_so() -> None:
    record = over_all(rows([("bull", 0.01)], simulated=True))
    assert record.simulated
    assert record.verdict.endswith("(of a simulated market)")


def test_probabilities_are_judged_neutral_signals_included() -> None:
    told: list[Signal | Outcome] = []
    for number, (said, price) in enumerate([(0.9, "101"), (0.9, "99"), (1.0, "101"), (0.0, "99")]):
        one = signal(number, "neutral", probability_up=said)
        told += [one, outcome(one, price)]
    record = over_all(told)
    assert record.outcomes == 0
    assert record.brier == pytest.approx((0.01 + 0.81) / 4)
    assert record.calibration == (
        (0.0, 0.0, 1),
        (pytest.approx(2.8 / 3), pytest.approx(2 / 3), 3),
    )


def test_versions_are_never_mixed_and_the_newest_comes_last() -> None:
    one, two = signal(0, version=1), signal(60, version=2)
    told = track_records([two, one, outcome(one), outcome(two, "99")])
    assert [(each.version, each.pair, each.hit_rate.hits) for each in told] == [
        (1, None, 1), (1, "BTC-USD", 1), (2, None, 0), (2, "BTC-USD", 0),
    ]  # fmt: skip


def naive(told: Sequence[Signal | Outcome]) -> dict[tuple[str, str | None], list[object]]:
    """By model and pair, all at once."""
    found: dict[tuple[str, str | None], list[object]] = {}
    signals = [each for each in told if isinstance(each, Signal)]
    keys: set[tuple[str, str | None]] = {(each.model, None) for each in signals}
    keys |= {(each.model, pair_of(each.id)) for each in signals}
    for model, pair in keys:
        mine = [
            each for each in signals if each.model == model and pair in (None, pair_of(each.id))
        ]
        ids = {each.id for each in mine}
        ended = [each for each in told if isinstance(each, Outcome) and each.signal in ids]
        priced = [(each, each.move) for each in ended if each.move is not None]
        followed = [(each, move) for each, move in priced if each.direction != "neutral"]
        signs = [1 if each.direction == "bull" else -1 for each, _ in followed]
        hits = [sign * move > 0 for sign, (_, move) in zip(signs, followed, strict=True)]
        results = [each.result or 0.0 for each, _ in followed]
        judged = [(each.probability_up, move > 0) for each, move in priced]
        squares = [(said - up) ** 2 for said, up in judged if said is not None]
        flips = [coin(each.signal) * move > 0 for each, move in followed]
        last = [
            (hit, each.last_move * move > 0)
            for hit, (each, move) in zip(hits, followed, strict=True)
            if each.last_move
        ]
        found[model, pair] = [
            len(mine),
            len(mine) - len(ended),
            len(followed),
            len(ended) - len(priced),
            sum(hits),
            statistics.fmean(results) if results else None,
            statistics.median(results) if results else None,
            statistics.fmean(squares) if squares else None,
            sum(flips),
            sum(was for _, was in last),
            statistics.fmean(hit - was for hit, was in last) if last else None,
        ]
    return found


def of_record(record: TrackRecord) -> list[object]:
    _, flipped, last = record.baselines
    return [
        record.signals,
        record.open,
        record.outcomes,
        record.unpriced,
        record.hit_rate.hits,
        record.mean_return,
        record.median_return,
        record.brier,
        flipped.hit_rate.hits,
        last.hit_rate.hits,
        last.edge,
    ]


@settings(max_examples=30)
@given(st.integers(0, 120), st.integers(0, 10_000))
def test_adding_one_by_one_comes_to_what_all_at_once_does(count: int, seed: int) -> None:
    told = history(count, seed)
    records = track_records(told)
    expected = naive(told)
    assert {(each.model, each.pair) for each in records} == expected.keys()
    for record in records:
        right = expected[record.model, record.pair]
        assert of_record(record) == [
            each if each is None else pytest.approx(each, abs=1e-12) for each in right
        ]


def test_only_those_that_changed_are_told_again() -> None:
    records = TrackRecords()
    one, other = signal(0), signal(30, model="flow", pair="ETH-USD")
    records.add(one)
    assert [(each.model, each.pair) for each in records.changed()] == [
        ("trend", None), ("trend", "BTC-USD"),
    ]  # fmt: skip
    records.add(other)
    assert {each.model for each in records.changed()} == {"flow"}
    assert records.changed() == []
    assert len(records.all(7, "ab")) == 4
    assert {(each.entries, each.head) for each in records.all(7, "ab")} == {(7, "ab")}
