"""All channels of one venue: what passes of their ticks, and which of them are dead or torn. Pure.

A channel is stale when it is silent for longer than its own rhythm allows, or cut off; torn when
the venue left something out. Either way only that channel is asked for again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Final

from feeds.market import Channel, ChannelState, Tick
from feeds.market.publication import Blame
from feeds.watching.screen import RULES, Reason, Screen, screen_of
from feeds.watching.trade_ids import Promise
from feeds.watching.watch import Watch, WatchState

STRANGERS_MAX: Final = 1_000
"""Channels that nobody asked for; what a venue invents beyond is judged, but not remembered."""
CHANNELS_TOLD_MAX: Final = 100
"""In one status; where more are dead, it is said of the venue."""

_INCIDENT_S: Final = 60.0
"""So long without another of its kind, and an incident is over."""


class WatchCounts:
    """What happened since the start."""

    def __init__(self) -> None:
        self.found: dict[Reason, int] = dict.fromkeys(RULES, 0)
        self.missing = 0
        """Ticks that never came, by the venue's own numbers; of quotes one each time."""
        self.torn = 0
        """Times that what came of a channel did not fit together."""
        self.renewals = 0


class Watches:
    """`now_s` is monotonic, `now_us` UTC. `tell` hears one sentence per incident."""

    def __init__(
        self,
        venue: str,
        asked: Iterable[Channel],
        ids: Promise,
        now_us: int,
        *,
        can_renew: bool,
        tell: Callable[[str], None],
        on_change: Callable[[], None],
    ) -> None:
        """`on_change` is called whenever a channel's state is another."""
        self.counts = WatchCounts()
        self._venue = venue
        self._ids = ids
        self._can_renew = can_renew
        self._tell = tell
        self._on_change = on_change
        self._now_s = 0.0
        self._is_recalling = False
        """What is judged now was met before."""
        self._told_s: dict[str, float] = {}
        """When each kind of incident was last met."""
        self._asked = {channel.name: self._watch(channel, now_us) for channel in asked}
        self._watches = dict(self._asked)

    def pass_on(self, ticks: Iterable[Tick], now_s: float, now_us: int) -> list[Tick]:
        """Those that are not refused, in order."""
        watches, passed = self._watches, []
        self._now_s = now_s
        for tick in ticks:
            watch = watches.get(tick.channel.name)
            if watch is None:
                watch = self._stranger(tick.channel, now_us)
            judged = watch.judge(tick)
            if judged is None:
                continue
            passed.append(judged)
            if judged.missing is not None:
                self._missed(watch, judged, now_us)
            if now_s >= watch.beat_due_s:
                self._beat(watch, now_s, now_us)
        return passed

    def begin_again(self, published: Mapping[str, Sequence[Tick]]) -> None:
        """Forgets what it let pass; remembers, of each channel, what was published in the end.

        That is not to come again, and what is missing after it is our doing: nobody listened.
        """
        self._is_recalling = True
        for watch in self._asked.values():
            watch.screen_by(self._screen(watch.channel))
            for tick in published.get(watch.channel.name, ()):
                watch.judge(tick)
            watch.cut("feed")
        self._is_recalling = False

    def refused(self, reason: Reason, where: str, now_s: float) -> None:
        """The parser did: it can't be a tick."""
        self._now_s = now_s
        self._found(reason, where)

    def tear(self, channel: Channel, reason: str, now_s: float, now_us: int) -> None:
        """What the venue told of a channel does not fit together. Nothing comes of it until it was
        asked for again, however soon after the last time that may be."""
        watch = self._asked.get(channel.name)
        if watch is None or not self._can_renew:
            return
        self._now_s = now_s
        self.counts.torn += 1
        self._tell_once("torn", f"{channel.name} {reason}; more are only counted")
        is_dead = watch.state == "stale" and not watch.is_cut
        watch.tear(now_s)
        if not is_dead:
            self._turn(watch, "resync", now_us, "venue", reason)

    def lost(self, channels: Iterable[Channel], by: Blame, reason: str, now_us: int) -> None:
        """Their connection."""
        for watch in self._of(channels):
            watch.cut(by)
            if watch.state in ("live", "resync"):
                watch.is_cut = True
                self._turn(watch, "stale", now_us, by, reason)

    def back(self, channels: Iterable[Channel], now_s: float, now_us: int) -> None:
        """Their connection; a quiet one among them is not stale because of what was."""
        for watch in self._of(channels):
            if watch.is_cut:
                watch.rhythm.beat(now_s)
                self._turn(watch, "live", now_us)

    def look(self, channels: Iterable[Channel], now_s: float, now_us: int) -> list[Channel]:
        """Looks after the channels of one connection; those that are to be asked for again."""
        due: list[Channel] = []
        dead: list[Watch] = []
        for watch in self._of(channels):
            # What is torn, and not asked for again yet, is silent by our own doing.
            is_torn = watch.state == "resync" and watch.wants_renewal
            is_heard = watch.state in ("live", "resync") and not is_torn
            if is_heard and watch.rhythm.is_overdue(now_s):
                watch.wants_renewal = self._can_renew
                dead.append(watch)
            if watch.wants_renewal and now_s >= watch.renew_from_s:
                due.append(watch.channel)
        for watch in dead:
            silent_s, usual_s = watch.rhythm.silent_s(now_s), watch.rhythm.usual_s
            reason = f"silent for {silent_s:.0f} s, before for {usual_s:.0f} s at most"
            self._turn(watch, "stale", now_us, "venue", reason)
        if dead:
            more = f" (and {len(dead) - 1} more channels)" if len(dead) > 1 else ""
            self._tell(f"{dead[0].channel.name} is {dead[0].reason}{more}")
        return due

    def are_all_silent(self, channels: Iterable[Channel]) -> bool:
        """Whether all that a connection gave has stopped: then it is the connection that is dead,
        whatever heartbeats it sends. One channel alone may be quiet for once."""
        begun = [watch for watch in self._of(channels) if watch.state != "waiting"]
        return len(begun) > 1 and all(watch.has_fallen_silent for watch in begun)

    def renewed(self, channel: Channel, now_s: float) -> None:
        """It was asked for anew."""
        self._asked[channel.name].renewed(now_s)
        self.counts.renewals += 1

    def states(self) -> dict[str, int]:
        """How many channels are in each state."""
        states = dict.fromkeys(("waiting", "live", "stale", "resync"), 0)
        for watch in self._asked.values():
            states[watch.state] += 1
        return states

    @property
    def dead(self) -> list[Watch]:
        """Channels that gave data, and don't just now."""
        return [one for one in self._asked.values() if one.state in ("stale", "resync")]

    def apart(self) -> dict[str, ChannelState]:
        """Those of the dead where others live; where there are too many to tell: none."""
        dead = self.dead
        if len(dead) > CHANNELS_TOLD_MAX or not self.states()["live"]:
            return {}
        return {watch.channel.name: watch.told for watch in dead}

    def _of(self, channels: Iterable[Channel]) -> Sequence[Watch]:
        return [self._asked[channel.name] for channel in channels]

    def _watch(self, channel: Channel, now_us: int) -> Watch:
        return Watch(channel, self._screen(channel), now_us)

    def _screen(self, channel: Channel) -> Screen:
        def tell(reason: Reason, tick: Tick) -> None:
            if not self._is_recalling:
                self._found(reason, tick.channel.name)

        return screen_of(channel, self._ids, tell)

    def _stranger(self, channel: Channel, now_us: int) -> Watch:
        watch = self._watch(channel, now_us)
        if len(self._watches) < len(self._asked) + STRANGERS_MAX:
            self._watches[channel.name] = watch
        return watch

    def _beat(self, watch: Watch, now_s: float, now_us: int) -> None:
        watch.beat(now_s)
        if watch.state == "live" or (watch.state == "resync" and watch.wants_renewal):
            return
        if watch.state == "stale" and not watch.is_cut:
            away_s = (now_us - watch.since_us) / 1e6
            self._tell(f"{watch.channel.name} is back after {away_s:.3g} s")
        self._turn(watch, "live", now_us)

    def _turn(
        self,
        watch: Watch,
        state: WatchState,
        now_us: int,
        by: Blame | None = None,
        reason: str | None = None,
    ) -> None:
        if state == "live":
            watch.wants_renewal = watch.is_cut = False
        watch.turn(state, now_us, by, reason)
        self._on_change()

    def _missed(self, watch: Watch, tick: Tick, now_us: int) -> None:
        assert tick.missing is not None
        by, messages = tick.missing
        self.counts.missing += messages
        if watch.is_first:
            # Of the time when it was not listened to: it was asked for just now.
            return
        sentence = f"{watch.channel.name} lacks {messages} messages, by the venue's own numbers"
        self._tell_once("missing", f"{sentence}; more are only counted")
        if by == "venue" and watch.state != "stale" and not watch.wants_renewal:
            self._ask_again(watch, f"lacks {messages} messages", now_us)

    def _ask_again(self, watch: Watch, reason: str, now_us: int) -> None:
        """The rest of it does come: a hole is no reason to ask again and again."""
        if self._can_renew and self._now_s >= watch.renew_from_s:
            watch.wants_renewal = True
            self._turn(watch, "resync", now_us, "venue", reason)

    def _found(self, reason: Reason, where: str) -> None:
        self.counts.found[reason] += 1
        rule = RULES[reason]
        self._tell_once(
            reason,
            f"{self._venue} sends what is {rule.fate} as {reason} ({rule.meaning}), first in"
            f" {where}; more are only counted",
        )

    def _tell_once(self, incident: str, sentence: str) -> None:
        if self._now_s - self._told_s.get(incident, -inf) > _INCIDENT_S:
            self._tell(sentence)
        self._told_s[incident] = self._now_s
