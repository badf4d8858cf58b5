"""What came of each signal, `outcome:<model>:<BASE>-<QUOTE>`: once, when its horizon ends. Pure.

A signal is measured by the channel that it started from: the first live price at or after the end
of its horizon. Where none comes in time the outcome has no price, and says why: it is told as well.
"""

from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Final

from feeds.derived.derivation import Derived
from feeds.derived.intervals import INTERVALS
from feeds.derived.settings import OutcomeSettings
from feeds.market import (
    Candle,
    Channel,
    Direction,
    Outcome,
    Payload,
    Price,
    Reference,
    Signal,
    Tick,
)

_LENGTHS_US: Final = {f"candle.{each.name}": each.length_us for each in INTERVALS}
_SIGNS: Final[dict[Direction, int]] = {"bull": 1, "neutral": 0, "bear": -1}


class _Seen:
    """What a payload says of its pair's price: the whole span, or only where it ends."""

    __slots__ = ("at_us", "high", "is_whole", "low", "price", "received_us", "since_us")

    def __init__(self, payload: Price | Candle, length_us: int) -> None:
        self.received_us = payload.received_us
        if isinstance(payload, Price):
            self.price = payload.price if payload.state == "live" else None
            self.since_us = self.at_us = payload.computed_us
            self.high = self.low = float(self.price or 0)
            self.is_whole = True
        else:
            self.price = payload.close
            self.since_us, self.at_us = payload.start_us, payload.start_us + length_us
            self.high, self.low = float(payload.high), float(payload.low)
            self.is_whole = not payload.partial


class _Open:
    """A signal whose outcome is not told yet."""

    __slots__ = ("best", "deadline_us", "due_us", "is_partial", "sign", "signal", "start", "worst")

    def __init__(self, signal: Signal, wait_us: int, *, is_partial: bool) -> None:
        self.signal = signal
        self.sign = _SIGNS[signal.direction]
        self.start = float(signal.reference.price)
        self.due_us = due_us(signal)
        self.deadline_us = self.due_us + wait_us
        self.best = self.worst = 0.0
        """From where it started: whoever followed it was there."""
        self.is_partial = is_partial

    def see(self, seen: _Seen) -> bool:
        """What was on the way; whether it has come to its end."""
        if seen.at_us <= self.signal.computed_us:
            return False
        if seen.price is None or not seen.is_whole:
            self.is_partial = True
        if seen.price is None:
            return False
        is_end = seen.at_us >= self.due_us
        is_inside = seen.since_us >= self.signal.computed_us and seen.at_us <= self.due_us
        marks = (seen.high, seen.low) if is_inside else (float(seen.price),)
        for mark in marks:
            gain = self.sign * (mark / self.start - 1)
            if gain > self.best:
                self.best = gain
            elif gain < self.worst:
                self.worst = gain
        return is_end


