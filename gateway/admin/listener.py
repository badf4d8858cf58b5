"""EDGE: the admin listener of one process: its metrics, for Prometheus, away from the public port.

Who reaches it needs no key, so it listens on loopback unless told otherwise. The process never
depends on it: where its port is taken, that is said once, and everything else goes on.
"""

import asyncio
import gc
import socket
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final, Generic, Literal

import uvicorn
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from feeds.market import Clock
from feeds.market.metric import Histogram, Metric, Reading, Source
from gateway.processes.listening import url_of
from gateway.settings import AdminSettings
from gateway.web.host_check import HostCheck

ProcessName = Literal["feeds", "gateway"]

_TICK_S: Final = 0.1
_PORT_TAKEN_S: Final = 1.0
_CONNECTIONS_MAX: Final = 32
_KEEP_ALIVE_S: Final = 75
"""Longer than Prometheus' usual pauses."""


class Own:
    """What every process tells of itself."""

    def __init__(self, process: ProcessName) -> None:
        self.process = process
        self.version = version("tickgate")
        """Read once: it is looked up on the disk."""
        self.loop_lag_s = Histogram()


PROCESS_METRICS: Final[tuple[Metric[Own], ...]] = (
    Metric(
        "tickgate_info",
        "gauge",
        ("process", "version"),
        "Always 1: which process this is.",
        lambda own: {(own.process, own.version): 1},
    ),
    Metric(
        "tickgate_loop_lag_seconds",
        "histogram",
        (),
        "How late the event loop woke a task that asked to be woken every 0.1 s.",
        lambda own: own.loop_lag_s,
    ),
    Metric(
        "tickgate_tasks",
        "gauge",
        (),
        "Tasks of the event loop, the one that answers this included.",
        lambda own: len(asyncio.all_tasks()),
    ),
    Metric(
        "tickgate_collector_frozen_objects",
        "gauge",
        (),
        "Objects that Python's cyclic garbage collector is spared: those of the start.",
        lambda own: gc.get_freeze_count(),
    ),
)


class Table(Collector, Generic[Source]):
    """A table of metrics for prometheus_client; `look` gives what they are read from, each time."""

    def __init__(self, metrics: Sequence[Metric[Source]], look: Callable[[], Source]) -> None:
        self._metrics = metrics
        self._look = look

    def collect(self) -> Iterator[Family]:
        source = self._look()
        for metric in self._metrics:
            yield _family(metric, metric.read(source))


class AdminListener:
    """A process' admin listener. One use."""

    def __init__(
        self,
        settings: AdminSettings,
        process: ProcessName,
        *,
        clock: Clock,
        say: Callable[[str], None],
        workers: int = 1,
        token_file: Path | None = None,
        replaces: bool = False,
    ) -> None:
        """`workers`: how many gateway processes share the ports behind that of the feeds.

        `replaces`: one of them still has the port, and is about to end.
        """
        self._settings = settings
        self._own = Own(process)
        first = settings.port + (process == "gateway")
        self._ports = range(first, first + workers) if settings.port else range(1)
        self._clock = clock
        self._say = say
        self._replaces = replaces
        self.token_file = token_file
        """Holds what its API of keys asks for; None: there is no such API."""
        self.url = ""
        """Where it listens, once it does."""

    async def run(
        self,
        tables: Sequence[Collector],
        on_tick: Callable[[], None] = lambda: None,
        routes: Sequence[BaseRoute] = (),
    ) -> None:
        """Until cancelled; `on_tick` is called ten times a second. Returns where there is none.

        `routes` are served beside the metrics.
        """
        if not self._settings.enabled:
            return
        bound = self._bound()
        while bound is None:
            if not self._replaces:
                return
            await asyncio.sleep(_PORT_TAKEN_S)
            bound = self._bound()
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry)
        registry.register(Table(PROCESS_METRICS, lambda: self._own))
        for table in tables:
            registry.register(table)
        server = uvicorn.Server(_configured(registry, routes, self._names()))
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        # Not `serve`, which would take the process' signals from whom they are meant for.
        await server.startup(sockets=[bound])
        self.url = url_of(*bound.getsockname()[:2])
        if not self._settings.port:
            self._say(f"{self._own.process} metrics: {self.url}/metrics")
        try:
            await self._keep_ticking(on_tick)
        finally:
            await server.shutdown(sockets=[bound])

    def _names(self) -> frozenset[str]:
        return frozenset(map(str.lower, ("localhost", self._settings.host, *self._settings.hosts)))

    def _bound(self) -> socket.socket | None:
        """The first free port of ours; listening, or two workers could both have bound it."""
        host = self._settings.host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        reason = ""
        for port in self._ports:
            try:
                return socket.create_server((host, port), family=family)
            except OSError as error:
                # Without what the socket module adds: the port stands in our sentence.
                reason = str(error.strerror or error).partition(" (while")[0]
        ports = " to ".join(str(port) for port in sorted({self._ports[0], self._ports[-1]}))
        if not self._replaces:
            self._say(f"{self._own.process}: no metrics at port {ports} of {host} ({reason})")
        return None

    async def _keep_ticking(self, on_tick: Callable[[], None]) -> None:
        # Not the loop's own time, which uvloop counts in milliseconds.
        now_s = self._clock.monotonic_s
        while True:
            due_s = now_s() + _TICK_S
            await asyncio.sleep(_TICK_S)
            self._own.loop_lag_s.observe(max(0.0, now_s() - due_s))
            on_tick()


def _configured(
    registry: CollectorRegistry, routes: Sequence[BaseRoute], names: frozenset[str]
) -> uvicorn.Config:
    async def metrics(request: Request) -> Response:
        # On the event loop: no counter moves while they are read.
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=content_type)

    async def alive(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    return uvicorn.Config(
        Starlette(
            routes=[Route("/metrics", metrics), Route("/healthz", alive), *routes],
            middleware=[Middleware(HostCheck, names=names)],
        ),
        http="httptools",
        # Refuses them as any server does; "none" tells the log to install something.
        ws="websockets-sansio",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        date_header=False,
        limit_concurrency=_CONNECTIONS_MAX,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
    )


def _family(metric: Metric[Source], reading: Reading) -> Family:
    """As prometheus_client writes it. It adds `_total` to a counter's name by itself."""
    if isinstance(reading, Histogram):
        histogram = HistogramMetricFamily(metric.name, metric.meaning)
        histogram.add_metric((), list(_buckets(reading)), reading.total)
        return histogram
    named = (metric.name, metric.meaning)
    family: CounterMetricFamily | GaugeMetricFamily
    if metric.kind == "counter":
        family = CounterMetricFamily(*named, labels=metric.labels)
    else:
        family = GaugeMetricFamily(*named, labels=metric.labels)
    values = reading if not isinstance(reading, int | float) else {(): reading}
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _buckets(histogram: Histogram) -> Iterator[tuple[str, float]]:
    count = 0
    for bound, more in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        count += more
        yield "+Inf" if bound == float("inf") else repr(bound), count
