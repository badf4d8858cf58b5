"""Where what is derived goes: to the Publisher; what has to be proven first to the ledger."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from feeds.deriving.bookkeeper import Bookkeeper
from feeds.feed import Bus
from feeds.market import Outcome, Signal, Tick

_PROVEN: Final = (Signal, Outcome)
"""What is in the ledger before it is told."""


class DerivedCounts:
    """What happened since the start."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()
        """Messages, by kind."""
        self.restarts = 0
        """Times that the derivations began again: a fault, too slow, or the clock set back."""
        self.too_late = 0
        """Trades that came too late even to correct a candle."""


class Teller:
    """Of one process."""

    def __init__(self, bus: Bus, books: Bookkeeper, counts: DerivedCounts) -> None:
        self._bus = bus
        self._books = books
        self._told = counts.told
        self._words: dict[str, str] = {}
        """The kinds of all channels that were told so far, by name, without variants."""

    def tell(self, ticks: Sequence[Tick]) -> None:
        """Never blocks. A channel is made known before its first message."""
        words, told = self._words, self._told
        for tick in ticks:
            name = tick.channel.name
            word = words.get(name)
            if word is None:
                word = words[name] = tick.channel.promises.name
                self._bus.register([tick.channel])
            told[word] += 1
        self._bus.offer([tick for tick in ticks if not isinstance(tick.payload, _PROVEN)])
        proven = [tick.payload for tick in ticks if isinstance(tick.payload, _PROVEN)]
        if proven:
            self._books.take(proven)