class Outcomes:
    """A Derivation: signals and prices in, outcomes out.

    How many are open has no limit of its own: a model gives at most one signal of a pair in an
    interval, and each is open for its horizon and a little longer.
    """

    def __init__(self, settings: OutcomeSettings) -> None:
        self._cost_bps = settings.cost_bps
        self._wait_us = round(settings.wait_s * 1e6)
        self._open: dict[str, dict[str, _Open]] = {}
        """By the channel of their price, and by their ids."""
        self._deadlines: list[tuple[int, str, str]] = []
        """When nothing more is waited for: a deadline, a channel, an id; some are settled."""
        self._settled: list[Tick] = []
        """In `restore`, which can't tell them."""

    def take(self, ticks: Iterable[Tick], now_us: int) -> list[Tick]:
        """The outcomes of those whose end a price has reached."""
        told: list[Tick] = []
        for tick in ticks:
            payload = tick.payload
            if isinstance(payload, Signal):
                self._add(payload, is_partial=False)
            elif tick.channel.name in self._open and isinstance(payload, Price | Candle):
                self._see(tick.channel, payload, told)
        return told

    def wake(self, now_us: int) -> list[Tick]:
        """Of those for which no price came in time."""
        told, self._settled = self._settled, []
        while self._deadlines and self._deadlines[0][0] < now_us:
            _, channel, id_ = heappop(self._deadlines)
            one = self._open.get(channel, {}).get(id_)
            if one is not None:
                self._settle(one, None, told)
        return told

    def next_us(self) -> int | None:
        """When the first one is waited for no more."""
        if self._settled:
            return 0
        return self._deadlines[0][0] + 1 if self._deadlines else None

    def restore(self, told: Mapping[str, Sequence[Payload]], now_us: int) -> None:
        """Signals without an outcome are open again; prices of before are looked at once more.

        What was on the way while nobody looked is not known: they are partial.
        """
        payloads = [payload for some in told.values() for payload in some]
        ended = {payload.signal for payload in payloads if isinstance(payload, Outcome)}
        signals = [payload for payload in payloads if isinstance(payload, Signal)]
        for signal in sorted(signals, key=lambda each: (each.computed_us, each.id)):
            if signal.id not in ended:
                self._add(signal, is_partial=True)
        for name in sorted(self._open.keys() & told.keys()):
            channel = Channel.parse(name)
            for payload in told[name]:
                if isinstance(payload, Price | Candle) and name in self._open:
                    self._see(channel, payload, self._settled)

    def withhold(self, payload: Signal | Outcome) -> None:
        """Nothing comes of a signal that was not told."""
        if isinstance(payload, Signal):
            self._forget(payload)

    def _add(self, signal: Signal, *, is_partial: bool) -> None:
        name = signal.reference.channel
        open_ = self._open.setdefault(name, {})
        if signal.id in open_:
            return
        wait_us = min(self._wait_us, signal.horizon_s * 1_000_000) + _length_us(name)
        one = open_[signal.id] = _Open(signal, wait_us, is_partial=is_partial)
        heappush(self._deadlines, (one.deadline_us, name, signal.id))

    def _see(self, channel: Channel, payload: Price | Candle, told: list[Tick]) -> None:
        if isinstance(payload, Candle) and (not payload.final or payload.correction):
            return
        seen = _Seen(payload, _LENGTHS_US.get(channel.kind, 0))
        at = Reference(channel.name, seen.price or "", seen.at_us)
        for one in tuple(self._open[channel.name].values()):
            if seen.at_us > one.deadline_us:
                self._settle(one, None, told)
            elif one.see(seen):
                self._settle(one, at, told, seen.received_us)

    def _forget(self, signal: Signal) -> None:
        name = signal.reference.channel
        open_ = self._open.get(name, {})
        open_.pop(signal.id, None)
        if not open_:
            self._open.pop(name, None)

    def _settle(
        self, one: _Open, at: Reference | None, told: list[Tick], received_us: int | None = None
    ) -> None:
        signal = one.signal
        self._forget(signal)
        model, symbol = signal.model, pair_of(signal.id)
        outcome = outcome_of(
            signal, at, self._cost_bps, best=one.best, worst=one.worst, is_partial=one.is_partial,
            wait_us=one.deadline_us - one.due_us, received_us=received_us,
        )  # fmt: skip
        told.append(Tick(Channel("outcome", model, symbol), outcome))


def pair_of(signal_id: str) -> str:
    """`trend-1:BTC-USD:1763632800000000` -> `BTC-USD`. Raises ValueError: no signal's id."""
    _, pair, _ = signal_id.split(":")
    return pair


def due_us(signal: Signal) -> int:
    """Where its horizon ends."""
    return signal.computed_us + signal.horizon_s * 1_000_000


def returns(direction: Direction, start: str, end: str, cost_bps: float) -> tuple[float, float]:
    """The pair's return from one price to another, and what following a signal gave after costs."""
    move = float(end) / float(start) - 1
    sign = _SIGNS[direction]
    return move, sign * move - cost_bps / 10_000 if sign else 0.0


def outcome_of(
    signal: Signal,
    at: Reference | None,
    cost_bps: float,
    *,
    best: float,
    worst: float,
    is_partial: bool,
    wait_us: int,
    received_us: int | None,
) -> Outcome:
    """`at`: the price where it ended; None: there was none within `wait_us`."""
    has_way = at is not None and signal.direction != "neutral"
    move: float | None = None
    result: float | None = None
    if at is not None:
        move, result = returns(signal.direction, signal.reference.price, at.price, cost_bps)
    return Outcome(
        signal.id,
        signal.model,
        signal.version,
        signal.direction,
        due_us(signal),
        cost_bps,
        at,
        _rounded(move),
        _rounded(result),
        _rounded(best) if has_way else None,
        _rounded(worst) if has_way else None,
        signal.last_move,
        signal.probability_up,
        is_partial and at is not None,
        None if at is not None else f"no live price within {wait_us / 1e6:g} s of its end",
        signal.simulated,
        received_us,
    )


def _rounded(share: float | None) -> float | None:
    """To nine digits: what is computed from the prices again may differ by as much."""
    return None if share is None else float(f"{share:.9g}") + 0.0


def _length_us(channel: str) -> int:
    return _LENGTHS_US.get(channel.partition(":")[0], 0)


OUTCOMES: Final = Derived(
    name="outcome",
    title="Outcomes",
    reads=frozenset(("signal", "price", "candle")),
    make=lambda settings: Outcomes(settings.outcome),
    history=frozenset(("signal", "outcome", "price", "candle")),
)
