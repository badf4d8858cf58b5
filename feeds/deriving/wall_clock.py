"""Whether the wall clock was set back, as the monotonic one beside it tells.

Whoever waits for a time would wait for as long: they begin again. Less than a second is waited for.
"""

from typing import Final

from feeds.market import Clock

_STEP_MAX_US: Final = 1_000_000
"""Further back at once nobody comes who only slows a clock down, as NTP does."""


class SetBackError(Exception):
    """The times that were told lie in the future now."""


class WallClock:
    """Looked at now and then: what is between two looks counts as one step."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_us = 0
        """How far it was ahead of the monotonic one, at least."""
        self._told_until_us = 0
        """What time it was before it was set back."""
        self._step_us = 0

    def begin(self) -> None:
        """Whatever was before is past."""
        self._look()

    def expect_onward(self) -> None:
        """Raises SetBackError."""
        step_us = self._look()
        if step_us > _STEP_MAX_US:
            self._step_us = step_us
            self._told_until_us = self._clock.now_ns() // 1_000 + step_us
            raise SetBackError(f"the clock was set back by {step_us / 1e6:.1f} s")

    def lack(self, now_us: int) -> str | None:
        """What is not as usual since then; None: nothing, or it is as late again as it was."""
        if now_us >= self._told_until_us:
            return None
        return (
            f"the clock was set back by {self._step_us / 1e6:.1f} s: final candles of the time that"
            " comes twice are corrected, not told anew"
        )

    def _look(self) -> int:
        """How far it was set back since the look before, at least."""
        # Read around it: to stand still between two readings is not to be taken for a step.
        before_us = int(self._clock.monotonic_s() * 1e6)
        now_us = self._clock.now_ns() // 1_000
        after_us = int(self._clock.monotonic_s() * 1e6)
        step_us = self._ahead_us - (now_us - before_us)
        self._ahead_us = now_us - after_us
        return step_us
