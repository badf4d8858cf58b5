"""Time that passes when a test says so."""


class ManualClock:
    """A Clock; both its readings advance together."""

    def __init__(self, now_ns: int = 1_763_632_800_000_000_000) -> None:
        self._now_ns = now_ns
        self._monotonic_ns = 0

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic_s(self) -> float:
        return self._monotonic_ns / 1e9

    def advance(self, seconds: float) -> None:
        self._now_ns += round(seconds * 1e9)
        self._monotonic_ns += round(seconds * 1e9)

    def set_back(self, seconds: float) -> None:
        """Somebody sets the wall clock; the monotonic one takes no notice."""
        self._now_ns -= round(seconds * 1e9)
