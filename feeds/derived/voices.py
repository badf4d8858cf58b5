"""The models of one pair: what each thinks, what was last told of that, what they start from. Pure.

Bounded: a pair keeps one price, and as many closes as the longest horizon has intervals.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from feeds.derived.intervals import INTERVALS
from feeds.derived.models import ModelRow, Opinion, Step
from feeds.derived.settings import DerivedSettings
from feeds.market import Candle, Channel, Direction, Price, Quote, Reference, Signal

_LENGTHS_US: Final = {each.name: each.length_us for each in INTERVALS}
_NEVER_US: Final = -(10**18)
_TOLD_MAX: Final = 8
"""Signals of a model that may be on their way: it is known within seconds whether one is told."""


class Sizes:
    """What stands at the best bid and ask of one venue, on the average of its quotes."""

    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0

    def hear(self, quote: Quote) -> None:
        if quote.bid_size is None or quote.ask_size is None or quote.suspect:
            return
        bid, ask = float(quote.bid_size), float(quote.ask_size)
        if bid + ask > 0.0:
            self.total += (bid - ask) / (bid + ask)
            self.count += 1


class Voice:
    """One model on one pair."""

    __slots__ = (
        "_told", "channel", "direction", "enter", "horizon_us", "leave", "model", "row",
    )  # fmt: skip

    def __init__(self, row: ModelRow, symbol: str, settings: DerivedSettings) -> None:
        length_us = interval_us(settings)
        its = row.settings(settings.signal)
        self.row = row
        self.channel = Channel("signal", row.name, symbol)
        self.model = row.make(settings.signal, length_us)
        self.horizon_us = its.horizon * length_us
        self.enter, self.leave = its.enter, its.leave
        self.direction: Direction = "neutral"
        self._told: deque[tuple[int, Direction]] = deque(maxlen=_TOLD_MAX)
        """The newest: the end of the candle after which it was said, and what."""

    def hear(self, step: Step) -> Opinion | None:
        """Its opinion; `direction` follows it."""
        opinion = self.model.update(step)
        self.direction = direction_of(opinion, self.direction, self.enter, self.leave)
        return opinion

    def is_due(self, end_us: int) -> bool:
        """Whether there is something to say after the candle that ends there."""
        told_us, told = self._newest
        if self.direction != told:
            return True
        return self.direction != "neutral" and end_us >= told_us + self.horizon_us

    def tell(self, end_us: int) -> None:
        """Its direction is told after the candle that ends there."""
        self._told.append((end_us, self.direction))

    def withhold(self, end_us: int) -> None:
        """What was said after that candle was not told: what was told before it still holds."""
        self._told = deque((one for one in self._told if one[0] != end_us), _TOLD_MAX)

    @property
    def _newest(self) -> tuple[int, Direction]:
        return self._told[-1] if self._told else (_NEVER_US, "neutral")

    def recall(self, signals: Sequence[Signal]) -> None:
        """What was told of it before a restart, among what was told of the pair."""
        for signal in signals:
            if (signal.model, signal.version) == (self.row.name, self.row.version):
                end_us = candle_end_us(signal.id)
                if end_us >= self._newest[0]:
                    self._told.append((end_us, signal.direction))


class Voices:
    """All models of a pair."""

    __slots__ = (
        "_closes", "_has_price", "_length_us", "_outage_max", "_outage_us", "_unknown", "candles",
        "end_us", "heard_us", "past", "price", "sizes", "symbol", "voices",
    )  # fmt: skip

    def __init__(
        self, candles: Channel, rows: Sequence[ModelRow], settings: DerivedSettings
    ) -> None:
        self.symbol = candles.symbol
        self.candles = candles
        self.voices = [Voice(row, self.symbol, settings) for row in rows]
        self._length_us = interval_us(settings)
        self._outage_max = settings.signal.outage_max
        self._outage_us = (self._outage_max + 1) * self._length_us
        self._unknown = 0
        """Candles in a row that nobody heard a trade of, as nobody listened."""
        horizons = (voice.horizon_us // self._length_us for voice in self.voices)
        self._closes: deque[tuple[int, float]] = deque(maxlen=max(horizons, default=0) + 1)
        self.end_us = _NEVER_US
        """The end of the newest candle."""
        self.heard_us: int | None = None
        """When the newest of what the models heard was received."""
        self.past: deque[Candle] = deque()
        """Final ones of before a restart, not heard yet; at most a stream's."""
        self.price: Price | None = None
        self._has_price = False
        self.sizes: list[Sizes] = []
        """Of each venue that quotes it."""

    def catch_up(self, candles_max: int | None = None) -> None:
        """Hears the candles of before a restart, or some of them."""
        past = self.past
        for _ in range(len(past) if candles_max is None else min(candles_max, len(past))):
            self.hear(past.popleft())

    def hear(self, candle: Candle, pressure: float | None = None) -> list[Opinion | None]:
        """Every model's opinion after a final candle; empty where it was heard before, or says
        nothing: after some of which nobody heard anything the next such are as if they were not."""
        end_us = candle.start_us + self._length_us
        if end_us <= self.end_us:
            return []
        self._unknown = self._unknown + 1 if candle.partial and not candle.trades else 0
        if self._unknown > self._outage_max:
            return []
        if self._closes and end_us - self.end_us > self._outage_us:
            for voice in self.voices:
                voice.model.restart()
        step = Step(
            end_us,
            float(candle.high),
            float(candle.low),
            float(candle.close),
            float(candle.volume),
            float(candle.buy_volume),
            candle.trades,
            candle.partial,
            pressure,
        )
        self.end_us, self.heard_us = end_us, candle.received_us
        self._closes.append((end_us, step.close))
        return [voice.hear(step) for voice in self.voices]

    def pressure(self) -> float | None:
        """Of all venues' quotes since the candle before; each venue counts as one."""
        heard = [each.total / each.count for each in self.sizes if each.count]
        for each in self.sizes:
            each.total, each.count = 0.0, 0
        return sum(heard) / len(heard) if heard else None

    def hear_price(self, price: Price) -> None:
        self.price, self._has_price = price, True

    def recall(self, signals: Sequence[Signal]) -> None:
        """What was told of the pair before a restart."""
        for voice in self.voices:
            voice.recall(signals)
        self._has_price = any(each.reference.channel.startswith("price:") for each in signals)

    def withhold(self, signal: Signal) -> None:
        """It was not told: where its direction holds after the next candle it is said again."""
        for voice in self.voices:
            if (signal.model, signal.version) == (voice.row.name, voice.row.version):
                voice.withhold(candle_end_us(signal.id))

    def reference(self, candle: Candle) -> Reference | None:
        """What a signal starts from now: the live price; where nothing was ever said of one, as
        nobody quotes the pair, the candle's close. None: nothing to start from; also where too few
        venues quote it for a price: what is not enough for a price is not for a signal."""
        price = self.price
        if price is not None and price.state == "live" and price.price is not None:
            return Reference(f"price:agg:{self.symbol}", price.price, price.computed_us)
        if self._has_price:
            return None
        return Reference(self.candles.name, candle.close, self.end_us)

    def received_us(self, reference: Reference) -> int | None:
        """When the newest of what a signal is made of was received."""
        price = self.price
        is_priced = price is not None and reference.channel != self.candles.name
        newest = (self.heard_us, price.received_us if price and is_priced else None)
        return max((at for at in newest if at is not None), default=None)

    def move(self, over_us: int) -> float | None:
        """The return over so long before the end of the newest candle; None: not known."""
        began_us = self.end_us - over_us
        for end_us, close in self._closes:
            if end_us >= began_us:
                is_known = end_us == began_us and close > 0.0
                return self._closes[-1][1] / close - 1.0 if is_known else None
        return None


def interval(settings: DerivedSettings) -> str:
    """Of the candles that the models read."""
    return settings.signal.interval or ("1s" if settings.simulated else "1m")


def interval_us(settings: DerivedSettings) -> int:
    return _LENGTHS_US[interval(settings)]


def signal_id(row: ModelRow, symbol: str, end_us: int) -> str:
    """A model speaks at most once after a candle: its end makes the id, however late it is said."""
    return f"{row.name}-{row.version}:{symbol}:{end_us}"


def candle_end_us(id_: str) -> int:
    """Of the candle after which a signal was given."""
    return int(id_.rpartition(":")[2])


def direction_of(
    opinion: Opinion | None, before: Direction, enter: float, leave: float
) -> Direction:
    """A direction begins at `enter` and lasts until `leave`."""
    if opinion is None:
        return "neutral"
    if opinion.score >= (leave if before == "bull" else enter):
        return "bull"
    if opinion.score <= -(leave if before == "bear" else enter):
        return "bear"
    return "neutral"
