"""The feeds and the publisher of a process that runs, as its metrics see them."""

from collections.abc import Mapping, Sequence

from feeds.deriving.derived_feed import DerivedFeed
from feeds.feed import Feed, FeedCounts
from feeds.lease import Lease
from feeds.market import Clock
from feeds.market.metric import Histogram
from feeds.publisher import Publisher
from feeds.sim import SimFeed
from feeds.venue_feed import VenueFeed


class FeedsAtWork:
    """Looked at from time to time, and asked by each metric."""

    def __init__(
        self,
        feeds: Sequence[Feed],
        publisher: Publisher,
        clock: Clock,
        leases: Mapping[str, Lease],
    ) -> None:
        """`leases` by venue."""
        self.feeds = feeds
        self.leases = leases
        self.publisher = publisher
        self.publish_delay_s = Histogram()
        """Of ticks: from the receipt of the oldest of their batch to Redis' answer."""
        self._clock = clock
        self._seen = {feed.name: (0, clock.monotonic_s()) for feed in feeds}
        """Of each venue: how many ticks there were, and when that number was last seen to grow."""
        publisher.counts.on_published = self.publish_delay_s.observe

    def look(self) -> None:
        """Called every now and then: so precise is the age of a venue's newest tick."""
        for feed in self.feeds:
            ticks = counts_of(feed).ticks
            if ticks != self._seen[feed.name][0]:
                self._seen[feed.name] = ticks, self._clock.monotonic_s()

    def is_up(self, feed: Feed) -> bool:
        lease = self.leases.get(feed.name)
        return (lease is None or lease.is_held) and feed.status().state == "live"

    def newest_age_s(self, feed: Feed) -> float:
        """Since the start, where there was no tick yet."""
        return self._clock.monotonic_s() - self._seen[feed.name][1]


def counts_of(feed: Feed) -> FeedCounts:
    """Those of a feed without connections are its ticks."""
    if isinstance(feed, VenueFeed):
        return feed.counts
    counts = FeedCounts()
    if isinstance(feed, SimFeed):
        counts.ticks = feed.ticks
    elif isinstance(feed, DerivedFeed):
        counts.ticks = feed.counts.told.total()
        counts.crashes = feed.counts.restarts
    return counts
