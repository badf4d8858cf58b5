"""What a feed says of its venue's channels, held against what came: no false alarm, no silence
that is not told, and what the venue left out is asked for again."""

from typing import TYPE_CHECKING, Final

from feeds.market import Status
from tests.simulation.exchange import Exchange
from tests.simulation.ledger import Hole, Ledger
from tests.simulation.truth import Violation
from tests.simulation.virtual_time import VirtualClock

if TYPE_CHECKING:
    from tests.simulation.feeds_chances import FeedsChances

_CALM_S: Final = 6.0
"""All is as it was so long after the last oddity, renewals included."""
_FRESH_S: Final = 2.0
_NOTICED_S: Final = 10.8
"""A silence of a rhythm that is known; a look comes by twice a second, and we four times."""
_PAUSES: Final = 3.0
_BEATS_KNOWN: Final = 21
_TOLD_S: Final = 1.0
_RENEWED_S: Final = 3.0


class ToldStates:
    """Of the process that leads."""

    def __init__(
        self, exchange: Exchange, ledger: Ledger, chances: "FeedsChances", clock: VirtualClock
    ) -> None:
        self._exchange = exchange
        self._ledger = ledger
        self._chances = chances
        self._clock = clock
        self._resynced_s: dict[str, float] = {}
        """When it was last told of a channel that it is asked for again."""
        self._seen = 0
        """Holes that were looked after."""

    def published(self, status: Status) -> None:
        for name in self._exchange.markets:
            if _told(status, name) == "resync":
                self._resynced_s[name] = self._clock.monotonic_s()

    def check(self, status: Status, token: str) -> None:
        """Of a process that has led, undisturbed, for some seconds."""
        now_s = self._clock.monotonic_s()
        exchange = self._exchange
        sides = [side for side in exchange.sides if side.token == token]
        ended_s = max((at_s for at_s, one in exchange.ended if one == token), default=now_s)
        if not sides and now_s - ended_s > _TOLD_S and status.state == "live":
            raise Violation(f"{status}, without a connection")
        is_calm = now_s - exchange.odd_s > _CALM_S
        for name in exchange.markets:
            arrivals = exchange.arrivals.get((token, name))
            if arrivals is None:
                return
            is_calm &= now_s - arrivals.fresh_s < _FRESH_S
            is_known = arrivals.beats >= _BEATS_KNOWN
            limit_s = max(_NOTICED_S, _PAUSES * (exchange.longest_s[name] + 1.0) + 1.0)
            if is_known and now_s - arrivals.last_s > limit_s and _told(status, name) == "live":
                raise Violation(f"{name} is silent since {arrivals.last_s:.3f}, and told as live")
        if is_calm and (status.state != "live" or status.channels):
            raise Violation(f"{status}, though everything comes")

    def check_holes(self, disturbed_s: float) -> None:
        """Of each channel its first: the next may come too soon after it. `disturbed_s`: when a
        process or Redis last was."""
        holes = self._ledger.holes
        while self._seen < len(holes) and self._is_due(holes[self._seen]):
            hole = holes[self._seen]
            self._seen += 1
            is_first = not any(one.channel == hole.channel for one in holes[: self._seen - 1])
            if is_first and disturbed_s < hole.at_s - 1.0:
                self._check_hole(hole)

    def _is_due(self, hole: Hole) -> bool:
        return self._clock.monotonic_s() - hole.at_s > _RENEWED_S

    def _check_hole(self, hole: Hole) -> None:
        exchange, after_s = self._exchange, hole.at_s
        is_other = any(at_s > after_s - 1.0 for at_s, _ in exchange.ended)
        is_other |= exchange.opened_s > after_s - 1.0
        is_other |= any(at_s < after_s and one == hole.channel for at_s, one in exchange.renewed)
        if is_other:
            return
        if not any(at_s >= after_s and one == hole.channel for at_s, one in exchange.renewed):
            raise Violation(f"{hole} was not asked for again")
        if self._resynced_s.get(hole.channel, 0.0) < after_s - 0.5:
            raise Violation(f"{hole} was asked for again, and nobody was told")


def _told(status: Status, name: str) -> str:
    apart = status.channels.get(name)
    return status.state if apart is None else apart.state
