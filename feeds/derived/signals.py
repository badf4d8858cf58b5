"""Signals, `signal:<model>:<BASE>-<QUOTE>`: what the models say of each pair, and when. Pure.

A model is asked after each final candle of all venues together, never after a running one. It is
heard where its direction changes, where a signal has run out and its direction lasts, and not at
all while there is no live price to start from. A correction comes too late: it changes nothing.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from feeds.derived.derivation import AGGREGATE, NO_MARKETS, Derived
from feeds.derived.models import Opinion, chosen, load
from feeds.derived.outcomes import pair_of
from feeds.derived.settings import DerivedSettings
from feeds.derived.voices import Sizes, Voice, Voices, interval, signal_id
from feeds.market import Candle, Channel, Outcome, Payload, Price, Quote, Reference, Signal, Tick

_SECOND_US: Final = 1_000_000
_AT_ONCE_US: Final = 0
_CANDLES_AT_ONCE: Final = 40
"""Of before, in one go: about 5 ms."""


class Signals:
    """A Derivation: final candles, prices and quotes in, signals out."""

    def __init__(self, settings: DerivedSettings) -> None:
        self._settings = settings
        self._rows = chosen(settings.signal)
        self._kind = f"candle.{interval(settings)}"
        self._late_us = settings.signal.late_max_s * _SECOND_US
        self._pairs: dict[str, Voices] = {}
        self._sizes: dict[str, Sizes | None] = {}
        """By the quote channel's name; None: of no market."""
        self._behind: deque[Voices] = deque()
        """Pairs that may have candles of before to hear."""

    def take(self, ticks: Iterable[Tick], now_us: int) -> list[Tick]:
        """What the models have to say after some candles."""
        told: list[Tick] = []
        if not self._rows:
            return told
        for tick in ticks:
            payload = tick.payload
            if isinstance(payload, Quote):
                name = tick.channel.name
                sizes = self._sizes[name] if name in self._sizes else self._add(tick.channel)
                if sizes is not None:
                    sizes.hear(payload)
            elif isinstance(payload, Price):
                self._pair(tick.channel.symbol).hear_price(payload)
            elif isinstance(payload, Candle) and payload.final and self._is_read(tick.channel):
                self._ask(self._pair(tick.channel.symbol), payload, now_us, told)
        return told

    def wake(self, now_us: int) -> list[Tick]:
        """Says nothing: only a candle makes them speak. Warms up a little more after a restart."""
        while self._behind and not self._behind[0].past:
            self._behind.popleft()
        if self._behind:
            self._behind[0].catch_up(_CANDLES_AT_ONCE)
        return []

    def next_us(self) -> int | None:
        """At once, as long as there are candles of before to hear."""
        return _AT_ONCE_US if self._behind else None

    def restore(self, told: Mapping[str, Sequence[Payload]], now_us: int) -> None:
        """The models hear the candles of before, a few a wake, or when the pair's next one comes:
        many pairs' would take many seconds. What was told after them is known at once."""
        signals: dict[str, list[Signal]] = {}
        for name, payloads in told.items():
            channel = Channel.parse(name)
            if self._is_read(channel):
                pair = self._pair(channel.symbol)
                pair.past.extend(
                    payload for payload in payloads if isinstance(payload, Candle) and payload.final
                )
                self._behind.append(pair)
            its = signals.setdefault(channel.symbol, [])
            its += [payload for payload in payloads if isinstance(payload, Signal)]
        for symbol, before in signals.items():
            if before:
                self._pair(symbol).recall(before)

    def withhold(self, payload: Signal | Outcome) -> None:
        """The models don't count it as told."""
        if isinstance(payload, Signal):
            pair = self._pairs.get(pair_of(payload.id))
            if pair is not None:
                pair.withhold(payload)

    def _ask(self, pair: Voices, candle: Candle, now_us: int, told: list[Tick]) -> None:
        """Tells what is new after a candle."""
        pair.catch_up()
        opinions = pair.hear(candle, pair.pressure())
        if not opinions or now_us > pair.end_us + self._late_us:
            return
        reference = pair.reference(candle)
        if reference is None:
            return
        for voice, opinion in zip(pair.voices, opinions, strict=True):
            if opinion is not None and voice.is_due(pair.end_us):
                voice.tell(pair.end_us)
                signal = self._signal(pair, voice, opinion, reference, now_us)
                told.append(Tick(voice.channel, signal))

    def _signal(
        self, pair: Voices, voice: Voice, opinion: Opinion, reference: Reference, now_us: int
    ) -> Signal:
        row, move, up = voice.row, pair.move(voice.horizon_us), opinion.probability_up
        return Signal(
            id=signal_id(row, pair.symbol, pair.end_us),
            model=row.name,
            version=row.version,
            direction=voice.direction,
            score=round(opinion.score, 4) + 0.0,
            computed_us=now_us,
            horizon_s=voice.horizon_us // _SECOND_US,
            expires_us=now_us + voice.horizon_us,
            reference=reference,
            reasons=voice.model.reasons(),
            last_move=None if move is None else float(f"{move:.6g}"),
            probability_up=None if up is None else round(up, 4),
            simulated=self._settings.simulated,
            received_us=pair.received_us(reference),
        )

    def _is_read(self, channel: Channel) -> bool:
        return channel.kind == self._kind and channel.venue == AGGREGATE

    def _pair(self, symbol: str) -> Voices:
        pair = self._pairs.get(symbol)
        if pair is None:
            candles = Channel(self._kind, AGGREGATE, symbol)
            pair = self._pairs[symbol] = Voices(candles, self._rows, self._settings)
        return pair

    def _add(self, quotes: Channel) -> Sizes | None:
        """The quotes of a market that was not heard of before."""
        is_live = quotes.venue not in NO_MARKETS or self._settings.simulated
        sizes = Sizes() if is_live and quotes.venue != AGGREGATE else None
        self._sizes[quotes.name] = sizes
        if sizes is not None:
            self._pair(quotes.symbol).sizes.append(sizes)
        return sizes


SIGNALS: Final = Derived(
    name="signal",
    title="Signals",
    reads=frozenset(("candle", "price", "quote")),
    make=Signals,
    history=frozenset(("candle", "signal")),
    load=lambda settings: load(settings.signal),
)
