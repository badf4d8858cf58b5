"""One channel of a venue: what judges its ticks, its rhythm, and how it does. Pure."""

from math import inf
from typing import Final, Literal

from feeds.market import Channel, ChannelState
from feeds.market.publication import Blame
from feeds.watching.rhythm import BEAT_S, Rhythm
from feeds.watching.screen import Screen

WatchState = Literal["waiting", "live", "stale", "resync"]

RENEWAL_FIRST_S: Final = 30.0
RENEWAL_MAX_S: Final = 3_600.0
"""From one renewal of a channel's subscription to the next; doubled in between, and forgotten
after the longest: no venue takes us for an attack because a pair is halted."""


class Watch:
    """A channel that is subscribed to. Seconds are monotonic, microseconds UTC."""

    __slots__ = (
        "_renewal_pause_s", "_renewed_s", "_screen", "beat_due_s", "by", "channel", "is_cut",
        "judge", "reason", "renew_from_s", "rhythm", "since_us", "state", "wants_renewal",
    )  # fmt: skip

    def __init__(self, channel: Channel, screen: Screen, now_us: int) -> None:
        self.channel = channel
        self.rhythm = Rhythm(channel.kind)
        self.judge = screen.judge
        """See `Screen`."""
        self.beat_due_s = -inf
        """From when on data is a beat; -inf: the next is the first since it was asked for."""
        self.state: WatchState = "waiting"
        self.since_us = now_us
        self.by: Blame | None = None
        self.reason: str | None = None
        self.is_cut = False
        """Its connection was lost, which says nothing about the channel itself."""
        self.wants_renewal = False
        self.renew_from_s = -inf
        self._screen = screen
        self._renewed_s = -inf
        self._renewal_pause_s = RENEWAL_FIRST_S

    def screen_by(self, screen: Screen) -> None:
        """A new one, which knows nothing of what came before."""
        self._screen = screen
        self.judge = screen.judge

    @property
    def is_first(self) -> bool:
        """Whether there was no data since it was asked for."""
        return self.beat_due_s == -inf

    @property
    def has_fallen_silent(self) -> bool:
        """Since its connection was opened; not: it has been silent from before."""
        return self.state == "stale" and self.rhythm.beat_s is not None

    @property
    def told(self) -> ChannelState:
        return ChannelState(self.state, self.since_us, self.by, self.reason)

    def turn(
        self, state: WatchState, now_us: int, by: Blame | None = None, reason: str | None = None
    ) -> None:
        self.state, self.since_us, self.by, self.reason = state, now_us, by, reason

    def beat(self, now_s: float) -> None:
        """There is data; what is missing from now on is the venue's doing."""
        self.rhythm.beat(now_s)
        self.beat_due_s = now_s + BEAT_S
        self._screen.blame = "venue"

    def cut(self, by: Blame) -> None:
        """Its connection is lost; what it misses meanwhile is the doing of `by`."""
        self.rhythm.pause()
        self.beat_due_s = -inf
        self._screen.blame = by
        self.wants_renewal = False

    def tear(self, now_s: float) -> None:
        """What came does not fit together: nothing more does until it was asked for anew."""
        self._screen.torn()
        self.rhythm.listen_from(now_s)
        self.is_cut = False
        self.wants_renewal = True

    def renewed(self, now_s: float) -> None:
        """It was asked for anew. What is missing until it comes is our doing."""
        if now_s - self._renewed_s > RENEWAL_MAX_S:
            self._renewal_pause_s = RENEWAL_FIRST_S
        self._renewed_s = now_s
        self.renew_from_s = now_s + self._renewal_pause_s
        self._renewal_pause_s = min(2 * self._renewal_pause_s, RENEWAL_MAX_S)
        self.beat_due_s = -inf
        self._screen.blame = "feed"
        # What is dead is asked for again until it comes, what was torn once; then it may be dead.
        self.wants_renewal = self.state == "stale"
        if self.state == "resync":
            self.rhythm.listen_from(now_s)
