"""Recorded ticks through a Chain, on the recording's own time, and what it told. Pure.

The chain is woken when it is due, as live; at one moment first the ticks, then what is due by the
clock. Nothing is told of a moment before all that was known then, and nothing later, was heard.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from feeds.backtest.source import Event
from feeds.derived.chain import Chain
from feeds.market import AGGREGATE, Candle, Outcome, Price, Signal, Tick

SILENCE_MAX_US: Final = 3_600_000_000
"""After so long without a tick the clock stands until the next one: nobody was listening."""
_STEP_US: Final = 1_000

Hear = Callable[[list[Tick], int], None]
"""Is handed what was told, and when."""


class Mark(NamedTuple):
    """What a pair was worth."""

    at_us: int
    price: float


class Heard:
    """What was told that a report and a chart are made of."""

    def __init__(self, interval: str, pair: str | None) -> None:
        """`interval`: of the candles that models read; `pair`: the only one that counts."""
        self.told = 0
        self.entries: list[Signal | Outcome] = []
        """Signals and their outcomes, as they stand in a ledger."""
        self.entries_at_us: list[int] = []
        """When each of them was told."""
        self.marks: dict[str, list[Mark]] = {}
        """By pair: at the end of each candle the live price, or the close where there is none."""
        self.why_no_price: dict[str, str] = {}
        """By pair, what the newest price that is none says of itself."""
        self._kind = f"candle.{interval}"
        self._pair = pair
        self._live: dict[str, str] = {}

    @property
    def signals(self) -> list[Signal]:
        return [each for each in self.entries if isinstance(each, Signal)]

    def hear(self, ticks: list[Tick], now_us: int) -> None:
        self.told += len(ticks)
        for tick in ticks:
            channel, payload = tick.channel, tick.payload
            if self._pair is not None and channel.symbol != self._pair:
                continue
            match payload:
                case Price():
                    self._hear_price(channel.symbol, payload)
                case Candle() if channel.venue == AGGREGATE and channel.kind == self._kind:
                    if payload.final and not payload.correction:
                        price = self._live.get(channel.symbol, payload.close)
                        mark = Mark(now_us, float(price))
                        self.marks.setdefault(channel.symbol, []).append(mark)
                case Signal() | Outcome():
                    self.entries.append(payload)
                    self.entries_at_us.append(now_us)

    def _hear_price(self, symbol: str, price: Price) -> None:
        if price.state == "live" and price.price is not None:
            self._live[symbol] = price.price
        else:
            self._live.pop(symbol, None)
            self.why_no_price[symbol] = price.why or price.state


def drive(events: Iterable[Event], chain: Chain, hear: Hear, silence_max_us: int) -> int:
    """How many ticks there were. What is not over at the last event's moment stays open."""
    ticks = 0
    clock = _Clock(chain, hear, silence_max_us)
    for at_us, some in events:
        clock.advance(at_us)
        ticks += len(some)
        hear(chain.take(some, at_us), at_us)
    clock.advance(clock.now_us + 1)
    return ticks


class _Clock:
    """The recording's: wakes the chain on the way from one event to the next."""

    def __init__(self, chain: Chain, hear: Hear, silence_max_us: int) -> None:
        self.now_us = 0
        self._chain = chain
        self._hear = hear
        self._silence_max_us = silence_max_us
        self._woken_us = 0

    def advance(self, to_us: int) -> None:
        """What is due before `to_us`."""
        until_us = min(to_us, self.now_us + self._silence_max_us)
        while (due_us := self._chain.next_us()) is not None:
            due_us = max(due_us, self._woken_us + _STEP_US, self.now_us)
            if due_us >= until_us:
                break
            self._woken_us = due_us
            self._hear(self._chain.wake(due_us), due_us)
        self.now_us = to_us
