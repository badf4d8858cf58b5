"""How often something may happen: GCRA, the leaky bucket that needs one number of memory; and a
budget of many things at once. Pure.
"""

import math
from typing import Literal

import msgspec

Over = Literal["", "minute", "month"]


class Gcra:
    """Admits `rate_per_s` on average and `burst` at once.

    The generic cell rate algorithm (ITU-T I.371): `_due_s` is when the bucket is empty again.
    """

    __slots__ = ("_due_s", "_interval_s", "_tolerance_s")

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._interval_s = 1.0 / rate_per_s
        self._tolerance_s = self._interval_s * (burst - 1)
        self._due_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """0.0 where it may happen now, and it is counted; else the seconds until it may."""
        due_s = max(self._due_s, now_s)
        early_s = due_s - self._tolerance_s - now_s
        # After months of uptime a double can't tell apart what is nearer than this.
        if early_s > 1e-6:
            return early_s
        self._due_s = due_s + self._interval_s
        return 0.0


class Budget:
    """What a connection may still be sent: `per_s` come back each second, at most so many.

    Spending is told afterwards, and many at once: a budget may go below nothing, by one second at
    most, and pays that back before there is anything left.
    """

    __slots__ = ("_at_s", "_left", "per_s")

    def __init__(self, per_s: int, now_s: float) -> None:
        self.per_s = per_s
        self._left = float(per_s)
        self._at_s = now_s

    def left(self, now_s: float) -> int:
        """How many more may be sent now; 0 also where it is overdrawn."""
        self._left = min(float(self.per_s), self._left + (now_s - self._at_s) * self.per_s)
        self._at_s = now_s
        return max(0, math.floor(self._left))

    def spend(self, count: int) -> None:
        self._left = max(self._left - count, -float(self.per_s))


def interval_us(rate_per_s: float) -> float:
    """The time that one of `rate_per_s` takes, as `limits.lua` counts.

    In quarters of a microsecond, rounded up: until 2041 a double holds those exactly beside the
    microseconds since 1970, so that no rounding ever admits one too many.
    """
    return math.ceil(4_000_000 / rate_per_s) / 4


class Verdict(msgspec.Struct, frozen=True):
    """Whether a REST call may happen, and what is left after it."""

    over: Over
    """The limit that refuses it; empty: it may happen, and is counted."""
    wait_s: float
    """Until it may."""
    minute_left: int
    minute_reset_s: float
    month_used: int
    month_reset_s: float
