"""What the feeds process tells its operator: a table of metrics, read from the counts as they are.

The README's table is this one and the gateway's; a test keeps them equal. Labels are venues, which
somebody chose, and words of this table.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from feeds.connection import VenueFeed
from feeds.feed import Feed, FeedCounts
from feeds.market import Clock
from feeds.market.metric import Histogram, Metric
from feeds.publisher import Publisher
from feeds.sim import SimFeed


class FeedsAtWork:
    """The feeds and the publisher of a process that runs, as the metrics see them."""

    def __init__(self, feeds: Sequence[Feed], publisher: Publisher, clock: Clock) -> None:
        self.feeds = feeds
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
    return counts


def _of_each(
    read: Callable[[Feed], float],
) -> Callable[[FeedsAtWork], Mapping[tuple[str, ...], float]]:
    return lambda at_work: {(feed.name,): read(feed) for feed in at_work.feeds}


def _faults(at_work: FeedsAtWork) -> Mapping[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    for feed in at_work.feeds:
        counts = counts_of(feed)
        found[feed.name, "unparsable"] = counts.parse_errors
        found[feed.name, "refused"] = counts.refusals
        found[feed.name, "crashed"] = counts.crashes
    return found


METRICS: Final[tuple[Metric[FeedsAtWork], ...]] = (
    Metric(
        "tickgate_feed_up",
        "gauge",
        ("venue",),
        "1 while the venue's data comes, else 0.",
        _of_each(lambda feed: int(feed.status().state == "live")),
    ),
    Metric(
        "tickgate_feed_frames_total",
        "counter",
        ("venue",),
        "Messages of the venue.",
        _of_each(lambda feed: counts_of(feed).frames),
    ),
    Metric(
        "tickgate_feed_ticks_total",
        "counter",
        ("venue",),
        "Trades and quotes in them.",
        _of_each(lambda feed: counts_of(feed).ticks),
    ),
    Metric(
        "tickgate_feed_newest_age_seconds",
        "gauge",
        ("venue",),
        "Since the newest of them came, to 0.1 s; since the start, where none did.",
        lambda at_work: {(feed.name,): at_work.newest_age_s(feed) for feed in at_work.feeds},
    ),
    Metric(
        "tickgate_feed_reconnects_total",
        "counter",
        ("venue",),
        "Attempts to connect after the first one.",
        _of_each(lambda feed: counts_of(feed).reconnects),
    ),
    Metric(
        "tickgate_feed_faults_total",
        "counter",
        ("venue", "fault"),
        "Messages that the parser did not take (`unparsable`), what the venue would not give"
        " (`refused`), connections that ended by a fault of ours (`crashed`).",
        _faults,
    ),
    Metric(
        "tickgate_publish_delay_seconds",
        "histogram",
        (),
        "From receiving a tick to Redis' answer; of each batch its oldest, times its ticks.",
        lambda at_work: at_work.publish_delay_s,
    ),
    Metric(
        "tickgate_waiting_ticks",
        "gauge",
        (),
        "Ticks that Redis has not taken yet.",
        lambda at_work: at_work.publisher.waiting_ticks,
    ),
    Metric(
        "tickgate_published_ticks_total",
        "counter",
        (),
        "Ticks that Redis took, statuses of venues included.",
        lambda at_work: at_work.publisher.counts.published,
    ),
    Metric(
        "tickgate_dropped_ticks_total",
        "counter",
        (),
        "Ticks that were given up, as Redis took none for too long; announced as a gap by `feed`.",
        lambda at_work: at_work.publisher.counts.dropped,
    ),
    Metric(
        "tickgate_retried_batches_total",
        "counter",
        (),
        "Batches that were sent to Redis again.",
        lambda at_work: at_work.publisher.counts.retried_batches,
    ),
)
