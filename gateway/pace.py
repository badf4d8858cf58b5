"""EDGE: when a worker sends what its hub has: the join window, and the ends of rates' intervals.

Two timers for the whole worker, each set only while something waits for it. Without the window W3
costs 39 % more CPU; W1 and W2 the same (bench.fanout.tricks, 2026-11-21, one repeat).
"""

import asyncio
from collections.abc import Callable
from typing import Final

from feeds.market import Clock, Moment, moment
from gateway.bus.bus import Bus
from gateway.fanout.hub import Hub
from gateway.fanout.rates import Wheel

_NOT_EARLIER_S: Final = 0.0005
"""uvloop's timers round to milliseconds; one that ran early would have to be set again."""


class Pace:
    """Of one hub."""

    def __init__(self, hub: Hub, bus: Bus, clock: Clock, join_window_ms: float) -> None:
        self._hub = hub
        self._bus = bus
        self._clock = clock
        self._window_s = join_window_ms / 1_000
        self._flushed_s = float("-inf")
        self._read_s: float | None = None
        """When the oldest message was read that has not been flushed yet."""
        self.on_flushed: Callable[[], None] | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
        """Of the end of a window; while it is set, the bus isn't read."""
        self._is_over = False
        """A window has just ended, and what came in it is to be read and flushed."""
        self._wheel = Wheel()
        self._wheel_timer: asyncio.TimerHandle | None = None

    def flush(self, at: Moment) -> None:
        """At once, but for what waits for an interval's end."""
        self._wind(at)
        self._is_over = False
        self._hub.flush(at.monotonic_s)
        now_s = self._clock.monotonic_s()
        if self._read_s is not None:
            self._hub.counts.fanout_s.observe(now_s - self._read_s)
            self._read_s = None
        if self.on_flushed is not None:
            self.on_flushed()
        # What came meanwhile waits for more: else, where a flush takes longer than the window,
        # there would be none.
        is_busy = self._window_s > 0 and self._bus.unread_bytes > 0
        self._flushed_s = now_s if is_busy else at.monotonic_s

    def flush_soon(self, at: Moment) -> None:
        """At once where the last flush is long ago; else at the end of the window, with more."""
        if self._read_s is None:
            self._read_s = at.monotonic_s
        if self._is_over:
            # This is what came in the window; more will follow as densely.
            self.flush(at)
            self._wait(self._window_s)
            return
        early_s = self._flushed_s + self._window_s - at.monotonic_s
        if early_s <= 0:
            self.flush(at)
            return
        self._wind(at)
        if self._flush_timer is None:
            self._wait(early_s)

    def _wait(self, left_s: float) -> None:
        self._bus.pause_reading()
        self._flush_timer = asyncio.get_running_loop().call_later(left_s, self._end_window)

    def _end_window(self) -> None:
        self._flush_timer = None
        self._is_over = True
        self._bus.resume_reading()
        # Behind the read that follows now, which flushes what it brings: the next step's own calls
        # may come before it.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._flush_late)

    def _flush_late(self) -> None:
        if self._is_over:
            self.flush(moment(self._clock))

    def _wind(self, at: Moment) -> None:
        if self._wheel.wind(self._hub.pending.rates(), at):
            self._set(at)

    def _set(self, at: Moment) -> None:
        if self._wheel_timer is not None:
            self._wheel_timer.cancel()
            self._wheel_timer = None
        due_s = self._wheel.next_s()
        if due_s is not None:
            left_s = max(0.0, due_s - at.monotonic_s) + _NOT_EARLIER_S
            self._wheel_timer = asyncio.get_running_loop().call_later(left_s, self._turn)

    def _turn(self) -> None:
        self._wheel_timer = None
        at = moment(self._clock)
        for rate in self._wheel.take_due(at.monotonic_s):
            self._hub.emit(rate)
        self.flush(at)
        self._set(at)
