"""What a measurement found, as `--json` tells it: units in names, null for what isn't there. Pure.

Hops are named by their stamps, with whose clocks lie at their ends: only where the gateway's and
ours do can they be brought together, by the pings.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from gateway.measure.clock_offset import ClockOffset, Estimate
from gateway.measure.heard import Faults, Heard
from gateway.measure.histogram import Histogram

Clocks = Literal["one", "two", "corrected", "two_corrected"]
"""At the ends of a hop. `two`: perhaps two machines', taken as they are. `corrected`: the gateway's
and ours. `two_corrected`: ours is corrected to the gateway's, the feed's is taken as it is."""

SHARES: Final = (0.5, 0.9, 0.99, 0.999)
BUSY_SHARE_MAX: Final = 0.9
LATE_MS_MAX: Final = 10.0
"""What this client's own loop may add to the 99th percentile before that is said."""
_SILENCE_SLACK_MS: Final = 1_000.0


class Delays(msgspec.Struct, frozen=True):
    """How something is spread over time, milliseconds."""

    count: int
    negative: int
    """How many have ended before they began: proof that two clocks differ."""
    min_ms: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    p99_9_ms: float | None = None
    max_ms: float | None = None


class Hop(msgspec.Struct, frozen=True):
    """A part of a message's way."""

    name: str
    start: str
    end: str
    clocks: Clocks
    delays: Delays


class Connection(msgspec.Struct, frozen=True):
    """One of the client's."""

    messages_per_s: float
    payload_bytes_per_s: float
    clock_offset_ms: float | None
    ended: str | None
    """Why it ended before its time."""


class GatewayClock(msgspec.Struct, frozen=True):
    """The gateway's against ours; of several connections (they may end at several gateways) the
    one that is furthest off."""

    pings: int
    offset_ms: float | None
    """How far it is ahead of ours; None: no ping was answered, and nothing is corrected."""
    bound_ms: float | None
    """The widest that was in use: delays that are corrected are wrong by at most that."""
    moved_ms: float | None
    """Its offset after the run less that before."""
    has_moved: bool
    """Whether that is more than the bounds of both can hide."""
    is_one_clock: bool
    """The gateway is on this machine and no ping says otherwise: nothing is corrected."""


class Client(msgspec.Struct, frozen=True):
    """The one that measured."""

    cpu_share: float
    """Of one core."""
    waited_share: float | None
    """Of the time, how much it waited for a core that others had; None where nobody can tell."""
    loop_late_p99_ms: float
    """How late its event loop came to what was due."""

    @property
    def is_bottleneck(self) -> bool:
        """Busy nearly all the time, or would have been."""
        return self.cpu_share + (self.waited_share or 0.0) > BUSY_SHARE_MAX

    @property
    def is_late(self) -> bool:
        return self.loop_late_p99_ms > LATE_MS_MAX


class Report(msgspec.Struct, frozen=True):
    """All of it."""

    gateway: str
    at: str
    protocol: int
    asked_channels: list[str]
    left_out: list[str]
    """Channels of the default that this key or gateway has no room for, and why."""
    rate: str
    seconds: float
    channels: int
    channels_heard: int
    channels_by_state: dict[str, int]
    messages: int
    messages_per_s: float
    payload_bytes_per_s: float
    hops: list[Hop]
    connect: Delays
    """From the first packet to the welcome."""
    subscribe: Delays
    """From a command to its ack."""
    round_trip: Delays
    """Of pings, beside the data."""
    clock: GatewayClock
    faults: Faults
    heartbeat_ms: int
    heartbeats: int
    silence_max_ms: float
    connections: list[Connection]
    client: Client
    is_client_bottleneck: bool
    is_client_late: bool

    @property
    def ended(self) -> list[str]:
        """Of connections that ended before their time, why."""
        return [row.ended for row in self.connections if row.ended is not None]

    @property
    def missed_heartbeats(self) -> bool:
        """Whether it was silent for longer than any two heartbeats may be apart."""
        return self.silence_max_ms > 2 * self.heartbeat_ms + _SILENCE_SLACK_MS


def delays_of(histogram: Histogram) -> Delays:
    """Of microseconds."""
    if not histogram.total:
        return Delays(0, 0)
    told = (round(us / 1_000, 4) for us in histogram.quantiles(0.0, *SHARES, 1.0))
    return Delays(histogram.total, histogram.negative, *told)


def hops_of(heard: Sequence[Heard]) -> list[Hop]:
    """The way of a message from its venue to here, of all connections together."""
    venues: dict[str, Histogram] = {}
    for one in heard:
        for venue, histogram in one.venues.items():
            venues.setdefault(venue, Histogram()).merge(histogram)
    made = [
        Hop(venue, "t", "rx", "two", delays_of(venues[venue]))
        for venue in sorted(venues)
        if venues[venue].total
    ]
    rows: tuple[tuple[str, str, str, Clocks], ...] = (
        ("feed", "rx", "tx", "one"),
        ("bus", "tx", "gw", "two"),
        ("client", "gw", "here", "corrected"),
        ("all", "tx", "here", "two_corrected"),
    )
    for name, start, end, clocks in rows:
        total = merged(one.hops[name] for one in heard)
        made.append(Hop(name, start, end, clocks, delays_of(total)))
    return made


def merged(histograms: Iterable[Histogram]) -> Histogram:
    total = Histogram()
    for histogram in histograms:
        total.merge(histogram)
    return total


def clock_of(offsets: Sequence[ClockOffset]) -> GatewayClock:
    pings = sum(one.pings for one in offsets)
    known = [(one, one.last) for one in offsets if one.last is not None]
    if not known:
        return GatewayClock(0, None, None, None, False, False)
    furthest, last = max(known, key=lambda row: abs(row[1].offset_us))
    first = furthest.first or last
    return GatewayClock(
        pings,
        round(last.offset_us / 1_000, 4),
        round(max(one.bound_us_max for one, _ in known) / 1_000, 4),
        round((last.offset_us - first.offset_us) / 1_000, 4),
        any(_has_moved(one, estimate) for one, estimate in known),
        all(one.is_one_clock for one, _ in known),
    )


def connection_of(
    heard: Heard, offset: ClockOffset, seconds: float, ended: str | None
) -> Connection:
    return Connection(
        per_s(heard.messages, seconds),
        per_s(heard.payload_bytes, seconds),
        None if offset.last is None else round(offset.last.offset_us / 1_000, 4),
        ended,
    )


def per_s(count: int, seconds: float) -> float:
    return round(count / seconds, 1) if seconds > 0 else math.nan


def _has_moved(offset: ClockOffset, last: Estimate) -> bool:
    return offset.first is not None and offset.first.is_apart_from(last)
