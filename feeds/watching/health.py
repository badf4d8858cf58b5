"""How one venue does, from what its connections report: its Status, and what to tell the operator.

Pure. An incident begins with the first connection lost and ends when all have data again: one
sentence for each, however many connections and attempts it takes. What its channels do by
themselves is the Watches'.
"""

from collections.abc import Sequence
from typing import Literal

from feeds.market import Channel, Status
from feeds.watching.watches import Watches

REASONS_MAX = 100
"""Refusals told apart per venue; a venue that invents more is not worth more lines."""

_REASON_CHARS = 200

State = Literal["waiting", "live", "stale", "resync"]
Blame = Literal["venue", "feed"]


class VenueHealth:
    """Methods that return a sentence return it once per incident, else None.

    `now_us` is microseconds UTC throughout.
    """

    def __init__(
        self,
        venue: str,
        connections: Sequence[Sequence[Channel]],
        watches: Watches,
        backoff_max_s: float,
        now_us: int,
    ) -> None:
        """`connections`: the channels of each."""
        self._venue = venue
        self._connections = connections
        self._watches = watches
        self._backoff_max_s = backoff_max_s
        self._states: list[State] = ["waiting"] * len(connections)
        self._losses: dict[int, tuple[Blame, str]] = {}
        """Of connections that have no data since they were lost."""
        self._refusals: dict[int, list[str]] = {}
        self._refusals_told: set[str] = set()
        self._incident_us: int | None = None
        self._state: State = "waiting"
        self._since_us = now_us

    def opened(self, connection: int) -> None:
        """A connection stands again; whether it gives data is still to be seen."""
        if connection in self._losses:
            self._losses[connection] = ("venue", "is reached again; no data yet")

    def went_live(self, connection: int, now_s: float, now_us: int) -> str | None:
        """A connection's first data since it was opened."""
        self._watches.back(self._connections[connection], now_s, now_us)
        self._states[connection] = "live"
        self._losses.pop(connection, None)
        self._settle(now_us)
        if self._losses or self._incident_us is None:
            return None
        away_s = max(0, now_us - self._incident_us) / 1_000_000
        self._incident_us = None
        return f"{self._venue} is back after {away_s:.3g} s"

    def lost(self, connection: int, blame: Blame, reason: str, now_us: int) -> str | None:
        """A connection ended, or could not be opened; `reason` finishes `<venue> …`."""
        self._losses[connection] = (blame, reason)
        self._refusals.pop(connection, None)
        self._watches.lost(self._connections[connection], blame, reason, now_us)
        if self._states[connection] == "live":
            self._states[connection] = "stale"
        self._settle(now_us)
        if self._incident_us is not None:
            return None
        self._incident_us = now_us
        return f"{self._venue} {reason}; trying again, at most {self._backoff_max_s:g} s apart"

    def refused(self, connection: int, reason: str) -> str | None:
        """The venue will not give something."""
        reason = reason[:_REASON_CHARS]
        held = self._refusals.setdefault(connection, [])
        if reason not in held and len(held) < REASONS_MAX:
            held.append(reason)
        if reason in self._refusals_told or len(self._refusals_told) >= REASONS_MAX:
            return None
        self._refusals_told.add(reason)
        return f"{self._venue} refuses: {reason}"

    def status(self, now_us: int) -> Status:
        blame, reason = self._blame_and_reason()
        apart, dead = self._watches.apart(), self._watches.dead
        if self._state == "live" and dead and not apart:
            # All that it gave, or too many to name.
            since_us = max(watch.since_us for watch in dead)
            state: State = "stale" if any(one.state == "stale" for one in dead) else "resync"
            return Status(state, since_us, "venue", f"{len(dead)} channels give nothing", now_us)
        return Status(self._state, self._since_us, blame, reason, now_us, apart)

    def _settle(self, now_us: int) -> None:
        # A venue is as good as the worst of what it used to give; what never came (a quiet pair
        # on a connection of its own) does not make the rest less live.
        state: State = "waiting"
        if "stale" in self._states:
            state = "stale"
        elif "live" in self._states:
            state = "live"
        if state != self._state:
            self._state = state
            self._since_us = now_us

    def _blame_and_reason(self) -> tuple[Blame | None, str | None]:
        for blame, reason in self._losses.values():
            share = self._share(len(self._losses))
            return (None if self._state == "live" else blame), reason + share
        for held in self._refusals.values():
            more = f" (and {len(held) - 1} more)" if len(held) > 1 else ""
            return (None if self._state == "live" else "venue"), f"refuses: {held[0]}{more}"
        waiting = self._states.count("waiting")
        if self._state == "live" and waiting:
            return None, "no data yet" + self._share(waiting)
        return None, None

    def _share(self, concerned: int) -> str:
        total = len(self._states)
        return f", {concerned} of {total} connections" if total > 1 else ""
