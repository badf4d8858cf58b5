"""EDGE (OpenTelemetry): spans of connects, subscribes, resumes, REST and sampled ticks, by OTLP.

The package is an extra: this module is imported where an endpoint is set, and nowhere else. Nobody
waits for the collector: what it does not take is dropped. Attributes hold no key.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from feeds.market import Clock, Moment, SystemClock
from gateway.settings import TraceSettings
from gateway.telemetry.spans import Attribute, Span

_QUEUE_MAX: Final = 2_048
_EXPORT_LIMIT_S: Final = 1.0
_TICKS_MAX: Final = 16
"""Traced ticks of one flush; feeds begin a few a second."""
_TRACE: Final = re.compile(rb'"trace":"(00-[0-9a-f]{32}-[0-9a-f]{16}-01)","tx":(\d{1,18})\}\Z')
_MARK: Final = b'"trace":"00-'
_TAIL_BYTES: Final = 100
"""Our feeds' messages end with it: it is looked for there and nowhere else."""


class Tracing:
    """A process' spans. Close it: what is queued is sent, for a bounded time."""

    def __init__(
        self, processor: SpanProcessor, process: str, share: float, clock: Clock | None = None
    ) -> None:
        """`share` of connections and requests; of ticks, those that their feed chose."""
        self._processor = processor
        by_share = TraceIdRatioBased(share)
        # What a caller says of sampling is no order to us.
        sampler = ParentBased(by_share, remote_parent_sampled=by_share)
        self._providers = [_provider(processor, process, one) for one in (sampler, ALWAYS_ON)]
        requests, ticks = (one.get_tracer("tickgate") for one in self._providers)
        self._requests = requests
        self.tick_tracer = ticks
        self.ticks = TracedTicks(ticks, clock or SystemClock())

    @contextlib.contextmanager
    def span(
        self, name: str, traceparent: str | None = None, **attributes: Attribute
    ) -> Iterator[Span]:
        with self._requests.start_as_current_span(
            name,
            None if traceparent is None else _context(traceparent),
            attributes=_named(attributes),
        ) as span:
            yield _Told(span)

    def close(self) -> None:
        self._processor.force_flush(int(_EXPORT_LIMIT_S * 1_000))
        for provider in self._providers:
            provider.shutdown()


class TracedTicks:
    """Looks for traces at the end of each message: some 0.2 us each, where traces are on."""

    def __init__(self, tracer: Tracer, clock: Clock) -> None:
        self._tracer = tracer
        self._clock = clock
        self._heard: list[tuple[str, str, int, int]] = []
        """Channel, traceparent, and when it was sent and read."""

    def heard(self, batch: Sequence[tuple[str, bytes]], at: Moment) -> None:
        for channel, message in batch:
            # Only our feeds' word: custom channels are whosever they are.
            if message.find(_MARK, -_TAIL_BYTES) < 0 or channel.startswith("custom:"):
                continue
            found = _TRACE.search(message, len(message) - _TAIL_BYTES)
            if found is not None and len(self._heard) < _TICKS_MAX:
                self._heard.append((channel, found[1].decode(), int(found[2]), at.utc_us))

    def written(self) -> None:
        if not self._heard:
            return
        heard, self._heard = self._heard, []
        now_us = self._clock.now_ns() // 1_000
        for channel, traceparent, sent_us, read_us in heard:
            parent, told = _context(traceparent), _named({"channel": channel})
            for name, start_us, end_us in (
                ("bus", min(sent_us, read_us), read_us),
                ("fan-out", read_us, now_us),
            ):
                span = self._tracer.start_span(
                    name, parent, attributes=told, start_time=start_us * 1_000
                )
                span.end(max(start_us, end_us) * 1_000)


def begin_tracing(settings: TraceSettings, process: str) -> Tracing:
    """Of this process, to the collector that is set."""
    exporter = OTLPSpanExporter(settings.endpoint, timeout=_EXPORT_LIMIT_S)
    return Tracing(BatchSpanProcessor(exporter, _QUEUE_MAX), process, settings.share)


class _Told:
    def __init__(self, span: OtelSpan) -> None:
        self._span = span

    def tell(self, name: str, value: Attribute) -> None:
        self._span.set_attribute(f"tickgate.{name}", value)


def _provider(processor: SpanProcessor, process: str, sampler: Sampler) -> TracerProvider:
    told = {"service.name": f"tickgate-{process}", "service.version": version("tickgate")}
    provider = TracerProvider(sampler, Resource.create(told), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


def _context(traceparent: str) -> Context:
    return TraceContextTextMapPropagator().extract({"traceparent": traceparent})


def _named(attributes: dict[str, Attribute]) -> dict[str, Attribute]:
    return {f"tickgate.{name}": value for name, value in attributes.items()}
