"""Signals: when models are heard, what a signal says, and what a restart changes."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec.structs import replace

from feeds.derived import DERIVATIONS
from feeds.derived.models import MODELS, load
from feeds.derived.signal_settings import FlowSettings, SignalSettings
from feeds.derived.signals import SIGNALS, Signals
from feeds.derived.voices import Voices
from feeds.market import Channel, Quote, Reference, Signal, Tick
from tests.model_market import (
    CANDLES,
    LATE_US,
    MINUTE_US,
    PAIR,
    START_US,
    Shape,
    candle,
    hear,
    market,
    price,
    settings,
    signals_of,
    step,
    told_us,
    trending,
    walk,
)

WARM_UPS = {"trend": 49, "reversion": 19, "flow": 9 + 119, "anomaly": 241, "learned": 59 + 5 + 299}
"""Candles after which a model may still say nothing."""
NOW_US = START_US + 600 * MINUTE_US
UP = market([Shape(0.0005, 5.0, 0.6)] * 120)
QUIET = [Shape(0.0, 5.0, 0.5)] * 60
RISE, FALL = [Shape(0.0005, 5.0, 0.6)] * 60, [Shape(-0.0008, 5.0, 0.4)] * 60


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """What models import takes seconds, and is no part of any test."""
    load(SignalSettings())


def with_prices(one: Signals, candles, **changes) -> list[Signal]:
    """A price before each candle."""
    told = []
    for each in candles:
        told += one.take([price(each, **changes)], told_us(each))
        told += one.take([Tick(CANDLES, each)], told_us(each))
    return [tick.payload for tick in told]


def test_a_signal_says_what_it_starts_from_and_until_when_it_holds() -> None:
    signal = with_prices(Signals(settings("trend")), UP)[0]
    after = UP[WARM_UPS["trend"]]
    at_us = told_us(after)
    assert signal.id == f"trend-1:{PAIR}:{after.start_us + MINUTE_US}"
    assert (signal.model, signal.version, signal.direction) == ("trend", 1, "bull")
    assert (signal.computed_us, signal.horizon_s) == (at_us, 1_800)
    assert signal.expires_us == at_us + 1_800_000_000
    assert signal.reference == Reference(f"price:agg:{PAIR}", after.close, at_us)
    assert signal.received_us == at_us - 7
    assert signal.last_move == pytest.approx(1.0005**30 - 1, rel=1e-3)
    assert 0.6 <= signal.score <= 1.0
    assert signal.reasons["ema_fast"] > signal.reasons["ema_slow"]
    assert signal.probability_up is None
    assert not signal.simulated


def test_it_goes_to_the_models_channel_of_the_pair() -> None:
    one = Signals(settings("trend"))
    told = [tick for each in UP for tick in one.take([Tick(CANDLES, each)], told_us(each))]
    assert {tick.channel.name for tick in told} == {f"signal:trend:{PAIR}"}


@pytest.mark.parametrize("model", MODELS)
def test_no_model_speaks_before_its_warm_up_is_over(model: str) -> None:
    if model == "learned":
        pytest.importorskip("river")
    one, steps = MODELS[model].make(settings(model).signal, MINUTE_US), WARM_UPS[model]
    opinions = [one.update(step(each)) for each in walk(steps + 1, seed=4)]
    assert opinions[:steps] == [None] * steps
    assert opinions[steps] is not None


def test_a_direction_that_lasts_is_told_again_when_its_signal_has_run_out() -> None:
    signals = signals_of(UP, "trend")
    first = signals[0].computed_us
    assert [signal.direction for signal in signals] == ["bull", "bull", "bull"]
    assert [(signal.computed_us - first) // MINUTE_US for signal in signals] == [0, 30, 60]


def test_the_end_of_a_direction_is_told_and_then_nothing_more() -> None:
    signals = signals_of(market(RISE + QUIET * 4), "trend")
    directions = [signal.direction for signal in signals]
    assert directions[0] == "bull"
    assert directions[-1] == "neutral"
    assert directions.count("neutral") == 1


def test_a_turn_is_told_at_once() -> None:
    signals = signals_of(market(RISE + FALL), "trend")
    ends = [signal.computed_us for signal in signals if signal.direction == "bear"]
    assert ends[0] < told_us(market(RISE + FALL)[-1])


def test_a_score_between_the_limits_changes_no_direction() -> None:
    signals = signals_of(walk(2_000, seed=1), "trend", "reversion", "flow")
    for model in ("trend", "reversion", "flow"):
        its = MODELS[model].settings(settings(model).signal)
        for signal in (signal for signal in signals if signal.model == model):
            if signal.direction == "neutral":
                assert abs(signal.score) < its.enter
            else:
                assert abs(signal.score) >= its.leave


def test_without_a_live_price_nothing_is_said() -> None:
    assert with_prices(Signals(settings("trend")), UP, state="stale") == []


def test_what_could_not_be_said_for_want_of_a_price_is_said_when_there_is_one() -> None:
    one = Signals(settings("trend"))
    assert with_prices(one, UP[:80], state="waiting") == []
    assert [signal.direction for signal in with_prices(one, UP[80:82])] == ["bull"]


def test_where_there_never_was_a_price_a_signal_starts_from_the_close() -> None:
    signal = signals_of(UP, "trend")[0]
    close = UP[WARM_UPS["trend"]].close
    assert signal.reference == Reference(CANDLES.name, close, signal.computed_us - LATE_US)


@pytest.mark.parametrize(
    "channel", ["candle.1s:agg:BTC-USD", "candle.5m:agg:BTC-USD", "candle.1m:kraken:BTC-USD"]
)
def test_only_the_candles_of_all_venues_and_of_its_interval_are_read(channel: str) -> None:
    one = Signals(settings("trend"))
    ticks = [Tick(Channel.parse(channel), each) for each in UP]
    assert [one.take([tick], told_us(tick.payload)) for tick in ticks] == [[]] * len(ticks)


def test_neither_a_running_candle_nor_a_correction_changes_anything() -> None:
    spoilt = []
    for number, each in enumerate(UP):
        spoilt.append(candle(number, Shape(-0.4, 99.0, 0.0), final=False))
        spoilt.append(each)
        spoilt.append(candle(number, Shape(-0.4, 99.0, 0.0), version=2, correction=True))
    assert signals_of(spoilt, "trend") == signals_of(UP, "trend")


def test_a_candle_that_comes_too_late_only_warms_up() -> None:
    one = Signals(settings("trend", late_max_s=10))
    late = [one.take([Tick(CANDLES, each)], told_us(each) + 9_000_000) for each in UP[:60]]
    assert late == [[]] * 60
    assert [signal.direction for signal in hear(one, UP[60:61])] == ["bull"]


def test_after_an_outage_the_kernels_warm_up_anew() -> None:
    broken = UP[:40] + UP[47:]
    first = signals_of(broken, "trend", outage_max=5)[0]
    assert first.id.endswith(f":{UP[47 + 49].start_us + MINUTE_US}")


def test_a_short_gap_is_none() -> None:
    first = signals_of(UP[:40] + UP[45:], "trend", outage_max=5)[0]
    assert first.id.endswith(f":{UP[49 + 5].start_us + MINUTE_US}")


def last_move(candles) -> float | None:
    """Of the half hour before the end of the last candle."""
    pair = Voices(CANDLES, [MODELS["trend"]], settings("trend"))
    for each in candles:
        pair.hear(each)
    return pair.move(30 * MINUTE_US)


def test_the_last_move_is_not_known_where_its_beginning_is_missing() -> None:
    move = float(UP[59].close) / float(UP[29].close) - 1
    assert last_move(UP[:60]) == last_move(UP[29:60]) == last_move(UP[:40] + UP[43:60]) == move
    assert last_move(UP[:29] + UP[30:60]) is None
    assert last_move(UP[30:60]) is None


def test_a_generated_market_is_read_by_the_second_and_its_signals_say_so() -> None:
    one = Signals(settings("trend"))
    simulated = Signals(replace(settings("trend"), simulated=True))
    channel, seconds = Channel.parse("candle.1s:agg:BTC-USD"), []
    for number, each in enumerate(UP):
        start_us = UP[0].start_us + number * 1_000_000
        tick = Tick(channel, replace(each, start_us=start_us))
        seconds += simulated.take([tick], start_us + 3_000_000)
        assert one.take([tick], start_us + 3_000_000) == []
    assert seconds[0].payload.simulated
    assert seconds[0].payload.horizon_s == 30


def quote(venue: str, bid_size: str | None, ask_size: str | None, **changes) -> Tick:
    payload = Quote("100", "101", bid_size, ask_size, **changes)
    return Tick(Channel("quote", venue, PAIR), payload)


def pressure_told(*quotes: Tick, simulated: bool = False) -> float | None:
    """What the quotes of each minute come to, as flow says it."""
    eager = settings("flow", interval="1m", flow=FlowSettings(enter=0.01, leave=0.001))
    one, told = Signals(replace(eager, simulated=simulated)), []
    for each in market([Shape(0.0, 5.0, 0.4 + 0.001 * (at % 50)) for at in range(140)]):
        one.take(quotes, each.start_us)
        told += one.take([Tick(CANDLES, each)], told_us(each))
    return next((tick.payload.reasons.get("quote_pressure") for tick in told), None)


def test_pressure_is_of_the_sizes_at_bid_and_ask_and_each_venue_counts_as_one() -> None:
    ten = [quote("kraken", "3", "1")] * 10
    assert pressure_told(*ten, quote("bitstamp", "4", "0")) == pytest.approx(0.75)


def test_doubtful_quotes_those_without_sizes_and_generated_ones_are_no_pressure() -> None:
    nothing = (
        quote("kraken", None, "1"),
        quote("kraken", "1", "9", suspect=True),
        quote("bitstamp", "0", "0"),
        quote("sim", "1", "9"),
    )
    assert pressure_told(*nothing) is None
    assert pressure_told(quote("sim", "1", "3"), simulated=True) == -0.5


ALL = tuple(name for name in MODELS if name != "learned")


def test_the_same_candles_give_the_same_signals() -> None:
    candles = trending(900, seed=2)
    signals = signals_of(candles, *ALL)
    assert signals_of(candles, *ALL) == signals
    assert len({signal.id for signal in signals}) == len(signals) > 0


@hypothesis_settings(max_examples=15, deadline=None)
@given(st.integers(0, 500), st.integers(0, 2**32), st.floats(-0.02, 0.02))
def test_no_signal_knows_the_future(now: int, seed: int, shift: float) -> None:
    past = walk(500, seed=9)[:now]
    last = float(past[-1].close) if past else 100.0
    future = [
        candle(now + at, Shape(shift, 50.0, 0.9), last * (1 + shift) ** at) for at in range(60)
    ]
    others = walk(now + 60, seed=seed)[now:]
    of_past = len(signals_of(past, *ALL))
    with_one, with_other = signals_of(past + future, *ALL), signals_of(past + others, *ALL)
    assert with_one[:of_past] == with_other[:of_past] == signals_of(past, *ALL)


@hypothesis_settings(max_examples=6, deadline=None)
@given(st.integers(250, 700))
def test_a_restart_tells_nothing_twice_and_goes_on_as_if_there_had_been_none(at: int) -> None:
    candles = trending(800, seed=3, length=100)
    whole = signals_of(candles, *ALL)
    one = Signals(settings(*ALL))
    before = hear(one, candles[:at])
    again = Signals(settings(*ALL))
    told = {CANDLES.name: candles[:at]}
    for signal in before:
        told.setdefault(f"signal:{signal.model}:{PAIR}", []).append(signal)
    again.restore(told, told_us(candles[at - 1]))
    assert before + hear(again, candles[at:]) == whole


def test_candles_of_before_are_heard_a_few_a_wake_and_give_the_same() -> None:
    candles = trending(600, seed=3, length=100)
    told = {CANDLES.name: candles[:500]}
    at_once, bit_by_bit = Signals(settings(*ALL)), Signals(settings(*ALL))
    at_once.restore(told, NOW_US)
    bit_by_bit.restore(told, NOW_US)
    wakes = 0
    while bit_by_bit.next_us() is not None:
        assert bit_by_bit.wake(NOW_US) == []
        wakes += 1
    assert wakes > 5
    signals = hear(bit_by_bit, candles[500:])
    assert signals == hear(at_once, candles[500:])
    assert len(signals) > 0


def test_after_a_restart_signals_start_from_a_price_where_those_before_did() -> None:
    one = Signals(settings("trend"))
    before = with_prices(one, UP[:60])
    again = Signals(settings("trend"))
    again.restore({CANDLES.name: UP[:60], f"signal:trend:{PAIR}": before}, told_us(UP[59]))
    assert hear(again, UP[60:]) == []


def test_signals_of_another_version_are_none_of_its_own() -> None:
    one = Signals(settings("trend"))
    before = hear(one, UP[:60])
    others = [replace(each, version=2) for each in before]
    again = Signals(settings("trend"))
    again.restore({CANDLES.name: UP[:60], f"signal:trend:{PAIR}": others}, told_us(UP[59]))
    assert [signal.direction for signal in hear(again, UP[60:61])] == ["bull"]


def test_signals_are_told_before_outcomes_and_grades_are_made_of_them() -> None:
    names = [row.name for row in DERIVATIONS]
    assert names.index("signal") < names.index("outcome") < names.index("grade")
    assert SIGNALS in DERIVATIONS


def test_what_was_not_told_is_said_again_after_the_next_candle_and_with_an_id_of_its_own() -> None:
    one = Signals(settings("trend"))
    first_at = WARM_UPS["trend"]
    first = hear(one, UP[: first_at + 1])[-1]
    one.withhold(first)
    again, *later = hear(one, UP[first_at + 1 : first_at + 20])
    assert (again.direction, later) == (first.direction, [])
    assert again.id != first.id
    assert again.computed_us - first.computed_us == MINUTE_US


def test_where_a_turn_was_not_told_the_direction_before_it_still_holds() -> None:
    candles = market(RISE + FALL)
    whole = signals_of(candles, "trend")
    turn = next(each for each in whole if each.direction != "bull")
    at = next(number for number, each in enumerate(candles) if told_us(each) == turn.computed_us)
    one = Signals(settings("trend"))
    assert hear(one, candles[: at + 1])[-1] == turn
    one.withhold(turn)
    again = hear(one, candles[at + 1 : at + 2])
    assert [each.direction for each in again] != []
    assert {each.direction for each in again} != {"bull"}
