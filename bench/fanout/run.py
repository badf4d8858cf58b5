"""One load through a rig: how many came, how late, at what cost, and who was the bottleneck."""

import msgspec

from bench.cpu import CLIENT_CORE, OTHERS_CORE
from bench.fanout.figures import ratio
from bench.fanout.loads import Load
from bench.fanout.rig import PATIENCE_S, Hearing, Rig

CLIENT_CORE_MAX = 0.9
"""Of its core: a client that is busier may itself be what is measured."""
SHARED_CORE_MAX = 0.95
"""Of a core that client, publisher and Redis share."""
PUBLISHER_LATE_MAX_S = 0.2
WAITED_MAX = 0.1
"""Of the time: a gateway that waits longer for its core has neighbours there."""


class Run(msgspec.Struct, frozen=True):
    """The figures of one run. Latencies are from the moment when a tick was due, milliseconds."""

    load: str
    offered_per_s: float
    deliveries_per_s: float
    expected: int
    lost: int
    holes: int
    disorder: int
    closed: int
    us_per_delivery: float
    """CPU of the gateway."""
    core: float
    waited: float
    """Of the time: it could have run, and something else had its core."""
    client_core: float
    shared_core: float
    """Client, publisher and Redis together, of the core they share."""
    redis_core: float
    publisher_late_s: float
    limited_by: str | None
    """Who besides the gateway was at its limit."""
    p50: float
    p90: float
    p99: float
    p999: float
    max: float

    @property
    def faults(self) -> int:
        """Whatever should have come and didn't, or not so."""
        return self.lost + self.holes + self.disorder + self.closed

    def holds(self, p99_max_ms: float) -> bool:
        return not self.faults and self.p99 <= p99_max_ms


def run(rig: Rig, load: Load, seconds: float) -> Run:
    expected = load.deliveries(seconds)
    client = rig.client(
        connections=load.connections,
        channels=load.channels,
        each=load.each,
        expected=expected,
        limit_s=seconds + PATIENCE_S,
    )
    hearing = rig.hear([client], load.channels, load.ticks_per_s, load.ticks(seconds))
    return figures(load, expected, hearing)


def figures(load: Load, expected: int, hearing: Hearing) -> Run:
    heard = hearing.heard[0]
    span_s = max(heard.span_s, 1e-3)
    waited = hearing.gateway_waited_s / span_s
    client_core = heard.cpu_s / span_s
    others_cpu_s = hearing.published.cpu_s + hearing.redis_cpu_s
    shared_core = client_core + (others_cpu_s / span_s if OTHERS_CORE == CLIENT_CORE else 0.0)
    late_s = hearing.published.late_s
    return Run(
        load=load.name,
        offered_per_s=load.offered_per_s,
        deliveries_per_s=heard.messages / span_s,
        expected=expected,
        lost=expected - heard.messages,
        holes=heard.holes,
        disorder=heard.disorder,
        closed=heard.closed,
        us_per_delivery=ratio(hearing.gateway_cpu_s, heard.messages) * 1e6,
        core=hearing.gateway_cpu_s / span_s,
        waited=waited,
        client_core=client_core,
        shared_core=shared_core,
        redis_core=hearing.redis_cpu_s / span_s,
        publisher_late_s=late_s,
        limited_by=bottleneck(waited, client_core, shared_core, late_s),
        p50=heard.p50_us / 1_000,
        p90=heard.p90_us / 1_000,
        p99=heard.p99_us / 1_000,
        p999=heard.p999_us / 1_000,
        max=heard.max_us / 1_000,
    )


def bottleneck(
    waited: float, client_core: float, shared_core: float, publisher_late_s: float
) -> str | None:
    """Who besides the server was at its limit; None: nobody, so the figure is the server's own.

    Neighbours had the server's core; the shared core is that of client, publisher and Redis.
    """
    if waited > WAITED_MAX:
        return "neighbours"
    if client_core > CLIENT_CORE_MAX:
        return "client"
    if publisher_late_s > PUBLISHER_LATE_MAX_S:
        return "publisher"
    if shared_core > SHARED_CORE_MAX:
        return "shared core"
    return None
