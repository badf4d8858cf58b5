"""The table of fan-out loads: who listens to what, and how much there is to hear. Pure."""

from typing import Final, NamedTuple


class Load(NamedTuple):
    """One row. Connection i has `each` of the channels, beginning at i x each."""

    name: str
    connections: int
    channels: int
    each: int
    ticks_per_s: float
    window_ms: float | None = None
    """Of a gateway set otherwise; None: as the product has it."""

    @property
    def offered_per_s(self) -> float:
        """Deliveries."""
        return self.ticks_per_s * self.connections * self.each / self.channels

    def ticks(self, seconds: float) -> int:
        """Whole rounds over the channels, so that every connection is due as many."""
        return max(1, round(self.ticks_per_s * seconds / self.channels)) * self.channels

    def deliveries(self, seconds: float) -> int:
        return self.ticks(seconds) * self.connections * self.each // self.channels


def channel(number: int) -> str:
    """As publisher and load client name them."""
    return f"trade:bench:C{number:05d}"


def w1(ticks_per_s: float, window_ms: float | None = None) -> Load:
    """1,000 subscribers of one channel."""
    window = "" if window_ms is None else f", {window_ms:g} ms window"
    return Load(f"W1 {told_rate(ticks_per_s * 1_000)}{window}", 1_000, 1, 1, ticks_per_s, window_ms)


def told_rate(per_s: float) -> str:
    """`300k/s`, `1M/s`, `2.5M/s`."""
    return f"{per_s / 1e6:g}M/s" if per_s >= 1e6 else f"{per_s / 1e3:g}k/s"


W1_FIXED: Final = w1(1_000)
W1_WIDE: Final = w1(1_000, window_ms=20.0)
W2: Final = Load("W2", 1_000, 1, 1, 100)
W3: Final = Load("W3", 500, 100, 20, 2_000)
FIXED: Final = (W2, W3, W1_FIXED, W1_WIDE)

RAMP: Final = tuple(
    w1(1_000 * millions) for millions in (0.3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14)
)
"""Climbed until one no longer holds."""
CHANNELS_MAX: Final = max(load.channels for load in (*FIXED, *RAMP))
