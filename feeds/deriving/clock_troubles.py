"""What is wrong with clocks, by the stamps of all venues that are heard: once per incident. Pure.

That one venue is behind the others says something of it; that all are off, of this machine.
"""

from collections.abc import Mapping
from math import inf
from statistics import median_low
from typing import Final

from feeds.watching.screen import AHEAD_MAX_US

_LOOK_S: Final = 1.0
_INCIDENT_S: Final = 60.0
"""So long without it, and an incident is over."""


class ClockTroubles:
    """Times by `now_s` are monotonic."""

    def __init__(self, behind_max_us: int) -> None:
        """`behind_max_us`: how long candles of all venues together wait for a slow one."""
        self.sentences: list[str] = []
        """What is wrong now."""
        self.look_from_s = -inf
        self._behind_max_us = behind_max_us
        self._met_s: dict[str, float] = {}
        """When each incident was last met."""

    def look(self, stamped_us: Mapping[str, int], now_s: float) -> list[str]:
        """`stamped_us`: how far the stamps of each venue are ahead of our clock. What is new."""
        self.look_from_s = now_s + _LOOK_S
        found = self._found(stamped_us)
        self.sentences = list(found.values())
        met_s = self._met_s
        new = [
            sentence
            for incident, sentence in found.items()
            if now_s - met_s.get(incident, -inf) > _INCIDENT_S
        ]
        met_s.update(dict.fromkeys(found, now_s))
        return new

    def _found(self, stamped_us: Mapping[str, int]) -> dict[str, str]:
        """By the venue whose trouble it is, or none."""
        if not stamped_us:
            return {}
        slowest_us, fastest_us = min(stamped_us.values()), max(stamped_us.values())
        found: dict[str, str] = {}
        if slowest_us > AHEAD_MAX_US or fastest_us < -self._behind_max_us:
            found[""] = _off(stamped_us, median_low(stamped_us.values()) / 1e6)
        # A stamp from far ahead is an error of that venue: nobody is behind because of it.
        fastest_us = min(fastest_us, max(slowest_us, AHEAD_MAX_US))
        return found | {
            venue: (
                f"{venue} is {(fastest_us - ahead_us) / 1e6:.0f} s behind other venues: candles of"
                f" all together wait for it {self._behind_max_us / 1e6:g} s at most"
            )
            for venue, ahead_us in stamped_us.items()
            if fastest_us - ahead_us > self._behind_max_us
        }


def _off(venues: Mapping[str, int], ahead_s: float) -> str:
    where = "ahead of" if ahead_s > 0 else "behind"
    if len(venues) == 1:
        [venue] = venues
        return (
            f"the stamps of {venue} lie {abs(ahead_s):.1f} s {where} this machine's clock: one of"
            " the two is wrong"
        )
    word = "slow" if ahead_s > 0 else "fast"
    return (
        f"this machine's clock is {word} by about {abs(ahead_s):.1f} s: the stamps of all venues"
        f" lie {where} it"
    )
