"""All connections to one venue, as one Feed: their health and counts in common."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from random import Random
from typing import TypeVar

from feeds.connection import Connection, FrameTap, VenueAtWork
from feeds.feed import FeedCounts, TickSink
from feeds.market import Channel, Clock, Status, Tick
from feeds.settings import ConnectionSettings
from feeds.succession import Succession
from feeds.venue import Subscription, Venue
from feeds.watching.health import VenueHealth
from feeds.watching.trade_ids import REMEMBERED
from feeds.watching.watches import Watches

_log = logging.getLogger(__name__)

One = TypeVar("One")


def shares(wanted: Sequence[One], per_connection_max: int) -> list[Sequence[One]]:
    """What each connection asks for, where a venue limits that."""
    starts = range(0, len(wanted), per_connection_max)
    return [wanted[start : start + per_connection_max] for start in starts]


class VenueFeed:
    """A Feed: all connections to one venue, their health and counts in common."""

    def __init__(
        self,
        venue: Venue,
        subscriptions: Sequence[Subscription],
        settings: ConnectionSettings,
        sink: TickSink,
        *,
        clock: Clock,
        random: Random,
        url: str | None = None,
        tap: FrameTap | None = None,
    ) -> None:
        """`url` replaces the venue's own; `tap` sees each frame."""
        self.name = venue.name
        self.channels = [Channel(each.kind, venue.name, each.symbol) for each in subscriptions]
        self.changed = asyncio.Event()
        self.counts = FeedCounts()
        self._clock = clock
        self._ids = venue.trade_ids
        parts = shares(subscriptions, venue.subscriptions_per_connection_max)
        now_us = clock.now_ns() // 1_000
        self.watches = Watches(
            venue.name,
            self.channels,
            venue.trade_ids,
            now_us,
            can_renew=venue.renew_frames is not None,
            tell=lambda sentence: _log.warning("%s", sentence),
            on_change=self.changed.set,
        )
        self._health = VenueHealth(
            venue.name,
            shares(self.channels, venue.subscriptions_per_connection_max),
            self.watches,
            settings.backoff_max_s,
            now_us,
        )
        common = VenueAtWork(
            venue,
            url or venue.url,
            settings,
            sink,
            clock,
            random,
            tap,
            self.counts,
            self._health,
            self.watches,
            self.changed,
        )
        self._shares = [_Share(common, number, part) for number, part in enumerate(parts)]

    @property
    def trades_recalled(self) -> int:
        """How many trades of each channel `begin_after` can make use of."""
        return REMEMBERED[self._ids]

    def begin_after(self, published: Mapping[str, Sequence[Tick]]) -> None:
        """What was published of its channels before `run`, perhaps by another process."""
        self.watches.begin_again(published)

    def status(self) -> Status:
        return self._health.status(self._clock.now_ns() // 1_000)

    async def run(self) -> None:
        """Until cancelled; then the sockets are closed, within `close_limit_s`."""
        async with asyncio.TaskGroup() as group:
            for number, share in enumerate(self._shares):
                group.create_task(share.run(), name=f"{self.name}-{number}")


class _Share:
    """What one socket is asked for, and the sockets that are, one after the other."""

    def __init__(
        self, venue: VenueAtWork, number: int, subscriptions: Sequence[Subscription]
    ) -> None:
        self._venue = venue
        self._number = number
        self._subscriptions = subscriptions
        self._turned = asyncio.Event()
        self._connections = 0
        """How many there have been."""

    async def run(self) -> None:
        """Until cancelled."""
        venue = self._venue
        if self._connections:
            # The venue was left for a while; what it gave then says nothing about now.
            now_us = venue.clock.now_ns() // 1_000
            venue.health.lost(self._number, "feed", "was not listened to for a while", now_us)
        # A venue's sockets open one after the other, as its subscribe frames do.
        await asyncio.sleep(self._number * venue.row.subscribe_pace_s)
        await Succession(
            venue.row.name,
            self._next_connection,
            venue.settings,
            venue.random,
            turned=self._turned,
            lifetime_s=venue.row.lifetime_s,
            # A recording has one connection's frames after the other's.
            may_overlap=venue.tap is None,
        ).run()

    def _next_connection(self) -> Connection:
        self._venue.counts.reconnects += bool(self._connections)
        self._connections += 1
        return Connection(self._venue, self._number, self._subscriptions, self._turned)
