"""Crashes between signals, ledger and subscribers: no outcome is lost, none is told twice.

A real ledger on a disk; what was published stands in histories, as Redis keeps them.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.derived.outcomes import Outcomes
from feeds.derived.settings import OutcomeSettings
from feeds.ledger.book import Book
from feeds.ledger.unpublished import tick_of, unpublished
from feeds.ledger.verification import verify_ledger
from feeds.market import Channel, Outcome, Payload, Price, Signal, Tick
from tests.ledger_entries import NOW_US, SECOND_US, signal
from tests.manual_clock import ManualClock

PRICES = Channel("price", "agg", "BTC-USD")
Crash = Literal["before the ledger", "before Redis"]
Step = tuple[int, bool, Crash | None]
"""Seconds until then, whether a model speaks, and whether and where the process dies."""


class Feeds:
    """The feeds process, as far as signals go: it dies and comes back."""

    def __init__(self, path: Path, segment_bytes_max: int) -> None:
        self._path = path
        self._segment_bytes_max = segment_bytes_max
        self._clock = ManualClock()
        self.histories: dict[str, list[Payload]] = {}
        self.published: list[Signal | Outcome] = []
        self.now_us = NOW_US
        self._start()

    def pass_time(self, seconds: int) -> None:
        self._clock.advance(seconds)
        self.now_us += seconds * SECOND_US

    def hear(self, ticks: Sequence[Tick], crash: Crash | None) -> None:
        """Signals of the models among them are told on, as a Chain does."""
        said = [tick.payload for tick in ticks if isinstance(tick.payload, Signal)]
        woken = self.outcomes.wake(self.now_us)
        ended = [*woken, *self.outcomes.take(ticks, self.now_us)]
        told = [*said, *(tick.payload for tick in ended if isinstance(tick.payload, Outcome))]
        if crash != "before the ledger":
            added = self.book.append(told)
            if crash is None:
                self._publish(added)
        if crash is not None:
            self.book.close()
            self.pass_time(25)
            self._start()

    def _publish(self, payloads: Sequence[Payload]) -> None:
        for payload in payloads:
            assert isinstance(payload, Signal | Outcome)
            self.histories.setdefault(tick_of(payload).channel.name, []).append(payload)
            self.published.append(payload)

    def _start(self) -> None:
        self.book = Book.open(
            self._path,
            simulated=False,
            clock=self._clock,
            segment_bytes_max=self._segment_bytes_max,
        )
        recent = self.book.recent(500)
        self._publish([tick.payload for tick in unpublished(recent, self.histories, self.now_us)])
        told = {name: list(payloads) for name, payloads in self.histories.items()}
        for payload in (*self.book.open_signals, *recent):
            told.setdefault(tick_of(payload).channel.name, []).append(payload)
        self.outcomes = Outcomes(OutcomeSettings())
        self.outcomes.restore(told, self.now_us)


@contextmanager
def feeds(segment_bytes_max: int = 10**9) -> Iterator[tuple[Feeds, Path]]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "ledger.sqlite"
        one = Feeds(path, segment_bytes_max)
        try:
            yield one, path
        finally:
            one.book.close()


def price(at_us: int) -> Tick:
    text = str(100 + at_us // SECOND_US % 5)
    return Tick(PRICES, Price("live", "median-v1", 1, 3, 2, 50, 10_000, (), at_us, text, "1"))


def run(one: Feeds, steps: Sequence[Step]) -> None:
    for pause_s, speaks, crash in steps:
        one.pass_time(pause_s)
        ticks = [price(one.now_us)]
        if speaks:
            said = signal((one.now_us - NOW_US) / SECOND_US)
            ticks.append(Tick(Channel("signal", "trend", "BTC-USD"), said))
        one.hear(ticks, crash)
    one.pass_time(200)
    one.hear([], None)


STEPS = st.lists(
    st.tuples(
        st.integers(1, 40),
        st.booleans(),
        st.sampled_from((None, None, "before the ledger", "before Redis")),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(STEPS, st.sampled_from((1, 10**9)))
def test_wherever_it_dies_each_signal_that_was_told_has_one_outcome(
    steps: list[Step], segment_bytes_max: int
) -> None:
    with feeds(segment_bytes_max) as (one, path):
        run(one, steps)
        kept = one.book.recent(500)
        found = verify_ledger(path, one.now_us)
    assert found.wrong is None
    assert found.open == ()
    signals = [each.id for each in kept if isinstance(each, Signal)]
    assert sorted(each.signal for each in kept if isinstance(each, Outcome)) == sorted(signals)
    assert sorted(one.published, key=_name) == sorted(kept, key=_name)


def _name(payload: Signal | Outcome) -> tuple[str, str]:
    return type(payload).__name__, payload.id if isinstance(payload, Signal) else payload.signal


def test_a_restart_in_mid_horizon_loses_no_outcome() -> None:
    with feeds() as (one, path):
        run(
            one, [(1, True, None), (20, False, "before Redis"), (14, False, None), (1, False, None)]
        )
        (told,) = [each for each in one.published if isinstance(each, Outcome)]
        assert verify_ledger(path, one.now_us).open == ()
    assert told.reference is not None
    assert told.partial


def test_an_end_that_came_while_it_was_dead_is_told_without_a_price() -> None:
    with feeds() as (one, _):
        run(one, [(1, True, None), (40, False, "before Redis"), (60, False, None)])
        (told,) = [each for each in one.published if isinstance(each, Outcome)]
    assert (told.reference, told.why) == (None, "no live price within 30 s of its end")


def test_a_signal_that_was_appended_and_not_published_is_told_at_the_next_start() -> None:
    with feeds() as (one, _):
        one.pass_time(1)
        said = signal(1)
        one.hear([Tick(Channel("signal", "trend", "BTC-USD"), said)], "before Redis")
        assert one.published == [said]
