"""Where time comes in. Pure code is handed times; edges are handed a Clock."""

import time
from typing import Protocol


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
