"""What one gateway worker tells its operator: a table of metrics, read from the counts as they are.

Nothing here runs while messages flow. The README's table is this one; a test keeps them equal.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set, Sized
from operator import attrgetter
from typing import Final, NamedTuple, TypeVar, get_args

from feeds.market.metric import Metric
from gateway.errors import CLOSES, ERRORS
from gateway.fanout.outbox import Outbox
from gateway.protocol import By, StateName
from gateway.worker import Worker

Label = TypeVar("Label", str, int)


class Observed(NamedTuple):
    """A worker at one moment."""

    worker: Worker
    connections: Sized
    """The sockets that its server holds."""
    outboxes: Sequence[Outbox]
    """Those in which something waits."""


def observed(worker: Worker, connections: Sized) -> Observed:
    """One look at each session: 0.4 us, while nothing else happens."""
    outboxes = map(attrgetter("outbox"), worker.hub.sessions)
    return Observed(worker, connections, [outbox for outbox in outboxes if outbox])


_CLOSE_CODES: Final = frozenset(row.code for row in CLOSES.values()) | {
    *(1000, 1001, 1002, 1003, 1005, 1006, 1007, 1009, 1011, 1012)
}
"""Clients may send any code: the rest are counted as `other`."""
_STATUSES: Final = frozenset(
    (200, 304, 400, 401, 403, 404, 405, 410, 413, 421, 422, 426, 429, 500, 503)
)

METRICS: Final[tuple[Metric[Observed], ...]] = (
    Metric(
        "tickgate_connections",
        "gauge",
        (),
        "Sockets of clients, with a key or not yet.",
        lambda seen: len(seen.connections),
    ),
    Metric(
        "tickgate_sessions",
        "gauge",
        (),
        "Clients that have shown a key.",
        lambda seen: len(seen.worker.hub.sessions),
    ),
    Metric(
        "tickgate_subscriptions",
        "gauge",
        (),
        "Channels that they are subscribed to, added up.",
        lambda seen: sum(map(len, map(attrgetter("channels"), seen.worker.hub.sessions))),
    ),
    Metric(
        "tickgate_channels",
        "gauge",
        ("state",),
        "Open channels, by their state.",
        lambda seen: _of_each(get_args(StateName), _states(seen.worker)),
    ),
    Metric(
        "tickgate_messages_in_total",
        "counter",
        (),
        "Messages of open channels that came from Redis.",
        lambda seen: seen.worker.counts.messages_in,
    ),
    Metric(
        "tickgate_messages_out_total",
        "counter",
        (),
        "Messages and announcements of channels, times the clients that got them.",
        lambda seen: seen.worker.counts.messages_out,
    ),
    Metric(
        "tickgate_bytes_out_total",
        "counter",
        (),
        "Bytes of their frames, times the clients that got them.",
        lambda seen: seen.worker.counts.bytes_out,
    ),
    Metric(
        "tickgate_conflated_messages_total",
        "counter",
        (),
        "Messages for which a later one of their channel stands, at a rate or for a slow client.",
        lambda seen: seen.worker.counts.conflated,
    ),
    Metric(
        "tickgate_missing_messages_total",
        "counter",
        ("by",),
        "Messages announced as missing, by whose fault; `slow`: the client's, each counted.",
        lambda seen: _of_each(get_args(By), seen.worker.counts.missing_by),
    ),
    Metric(
        "tickgate_duplicate_messages_total",
        "counter",
        (),
        "Messages that came from Redis a second time, and were dropped.",
        lambda seen: seen.worker.counts.duplicates,
    ),
    Metric(
        "tickgate_unsound_messages_total",
        "counter",
        (),
        "What came from Redis and is no message of a channel.",
        lambda seen: seen.worker.counts.unsound,
    ),
    Metric(
        "tickgate_closes_total",
        "counter",
        ("code",),
        "Connections ended, by close code, the gateway's or the client's; 4105: too slow.",
        lambda seen: _told_of(_CLOSE_CODES, seen.worker.counts.closes),
    ),
    Metric(
        "tickgate_refusals_total",
        "counter",
        ("code",),
        "Commands, and channels in them, that were refused, by the error's code.",
        lambda seen: _of_each(ERRORS, seen.worker.counts.refusals),
    ),
    Metric(
        "tickgate_refused_upgrades_total",
        "counter",
        ("code",),
        "Connections that were not let in, by the refusal's code.",
        lambda seen: _labelled(seen.worker.counts.refused_upgrades),
    ),
    Metric(
        "tickgate_http_answers_total",
        "counter",
        ("status",),
        "Answers to plain HTTP, by status: 429 to who asks more than the plan allows.",
        lambda seen: _told_of(_STATUSES, seen.worker.counts.answers),
    ),
    Metric(
        "tickgate_http_answer_seconds",
        "histogram",
        (),
        "From reading such a request to the end of its answer.",
        lambda seen: seen.worker.counts.answer_s,
    ),
    Metric(
        "tickgate_key_failures_total",
        "counter",
        (),
        "Readings of a key that Redis did not answer; keys just read are believed meanwhile.",
        lambda seen: seen.worker.holders.keys.failures,
    ),
    Metric(
        "tickgate_limits_local",
        "gauge",
        (),
        "1 while Redis is away and this worker enforces its share of the limits alone, else 0.",
        lambda seen: int(seen.worker.holders.limits.is_away),
    ),
    Metric(
        "tickgate_usage_dropped_total",
        "counter",
        (),
        "Keys whose counted use was given up, as too many waited for Redis to take it.",
        lambda seen: seen.worker.holders.usage_dropped,
    ),
    Metric(
        "tickgate_outbox_sessions",
        "gauge",
        (),
        "Clients for which something waits as they read too slowly.",
        lambda seen: len(seen.outboxes),
    ),
    Metric(
        "tickgate_outbox_messages",
        "gauge",
        (),
        "Messages that wait for them.",
        lambda seen: sum(map(len, seen.outboxes)),
    ),
    Metric(
        "tickgate_outbox_bytes",
        "gauge",
        (),
        "Bytes of these messages, nearly.",
        lambda seen: sum(outbox.waiting_bytes for outbox in seen.outboxes),
    ),
    Metric(
        "tickgate_bus_up",
        "gauge",
        (),
        "1 while Redis answers and its messages come, else 0.",
        lambda seen: int(seen.worker.states.bus_is_live),
    ),
    Metric(
        "tickgate_bus_losses_total",
        "counter",
        (),
        "Connections to Redis that ended.",
        lambda seen: seen.worker.bus.connection,
    ),
    Metric(
        "tickgate_bus_heartbeat_age_seconds",
        "gauge",
        (),
        "Since the heartbeat that is published every second came back from Redis.",
        lambda seen: seen.worker.bus.counts.beat_age_s,
    ),
    Metric(
        "tickgate_bus_round_trip_seconds",
        "histogram",
        (),
        "From publishing a heartbeat to hearing it.",
        lambda seen: seen.worker.bus.counts.round_trip_s,
    ),
    Metric(
        "tickgate_bus_reads_total",
        "counter",
        (),
        "Reads of the socket on which Redis' messages come.",
        lambda seen: seen.worker.bus.counts.reads,
    ),
    Metric(
        "tickgate_bus_bytes_in_total",
        "counter",
        (),
        "Bytes that they brought.",
        lambda seen: seen.worker.bus.counts.bytes_in,
    ),
    Metric(
        "tickgate_bus_lag_seconds",
        "histogram",
        (),
        "From a feed's sending (`tx`) to this worker's reading, of each read's oldest message.",
        lambda seen: seen.worker.bus.counts.lag_s,
    ),
    Metric(
        "tickgate_fanout_seconds",
        "histogram",
        (),
        "From that reading to having written it to all sockets that take it, of each flush.",
        lambda seen: seen.worker.counts.fanout_s,
    ),
    Metric(
        "tickgate_bus_unread_bytes",
        "gauge",
        (),
        "What Redis has sent and this worker has not read yet.",
        lambda seen: seen.worker.bus.unread_bytes,
    ),
    Metric(
        "tickgate_draining",
        "gauge",
        (),
        "1 while this worker sends its clients away to stop, else 0.",
        lambda seen: int(seen.worker.draining),
    ),
)


def _of_each(
    known: Iterable[Label], counts: Mapping[Label, int]
) -> Mapping[tuple[str, ...], float]:
    """Zeros included: an alert can't see what begins to exist with its first failure."""
    return {(str(name),): counts.get(name, 0) for name in known}


def _labelled(counts: Mapping[str, int]) -> Mapping[tuple[str, ...], float]:
    return {(name,): count for name, count in counts.items()}


def _told_of(known: Set[int], counts: Mapping[int, int]) -> Mapping[tuple[str, ...], float]:
    told: dict[tuple[str, ...], float] = {}
    for code in sorted(known):
        told[str(code),] = counts.get(code, 0)
    told["other",] = sum(count for code, count in counts.items() if code not in known)
    return told


def _states(worker: Worker) -> Mapping[str, int]:
    return Counter(topic.standing.state for topic in worker.hub.topics.values())
