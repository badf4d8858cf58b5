"""All derivations of a process together: what they hear, what they tell, and when."""

from collections.abc import Iterable, Mapping, Sequence

import pytest

from feeds.derived import DERIVATIONS
from feeds.derived.chain import Chain
from feeds.derived.derivation import Derived
from feeds.derived.settings import CandleSettings, DerivedSettings, PriceSettings
from feeds.market import KINDS, Channel, Payload, Quote, Status, Tick, Trade

NOW_US = 1_763_632_800_000_000
SETTINGS = DerivedSettings(PriceSettings(venues_min=1), CandleSettings())
QUOTE = Tick(Channel("quote", "kraken", "BTC-USD"), Quote("100", "101", received_us=NOW_US))
TRADE = Tick(Channel("trade", "kraken", "BTC-USD"), Trade("100", "1", "buy", "1", NOW_US, NOW_US))
SAID = Tick(Channel("status", "kraken", "VENUE"), Status("live", NOW_US, received_us=NOW_US))


class Echo:
    """Tells each tick again, on a channel of its own; `heard` is what it was told."""

    def __init__(self, kind: str) -> None:
        self.channel = Channel(kind, "agg", "BTC-USD")
        self.heard: list[tuple[str, int]] = []
        self.restored: list[str] = []

    def take(self, ticks: Iterable[Tick], now_us: int) -> list[Tick]:
        ticks = list(ticks)
        self.heard += [(tick.channel.name, now_us) for tick in ticks]
        return [Tick(self.channel, tick.payload) for tick in ticks]

    def wake(self, now_us: int) -> list[Tick]:
        self.heard.append(("wake", now_us))
        return [Tick(self.channel, SAID.payload)]

    def next_us(self) -> int | None:
        return None

    def restore(self, told: Mapping[str, Sequence[Payload]], now_us: int) -> None:
        self.restored += told


def row(name: str, reads: str, made: Echo, history: str = "") -> Derived:
    return Derived(name, name, frozenset(reads.split()), lambda _: made, frozenset(history.split()))


def test_each_hears_the_kinds_that_its_row_names_and_what_those_before_it_tell() -> None:
    first, second = Echo("price"), Echo("signal")
    rows = (row("price", "quote", first), row("signal", "price trade", second))
    told = Chain(rows, SETTINGS).take([QUOTE, TRADE, SAID], NOW_US)
    assert [name for name, _ in first.heard] == ["quote:kraken:BTC-USD"]
    assert [name for name, _ in second.heard] == ["trade:kraken:BTC-USD", "price:agg:BTC-USD"]
    assert [tick.channel.kind for tick in told] == ["price", "signal", "signal"]


def test_what_one_tells_when_woken_those_after_it_hear_at_once() -> None:
    first, second = Echo("price"), Echo("signal")
    rows = (row("price", "quote", first), row("signal", "price", second))
    told = Chain(rows, SETTINGS).wake(NOW_US)
    assert [name for name, _ in second.heard] == ["price:agg:BTC-USD", "wake"]
    assert [tick.channel.kind for tick in told] == ["price", "signal", "signal"]


def test_no_derivation_sees_the_clock_go_back() -> None:
    one = Echo("price")
    chain = Chain([row("price", "quote", one)], SETTINGS)
    for now_us in (NOW_US, NOW_US - 1_000_000, NOW_US + 1):
        chain.take([QUOTE], now_us)
    assert [now_us for _, now_us in one.heard] == [NOW_US, NOW_US, NOW_US + 1]


def test_each_gets_the_histories_that_its_row_names() -> None:
    one = Echo("price")
    chain = Chain([row("price", "quote", one, "candle trade")], SETTINGS)
    names = ("trade:kraken:BTC-USD", "candle.1m:agg:BTC-USD", "quote:kraken:BTC-USD")
    chain.restore({name: [] for name in names}, NOW_US)
    assert one.restored == ["trade:kraken:BTC-USD", "candle.1m:agg:BTC-USD"]


def test_the_same_ticks_at_the_same_times_give_the_same_ticks() -> None:
    told = []
    for _ in range(2):
        chain = Chain(DERIVATIONS, SETTINGS)
        out = chain.take([SAID, QUOTE, TRADE], NOW_US)
        while (at_us := chain.next_us()) is not None and at_us <= NOW_US + 9_000_000:
            out += chain.wake(at_us)
        told.append(out)
    assert told[0] == told[1]
    assert {tick.channel.kind for tick in told[0]} >= {"price", "candle.1s", "candle.1m"}


def test_a_wake_when_one_is_due_always_gets_on() -> None:
    chain = Chain(DERIVATIONS, SETTINGS)
    chain.take([SAID, QUOTE, TRADE], NOW_US)
    woken = 0
    while (at_us := chain.next_us()) is not None and at_us <= NOW_US + 60_000_000:
        chain.wake(at_us)
        woken += 1
    assert woken < 1_000


@pytest.mark.parametrize("derived", DERIVATIONS, ids=lambda derived: derived.name)
def test_a_row_names_kinds_of_channels(derived: Derived) -> None:
    assert {derived.name, *derived.reads, *derived.history} <= KINDS.keys()
