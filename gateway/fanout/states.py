"""Why a channel is silent: the bus, the feed, the venue, or just nothing to say. Pure.

A feed publishes each venue's status once a second; a status that stops coming is a dead feed.
"""

from collections.abc import Mapping
from typing import Protocol

from feeds.market import Channel, Status
from gateway.fanout.topic import Standing, Topic
from gateway.protocol import By, StateName

STATUS_SYMBOL = "VENUE"
"""`status:<venue>:VENUE`: how a venue's feed does as a whole."""


def status_channel(venue: str) -> Channel:
    return Channel("status", venue, STATUS_SYMBOL)


class States:
    """What was last heard of the bus and of each venue's feed. Times: monotonic seconds."""

    def __init__(self, feed_silence_limit_s: float) -> None:
        self._limit_s = feed_silence_limit_s
        self._heard: dict[str, tuple[Status | None, float]] = {}
        self.bus_is_live = False

    def watch(self, venue: str, now_s: float) -> None:
        """From now on its status is listened to, and its silence means something."""
        self._heard.setdefault(venue, (None, now_s))

    def forget(self, venue: str) -> None:
        """Its status is listened to no more."""
        self._heard.pop(venue, None)

    def heard(self, venue: str, status: Status, now_s: float) -> bool:
        """Whether that changes how the venue's channels stand."""
        before, heard_s = self._heard.get(venue, (None, float("-inf")))
        self._heard[venue] = (status, now_s)
        late = now_s - heard_s > self._limit_s
        if late or before is None:
            return True
        return before.state != status.state or before.channels != status.channels

    def bus_returned(self, now_s: float) -> None:
        """Silence that the bus explains isn't the feeds'."""
        self.bus_is_live = True
        self._heard = {venue: (status, now_s) for venue, (status, _) in self._heard.items()}

    def standing_of(self, topic: Topic, now_s: float) -> Standing:
        if not self.bus_is_live:
            return Standing("stale", "bus")
        status, heard_s = self._heard.get(topic.feed, (None, now_s))
        if status is not None and status.state == "closed":
            # It said goodbye: its silence is no failure.
            return Standing("closed", status.by)
        if now_s - heard_s > self._limit_s:
            return Standing("stale", "feed")
        if topic.seq == 0:
            return Standing("waiting")
        if status is None or topic.channel.kind == "status":
            return Standing("live")
        return of_feed(status, topic.channel.name)


class Said(Protocol):
    """Of a channel, or of a venue: a state, and whose doing it is."""

    @property
    def state(self) -> StateName: ...
    @property
    def by(self) -> By | None: ...


class SaidOfAll(Said, Protocol):
    """Of a venue, with its channels that do otherwise."""

    @property
    def channels(self) -> Mapping[str, Said]: ...


def of_feed(status: SaidOfAll, channel: str) -> Standing:
    """How a channel stands by what its feed says."""
    apart = status.channels.get(channel)
    if apart is not None:
        return Standing(apart.state, apart.by or "venue")
    if status.state == "live" or status.channels:
        # Where it names the channels that give nothing, the others give something.
        return Standing("live")
    if status.state == "waiting":
        # A feed that was started again has not reached its venue yet: what we have is old.
        return Standing("stale", status.by or "feed")
    return Standing(status.state, status.by or "venue")
