"""What the feeds process tells its operator: a table of metrics, read from the counts as they are.

The README's table is this one and the gateway's; a test keeps them equal. Labels are venues, which
somebody chose, and words of this table.
"""

from collections.abc import Callable, Mapping
from typing import Final

from feeds.deriving.derived_feed import DerivedFeed
from feeds.feed import Feed
from feeds.feeds_at_work import FeedsAtWork, counts_of
from feeds.market.metric import Metric
from feeds.venue_feed import VenueFeed
from feeds.watching.screen import RULES, Fate
from feeds.watching.watches import Watches


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
        found[feed.name, "torn"] = feed.watches.counts.torn if isinstance(feed, VenueFeed) else 0
    return found


def _watched(
    at_work: FeedsAtWork, read: Callable[[Watches], Mapping[str, float]]
) -> Mapping[tuple[str, ...], float]:
    """Of each venue that has connections, by a label of its own."""
    return {
        (feed.name, label): value
        for feed in at_work.feeds
        if isinstance(feed, VenueFeed)
        for label, value in read(feed.watches).items()
    }


def _found(at_work: FeedsAtWork, fate: Fate) -> Mapping[tuple[str, ...], float]:
    return _watched(
        at_work,
        lambda watches: {
            reason: watches.counts.found[reason]
            for reason, rule in RULES.items()
            if rule.fate == fate
        },
    )


def _of_each_watched(
    read: Callable[[Watches], float],
) -> Callable[[FeedsAtWork], Mapping[tuple[str, ...], float]]:
    return lambda at_work: {
        (feed.name,): read(feed.watches) for feed in at_work.feeds if isinstance(feed, VenueFeed)
    }


def _derived(
    read: Callable[[DerivedFeed], Mapping[tuple[str, ...], float]],
) -> Callable[[FeedsAtWork], Mapping[tuple[str, ...], float]]:
    """Nothing, where nothing is derived."""
    return lambda at_work: {
        labels: value
        for feed in at_work.feeds
        if isinstance(feed, DerivedFeed)
        for labels, value in read(feed).items()
    }


def _named(fate: Fate) -> str:
    return ", ".join(f"`{reason}`" for reason, rule in RULES.items() if rule.fate == fate)


METRICS: Final[tuple[Metric[FeedsAtWork], ...]] = (
    Metric(
        "tickgate_feed_up",
        "gauge",
        ("venue",),
        "1 while the venue's data comes, else 0.",
        lambda at_work: {(feed.name,): int(at_work.is_up(feed)) for feed in at_work.feeds},
    ),
    Metric(
        "tickgate_feed_lease",
        "gauge",
        ("venue",),
        "1 while this process publishes the venue, 0 while it stands by for another one.",
        lambda at_work: {(name,): int(one.is_held) for name, one in at_work.leases.items()},
    ),
    Metric(
        "tickgate_feed_take_overs_total",
        "counter",
        ("venue",),
        "Times that this process took the venue over from another one.",
        lambda at_work: {(name,): one.take_overs for name, one in at_work.leases.items()},
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
        " (`refused`), connections that ended by a fault of ours (`crashed`), channels whose"
        " messages did not fit together, by a checksum (`torn`).",
        _faults,
    ),
    Metric(
        "tickgate_feed_refused_ticks_total",
        "counter",
        ("venue", "reason"),
        f"Poisoned ticks that were kept from subscribers: {_named('refused')}.",
        lambda at_work: _found(at_work, "refused"),
    ),
    Metric(
        "tickgate_feed_suspect_ticks_total",
        "counter",
        ("venue", "reason"),
        f"Ticks that were passed on with `suspect`: {_named('flagged')}.",
        lambda at_work: _found(at_work, "flagged"),
    ),
    Metric(
        "tickgate_feed_missing_ticks_total",
        "counter",
        ("venue",),
        "Ticks that never came, by the venue's own numbers, and one for each torn channel of"
        " quotes; announced as a gap.",
        _of_each_watched(lambda watches: watches.counts.missing),
    ),
    Metric(
        "tickgate_feed_renewals_total",
        "counter",
        ("venue",),
        "Channels that were asked for again, as they were dead or torn beside others.",
        _of_each_watched(lambda watches: watches.counts.renewals),
    ),
    Metric(
        "tickgate_feed_channels",
        "gauge",
        ("venue", "state"),
        "Channels of the venue, by how they do: `waiting`, `live`, `stale`, `resync`.",
        lambda at_work: _watched(at_work, lambda watches: watches.states()),
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
        "tickgate_yielded_ticks_total",
        "counter",
        (),
        "Ticks left to another process, which had taken their venue over by then.",
        lambda at_work: at_work.publisher.counts.yielded,
    ),
    Metric(
        "tickgate_retried_batches_total",
        "counter",
        (),
        "Batches that were sent to Redis again.",
        lambda at_work: at_work.publisher.counts.retried_batches,
    ),
    Metric(
        "tickgate_derived_messages_total",
        "counter",
        ("kind",),
        "Prices, candles, signals, outcomes and grades that were made of ticks, by kind.",
        _derived(lambda feed: {(kind,): count for kind, count in feed.counts.told.items()}),
    ),
    Metric(
        "tickgate_derived_waiting_ticks",
        "gauge",
        (),
        "Ticks that nothing was derived from yet.",
        _derived(lambda feed: {(): feed.waiting_ticks}),
    ),
    Metric(
        "tickgate_derived_restarts_total",
        "counter",
        (),
        "Times that the derivations began again: a fault, too slow, or the clock set back.",
        _derived(lambda feed: {(): feed.counts.restarts}),
    ),
    Metric(
        "tickgate_derived_late_trades_total",
        "counter",
        (),
        "Trades that came too late even to correct a candle.",
        _derived(lambda feed: {(): feed.counts.too_late}),
    ),
    Metric(
        "tickgate_ledger_up",
        "gauge",
        (),
        "1 while signals are entered in the ledger, 0 while it can't be written, or by a process"
        " that stands by.",
        _derived(lambda feed: {(): int(feed.books.is_open and feed.books.trouble is None)}),
    ),
    Metric(
        "tickgate_ledger_entries_total",
        "counter",
        (),
        "Signals and outcomes that went into it.",
        _derived(lambda feed: {(): feed.books.entries}),
    ),
    Metric(
        "tickgate_withheld_signals_total",
        "counter",
        (),
        "Signals that were not told, as they could not be entered, or their price not be found: "
        "each is said again after the next candle, and may count again.",
        _derived(lambda feed: {(): feed.books.withheld}),
    ),
)
