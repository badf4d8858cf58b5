"""How often something may happen: GCRA, the leaky bucket that needs one number of memory. Pure."""


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
