"""EDGE: what measuring costs the client that measures: a bottleneck must not be a silent one."""

import asyncio
import time
from pathlib import Path
from typing import Final

from feeds.market import Clock
from gateway.measure.histogram import Histogram
from gateway.measure.report import Client

_EVERY_S: Final = 0.02
_SCHEDULED: Final = Path("/proc/self/schedstat")
"""Linux's: nanoseconds that our main thread, which has the loop, ran and waited for a core."""


class OwnLoad:
    """From `begin` to `told`; `watch` runs meanwhile, on the loop that is watched."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lateness = Histogram()
        self._ran_s = 0.0
        self._waited_s: float | None = None

    async def watch(self) -> None:
        """For ever: how late it is to what is due."""
        clock = self._clock
        while True:
            due_s = clock.monotonic_s() + _EVERY_S
            await asyncio.sleep(_EVERY_S)
            self._lateness.add(max(0, round((clock.monotonic_s() - due_s) * 1e6)))

    def begin(self) -> None:
        self._lateness = Histogram()
        self._ran_s, self._waited_s = time.process_time(), _waited_s()

    def told(self, seconds: float) -> Client:
        """Of the `seconds` since `begin`."""
        ran_s, waited_s = time.process_time() - self._ran_s, _waited_s()
        waited_share = None
        if waited_s is not None and self._waited_s is not None:
            waited_share = round((waited_s - self._waited_s) / seconds, 3)
        late_us = self._lateness.quantiles(0.99)[0] if self._lateness.total else 0.0
        return Client(round(ran_s / seconds, 3), waited_share, round(late_us / 1_000, 3))


def _waited_s() -> float | None:
    try:
        return int(_SCHEDULED.read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None
