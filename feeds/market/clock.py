"""Where time comes in. Pure code is handed times; edges are handed a Clock."""

import time
from typing import NamedTuple, Protocol


class Moment(NamedTuple):
    """One reading of both clocks, handed through pure code."""

    utc_us: int
    monotonic_s: float


class Clock(Protocol):
    """Two readings: what the world calls now, and what never goes back."""

    def now_ns(self) -> int:
        """Nanoseconds UTC since 1970; may be set back."""

    def monotonic_s(self) -> float:
        """Seconds since some moment; only differences mean anything."""


class SystemClock:
    """The machine's own."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()


def moment(clock: Clock) -> Moment:
    return Moment(clock.now_ns() // 1_000, clock.monotonic_s())
