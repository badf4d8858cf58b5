"""How channels stand, for who asks once: by the word of their feeds, and by how old that is.

A stream tells it unasked. An answer without it would dress a dead feed's last price as a live one.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from feeds.market import Channel, Publication
from gateway.fanout.states import of_feed, status_channel
from gateway.fanout.topic import Standing
from gateway.protocol import By, StateName
from gateway.rest.call import Sources
from gateway.rest.readings import Ask


class _ChannelSaid(msgspec.Struct, frozen=True):
    state: StateName
    by: By | None = None


class _Said(msgspec.Struct, frozen=True):
    """The little of a status that is needed, as it was published."""

    state: StateName
    by: Literal["venue", "feed"] | None = None
    rx: int | None = None
    tx: int | None = None
    channels: dict[str, _ChannelSaid] = {}


_decode = msgspec.json.Decoder(_Said).decode


class FeedStanding(NamedTuple):
    """How a feed does."""

    status: _Said
    """What it said; `stale` by the feed, where nobody can tell what that means."""
    age_us: int | None
    """Since it said so; None where it does not say when that was."""
    is_silent: bool
    """Whether it should have said something since: who said goodbye may be silent."""

    @property
    def of_all(self) -> Standing:
        """How the feed stands as a whole."""
        if self.is_silent:
            return Standing("stale", "feed")
        return Standing(self.status.state, self.status.by)

    def of(self, channel: Channel) -> Standing:
        """How one of its channels stands that has said something."""
        if self.is_silent or self.status.state == "closed":
            return self.of_all
        return of_feed(self.status, channel.name)


def feed_standing(published: Publication, now_us: int, silence_limit_s: float) -> FeedStanding:
    """By the newest message of `status:<feed>:VENUE`."""
    try:
        status = _decode(published.payload)
    except msgspec.DecodeError:
        status = _Said("stale", "feed")
    said_us = status.tx or status.rx
    age_us = None if said_us is None else max(0, now_us - said_us)
    is_late = age_us is not None and age_us > silence_limit_s * 1e6
    return FeedStanding(status, age_us, is_late and status.state != "closed")


async def standings(sources: Sources, channels: Iterable[Channel]) -> dict[str, Standing]:
    """Of channels that have said something, by name; to be called in one's turn.

    Those that no feed of ours vouches for (custom ones) are left out.
    """
    channels = list(channels)
    feeds = {channel.feed: status_channel(channel.feed).name for channel in channels}
    found = await sources.readings.read([Ask(name, None, 1) for name in feeds.values()])
    now_us = sources.clock.now_ns() // 1_000
    told = {
        feed: feed_standing(found[name].publications[0], now_us, sources.feed_silence_limit_s)
        for feed, name in feeds.items()
        if found[name].publications
    }
    return {
        channel.name: told[channel.feed].of(channel)
        for channel in channels
        if channel.feed in told and channel.kind != "custom"
    }
