"""EDGE (OpenTelemetry): a few ticks a second carry a trace to the sockets, in a field of their own.

The field (`trace`, a W3C traceparent before `tx`) is put into the chosen payload alone, as it
leaves: the others cost nothing, and who knows nothing of traces skips a field.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from feeds.batch import Batch
from feeds.bus_line import BusLine, Place
from feeds.market import Clock

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

_STAMP: Final = b',"tx":'


class _Times(msgspec.Struct):
    """What a payload says of its way so far."""

    sent_us: int = msgspec.field(name="tx")
    received_us: int | None = msgspec.field(name="rx", default=None)


_times: Final = msgspec.json.Decoder(_Times).decode


class TracedLine(BusLine):
    """A publisher's line that begins traces: of one tick of a call, so many a second at most."""

    def __init__(self, redis: Redis, tracer: "Tracer", clock: Clock, ticks_per_s: float) -> None:
        super().__init__(redis)
        self._tracer = tracer
        self._clock = clock
        self._pause_s = 1 / ticks_per_s
        self._due_s = clock.monotonic_s()

    async def exchange(
        self, batches: Sequence[Batch], publisher: str, places: Mapping[str, Place]
    ) -> list[list[bytes] | ResponseError]:
        now_s = self._clock.monotonic_s()
        if now_s < self._due_s or not batches:
            return await super().exchange(batches, publisher, places)
        self._due_s = now_s + self._pause_s
        span = self._marked(batches[-1])
        try:
            return await super().exchange(batches, publisher, places)
        finally:
            if span is not None:
                span.end(self._clock.now_ns())

    def _marked(self, batch: Batch) -> "Span | None":
        """Puts a trace into a batch's last tick; None where there is none, or it has one."""
        payload = batch.arguments[-1]
        if not isinstance(payload, bytes) or b'"trace":' in payload:
            return None
        head, stamp, sent = payload.rpartition(_STAMP)
        if not head:
            return None
        times = _times(payload)
        start_us = times.received_us or times.sent_us
        span = self._tracer.start_span(
            "publish",
            attributes={"tickgate.channel": batch.counts[-1][0]},
            start_time=start_us * 1_000,
        )
        context = span.get_span_context()
        trace = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
        batch.arguments[-1] = b'%b,"trace":"%b"%b%b' % (head, trace.encode(), stamp, sent)
        return span
