"""What comes of signals: the price at the end of the horizon, the way there, and what it costs."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.derived.outcomes import Outcomes
from feeds.derived.settings import OutcomeSettings
from feeds.ledger.audit import Audit
from feeds.ledger.entry import FORMAT, NOTHING_BEFORE, Genesis, entry_of
from feeds.market import Candle, Channel, Direction, Outcome, Payload, Price, Signal, Tick
from tests.ledger_entries import NOW_US, SECOND_US, signal

PRICES = Channel("price", "agg", "BTC-USD")
MINUTES = Channel("candle.1m", "agg", "BTC-USD")
END_S = 60.0
WAIT_S = 30.0


def outcomes(cost_bps: float = 20.0) -> Outcomes:
    return Outcomes(OutcomeSettings(cost_bps, WAIT_S))


def price(at_s: float, text: str | None = "100", channel: Channel = PRICES) -> Tick:
    at_us = NOW_US + round(at_s * SECOND_US)
    payload = Price(
        "live" if text else "stale", "median-v1", 1, 3, 2, 50, 10_000, (), at_us, text, "1", None,
        at_us - 5,
    )  # fmt: skip
    return Tick(channel, payload)


def candle(start_s: float, high: str, low: str, close: str, **changed: bool) -> Tick:
    start_us = NOW_US + round(start_s * SECOND_US)
    one = Candle(start_us, close, high, low, close, "1", "1", close, "1", 5, final=True)
    return Tick(MINUTES, msgspec.structs.replace(one, **changed))


def said(one: Signal) -> Tick:
    return Tick(Channel("signal", one.model, "BTC-USD"), one)


def at(tick: Tick) -> int:
    match tick.payload:
        case Price(computed_us=at_us) | Signal(computed_us=at_us):
            return at_us
        case Candle(start_us=start_us):
            return start_us + 60 * SECOND_US
        case _:
            raise AssertionError(tick)


def played(one: Outcomes, ticks: Iterable[Tick], until_s: float = 0.0) -> list[Outcome]:
    """Each tick at its time, and all that is due between them, up to a time."""
    told: list[Tick] = []
    until_us = NOW_US + round(until_s * SECOND_US)
    for tick in ticks:
        told += woken(one, at(tick) - 1) + one.take([tick], at(tick))
    told += woken(one, until_us)
    assert all(tick.channel.kind == "outcome" for tick in told)
    return [tick.payload for tick in told if isinstance(tick.payload, Outcome)]


def woken(one: Outcomes, until_us: int) -> list[Tick]:
    told: list[Tick] = []
    while (due_us := one.next_us()) is not None and due_us <= until_us:
        told += one.wake(due_us)
    return told


def test_the_first_price_at_or_after_the_end_of_the_horizon_decides() -> None:
    prices = [price(59.9, "150"), price(60, "102"), price(61, "200")]
    (told,) = played(outcomes(), [said(signal()), *prices])
    assert told.reference is not None
    assert (told.reference.channel, told.reference.price) == ("price:agg:BTC-USD", "102")
    assert told.reference.at_us == told.due_us == NOW_US + 60 * SECOND_US
    assert told.move == pytest.approx(0.02)
    assert told.result == pytest.approx(0.018)
    assert told.received_us == NOW_US + 60 * SECOND_US - 5


@pytest.mark.parametrize(
    ("direction", "result", "best", "worst"),
    [("bull", 0.008, 0.05, -0.03), ("bear", -0.012, 0.03, -0.05), ("neutral", 0.0, None, None)],
)
def test_following_a_bear_is_the_opposite_and_a_neutral_one_is_not_followed(
    direction: Direction, result: float, best: float | None, worst: float | None
) -> None:
    way = [price(10, "105"), price(20, "97"), price(60.4, "101")]
    (told,) = played(outcomes(), [said(signal(0, direction)), *way])
    assert told.move == pytest.approx(0.01)
    assert told.result == pytest.approx(result)
    assert (told.best, told.worst) == pytest.approx((best, worst))
    assert not told.partial


def test_the_outcome_is_told_on_the_models_own_channel_with_what_the_signal_said() -> None:
    one = signal(model="learned", probability_up=0.7, last_move=-0.01, simulated=True)
    derivation = outcomes()
    derivation.take([said(one)], NOW_US)
    (tick,) = derivation.take([price(60)], NOW_US + 60 * SECOND_US)
    assert tick.channel.name == "outcome:learned:BTC-USD"
    assert isinstance(tick.payload, Outcome)
    assert (tick.payload.signal, tick.payload.probability_up) == (one.id, 0.7)
    assert (tick.payload.last_move, tick.payload.simulated) == (-0.01, True)


def test_without_a_live_price_in_time_the_outcome_has_none_and_says_why() -> None:
    (told,) = played(outcomes(), [said(signal()), price(30, "101"), price(61, None)], 100)
    assert (told.reference, told.move, told.result, told.best) == (None, None, None, None)
    assert told.why == "no live price within 30 s of its end"


def test_a_price_that_comes_too_late_is_not_taken() -> None:
    derivation = outcomes()
    derivation.take([said(signal())], NOW_US)
    late = price(END_S + WAIT_S + 0.001)
    (tick,) = derivation.take([late], at(late))
    assert isinstance(tick.payload, Outcome)
    assert tick.payload.reference is None


def test_a_short_horizon_waits_no_longer_than_it_is() -> None:
    (told,) = played(outcomes(), [said(signal(horizon_s=5)), price(10.1, "101")])
    assert told.why == "no live price within 5 s of its end"


def test_a_price_that_was_away_on_the_way_makes_it_partial() -> None:
    (told,) = played(outcomes(), [said(signal()), price(30, None), price(60, "101")])
    assert told.partial
    assert told.result is not None


def test_prices_of_other_pairs_and_of_before_the_signal_say_nothing() -> None:
    other = Channel("price", "agg", "ETH-USD")
    ticks = [said(signal()), price(0, "500"), price(30, "900", other), price(60, "101")]
    (told,) = played(outcomes(), ticks)
    assert told.best == pytest.approx(0.01)


def test_over_candles_it_is_measured_by_closes_and_the_way_by_highs_and_lows() -> None:
    one = msgspec.structs.replace(
        signal(horizon_s=120),
        reference=msgspec.structs.replace(signal().reference, channel=MINUTES.name),
    )
    ticks = [said(one), candle(0, "104", "99", "103"), candle(60, "108", "98", "102")]
    (told,) = played(outcomes(), ticks)
    assert told.move == pytest.approx(0.02)
    assert (told.best, told.worst) == pytest.approx((0.08, -0.02))


def test_of_a_candle_that_began_before_the_signal_only_the_close_is_on_the_way() -> None:
    one = msgspec.structs.replace(
        signal(10, horizon_s=120),
        reference=msgspec.structs.replace(signal().reference, channel=MINUTES.name),
    )
    ticks = [
        said(one),
        candle(0, "150", "50", "101"),
        candle(60, "102", "100", "101"),
        candle(120, "170", "30", "102"),
    ]
    (told,) = played(outcomes(), ticks)
    assert (told.best, told.worst) == pytest.approx((0.02, 0.0))


@pytest.mark.parametrize("changed", [{"final": False}, {"correction": True}])
def test_a_candle_that_runs_or_is_corrected_decides_nothing(changed: dict[str, bool]) -> None:
    one = msgspec.structs.replace(
        signal(), reference=msgspec.structs.replace(signal().reference, channel=MINUTES.name)
    )
    assert played(outcomes(), [said(one), candle(0, "101", "99", "100", **changed)]) == []


def test_a_signal_that_is_told_twice_has_one_outcome() -> None:
    one = said(signal())
    assert len(played(outcomes(), [one, one, price(60), price(61)], 200)) == 1


def restored(told: Mapping[str, Sequence[Payload]], at_s: float) -> Outcomes:
    one = outcomes()
    one.restore(told, NOW_US + round(at_s * SECOND_US))
    return one


def test_a_restart_in_mid_horizon_loses_no_outcome_and_says_that_it_is_partial() -> None:
    one = signal()
    derivation = restored({"signal:trend:BTC-USD": [one]}, 40)
    (told,) = played(derivation, [price(60, "103")])
    assert told.signal == one.id
    assert told.result == pytest.approx(0.028)
    assert told.partial


def test_a_signal_whose_outcome_was_told_is_not_open_after_a_restart() -> None:
    one = signal()
    (told,) = played(outcomes(), [said(one), price(60)])
    histories = {"signal:trend:BTC-USD": [one, one], "outcome:trend:BTC-USD": [told]}
    assert played(restored(histories, 70), [price(71)], 500) == []


def test_an_end_that_came_while_nobody_looked_is_read_from_the_history_of_prices() -> None:
    history = [price(at_s, text).payload for at_s, text in ((55, "90"), (60.2, "99"), (61, "98"))]
    told = {"signal:trend:BTC-USD": [signal()], PRICES.name: history}
    (outcome,) = played(restored(told, 300), [], 300)
    assert outcome.reference is not None
    assert outcome.reference.price == "99"
    assert (outcome.best, outcome.worst) == pytest.approx((0.0, -0.1))
    assert outcome.partial


def test_an_end_that_nobody_saw_has_no_price_and_is_told_at_once() -> None:
    derivation = restored({"signal:trend:BTC-USD": [signal()]}, 3_600)
    (told,) = played(derivation, [price(3_600, "200")], 3_600)
    assert told.reference is None
    assert told.why is not None


def test_a_second_restore_opens_nothing_twice() -> None:
    told = {"signal:trend:BTC-USD": [signal()]}
    derivation = restored(told, 10)
    derivation.restore(told, NOW_US + 11 * SECOND_US)
    assert len(played(derivation, [price(60), price(61)], 200)) == 1


STEPS = st.lists(
    st.tuples(
        st.integers(1, 25), st.sampled_from(("100", "101.5", "97", None)), st.booleans()
    ),
    min_size=1,
    max_size=40,
)  # fmt: skip


@settings(max_examples=60)
@given(STEPS, st.integers(0, 40))
def test_every_signal_has_one_outcome_whatever_comes_and_whenever_it_restarts(
    steps: list[tuple[int, str | None, bool]], restart: int
) -> None:
    derivation, at_s = outcomes(), 0
    signals: list[Signal] = []
    told: list[Outcome] = []
    for number, (pause_s, text, speaks) in enumerate(steps):
        at_s += pause_s
        if number == restart:
            ended = list(told)
            derivation = restored({"signal:trend:X": signals, "outcome:trend:X": ended}, at_s)
        ticks = [price(at_s, text)]
        if speaks:
            signals.append(signal(at_s, ("bull", "bear", "neutral")[number % 3]))
            ticks.append(said(signals[-1]))
        told += played(derivation, ticks)
    told += played(derivation, [], at_s + END_S + WAIT_S + 1)
    assert sorted(each.signal for each in told) == sorted(each.id for each in signals)
    assert all((each.reference is None) == (each.why is not None) for each in told)
    followed = [each for each in told if each.best is not None and each.worst is not None]
    assert all(each.worst <= 0 <= each.best for each in followed)
    before_costs = [(each.result or 0.0) + 0.002 for each in followed]
    assert all(
        each.worst - 1e-9 <= gain <= each.best + 1e-9
        for each, gain in zip(followed, before_costs, strict=True)
    )


@settings(max_examples=60)
@given(STEPS, st.integers(1, 7))
def test_how_ticks_are_batched_changes_nothing(
    steps: list[tuple[int, str | None, bool]], size: int
) -> None:
    at_s, ticks = 0, []
    for pause_s, text, speaks in steps:
        at_s += pause_s
        ticks += [price(at_s, text)] + ([said(signal(at_s))] if speaks else [])
    one_by_one = played(outcomes(), ticks)
    derivation, told = outcomes(), []
    for start in range(0, len(ticks), size):
        batch = ticks[start : start + size]
        told += derivation.take(batch, at(batch[-1]))
    assert {each.payload for each in told} == set(one_by_one)


def test_nothing_comes_of_a_signal_that_was_not_told() -> None:
    one, withheld, other = outcomes(), signal(0), signal(1, model="flow")
    one.take([said(withheld), said(other)], NOW_US)
    one.withhold(withheld)
    told = played(one, [price(30), price(END_S + 1)], END_S + WAIT_S + 5)
    assert [each.signal for each in told] == [other.id]


def test_returns_are_told_to_nine_digits_and_stand_before_the_ledgers_check() -> None:
    one = outcomes()
    first = signal(0, price="68902.735")
    told = played(one, [said(first), price(30, "68888.1"), price(END_S + 1, "68890.91")])[0]
    assert (told.move, told.result) == (-0.000171618732, -0.00217161873)
    assert (told.best, told.worst) == (0.0, -0.000212400858)
    audit = Audit()
    head = NOTHING_BEFORE
    genesis = Genesis("0" * 16, NOW_US, FORMAT, simulated=False)
    for number, payload in enumerate((genesis, first, told), 1):
        entry = entry_of(payload, number, NOW_US, head)
        audit.hear(entry)
        head = entry.hash
    assert not audit.open
