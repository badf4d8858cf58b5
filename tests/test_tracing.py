"""Traces, by the real packages into memory: connects, subscribes, resumes, REST, sampled ticks."""

import asyncio
import contextlib
import gzip
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import uvloop
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis.asyncio import Redis

from feeds.market import SystemClock, Tick, Trade
from feeds.market.bus_names import log_key, topic
from feeds.publisher import Publisher
from feeds.settings import PublisherSettings
from feeds.tracing import TracedLine
from gateway.settings import TraceSettings
from gateway.telemetry.tracing import Tracing, begin_tracing
from tests.conftest import in_one_task
from tests.gateway_server import (
    GatewayServer,
    Publishing,
    gateway_on,
    publish_custom,
    publishing_on,
)
from tests.running_tickgate import run_to_end, tickgate_run
from tests.served import asked
from tests.stream_client import refusal_of
from tests.ticks import BTC, trades
from tests.until import until

LOOPS = {"uvloop": uvloop.new_event_loop}

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Traced:
    """A process' tracing, and what it has traced."""

    def __init__(self, process: str = "gateway", share: float = 1.0) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = Tracing(SimpleSpanProcessor(self._exporter), process, share)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    async def named(self, name: str) -> ReadableSpan:
        """The only one of this name, once it has ended."""
        await until(lambda: [one for one in self.spans if one.name == name])
        (found,) = [one for one in self.spans if one.name == name]
        return found


def told(span: ReadableSpan, name: str) -> object:
    assert span.attributes is not None
    return span.attributes.get(f"tickgate.{name}")


def trace_of(span: ReadableSpan) -> str:
    return f"{span.get_span_context().trace_id:032x}"


@pytest.fixture
def traced() -> Traced:
    return Traced()


@pytest.fixture
async def gateway(redis_url: str, traced: Traced) -> AsyncIterator[GatewayServer]:
    async with in_one_task(gateway_on(redis_url, spans=traced.tracing)) as running:
        yield running


async def test_a_connect_a_subscribe_and_a_resume_are_spans_of_their_session(
    gateway: GatewayServer, publish: Publishing, traced: Traced
) -> None:
    await publish(trades(1, 3))
    async with gateway.client() as client:
        session = client.heard[0]["session"]
        (accepted,) = await client.subscribe(BTC.name)
        since = {BTC.name: [accepted["epoch"], 1]}
        await client.subscribe(BTC.name, since=since)
    for name in ("connect", "subscribe", "resume"):
        span = await traced.named(name)
        assert told(span, "session") == session
        assert span.end_time is not None
        assert span.start_time is not None
        assert span.end_time >= span.start_time
    assert told(await traced.named("subscribe"), "channels") == 1


async def test_a_refused_connect_says_why_and_holds_no_key(
    gateway: GatewayServer, traced: Traced
) -> None:
    await refusal_of(gateway.url, headers={"X-API-Key": "tg_aaaaaaaa_" + "Canary" * 7 + "A"})
    span = await traced.named("connect")
    assert told(span, "refused") == "auth_failed"
    assert "Canary" not in str(span.to_json())


async def test_a_rest_call_is_part_of_its_callers_trace_and_probes_are_none(
    gateway: GatewayServer, traced: Traced
) -> None:
    await asked(gateway.port, "GET", "/readyz", {})
    headers = {"traceparent": PARENT, "X-Request-Id": "request-77"}
    await asked(gateway.port, "GET", "/v1/usage", headers)
    span = await traced.named("rest")
    assert trace_of(span) == TRACE
    assert (told(span, "path"), told(span, "status")) == ("/v1/usage", 401)
    assert told(span, "request") == "request-77"


async def test_a_caller_can_not_order_more_than_the_share_that_is_set(redis_url: str) -> None:
    none = Traced(share=0.0)
    async with gateway_on(redis_url, spans=none.tracing) as gateway:
        await asked(gateway.port, "GET", "/v1/usage", {"traceparent": PARENT})
        async with gateway.client(headers={"X-API-Key": gateway.key, "traceparent": PARENT}):
            pass
    assert none.spans == []


@contextlib.asynccontextmanager
async def traced_feed(
    redis_url: str, feed: Traced, ticks_per_s: float
) -> AsyncIterator[Publishing]:
    """A publisher some of whose ticks carry a trace."""
    clock = SystemClock()
    async with Redis.from_url(redis_url) as redis, asyncio.TaskGroup() as group:
        line = TracedLine(redis, feed.tracing.tick_tracer, clock, ticks_per_s)
        publisher = Publisher(redis, PublisherSettings(), clock, line)
        running = group.create_task(publisher.run())
        yield Publishing(publisher)
        running.cancel()


async def test_a_sampled_tick_carries_its_trace_from_the_feed_to_the_sockets(
    gateway: GatewayServer, redis_url: str, traced: Traced
) -> None:
    feed = Traced("feeds")
    feeding = traced_feed(redis_url, feed, ticks_per_s=1e-6)
    async with publishing_on(redis_url) as untraced:
        await untraced(trades(1, 1))
    async with feeding as publish, gateway.client() as client:
        await client.subscribe(BTC.name)
        received_us = SystemClock().now_ns() // 1_000 - 5_000
        await publish([Tick(BTC, Trade("1", "2", "buy", "2", received_us=received_us))])
        await publish(trades(3, 4))
        first, second, third = await client.data(3)
    published = await feed.named("publish")
    bus, fanout = await traced.named("bus"), await traced.named("fan-out")
    assert {trace_of(one) for one in (published, bus, fanout)} == {trace_of(published)}
    assert first["trace"].split("-")[1] == trace_of(published)
    assert "trace" not in second
    assert "trace" not in third
    assert told(published, "channel") == told(fanout, "channel") == BTC.name
    assert published.start_time == received_us * 1_000
    assert published.start_time < (bus.start_time or 0) <= (fanout.start_time or 0)
    assert bus.parent is not None
    assert bus.parent.span_id == published.get_span_context().span_id


async def test_a_batch_that_is_sent_again_carries_the_same_trace(
    redis_url: str, redis: Redis
) -> None:
    feed = Traced("feeds")
    async with traced_feed(redis_url, feed, ticks_per_s=1e9) as publish:
        await publish(trades(1, 1))
        await redis.config_set("maxmemory", "1")  # Redis takes nothing: OOM.
        publish.publisher.offer(trades(2, 2))
        await until(lambda: publish.publisher.counts.retried_batches >= 2)
        await redis.config_set("maxmemory", "0")
        async with asyncio.timeout(40):
            await publish.publisher.drain()
    _, (_, entry) = await redis.xrange(log_key(BTC.name))
    assert entry[b"m"].count(b'"trace"') == 1


async def test_a_trace_that_no_feed_of_ours_began_is_not_followed(
    gateway: GatewayServer, redis: Redis, traced: Traced
) -> None:
    channel = "custom:desk:BTC-USD"
    payload = b'{"trace":"%b","tx":1}' % PARENT.encode()
    await publish_custom(redis, b"{}", channel=channel)
    async with gateway.client() as client:
        (accepted,) = await client.subscribe(channel)
        await publish_custom(redis, payload, channel=channel)
        await client.hear_until(lambda one: one.get("seq") == accepted["seq"] + 1)
        forged = payload.replace(b"00-", b"zz-")
        await redis.publish(topic(channel), f"{accepted['epoch']} 3 - ".encode() + forged)
        await client.hear_until(lambda one: one.get("seq") == 3)
    assert {one.name for one in traced.spans} <= {"connect", "subscribe"}


class _Collector(BaseHTTPRequestHandler):
    """Takes whatever is sent."""

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        assert isinstance(self.server, _CollectorServer)
        self.server.taken.append((self.path, self.rfile.read(size)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class _CollectorServer(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Collector)
        self.taken: list[tuple[str, bytes]] = []


def test_what_is_traced_is_sent_to_the_collector_at_the_latest_when_the_process_ends() -> None:
    with _CollectorServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        endpoint = f"http://127.0.0.1:{server.server_port}/v1/traces"
        tracing = begin_tracing(TraceSettings(endpoint=endpoint), "gateway")
        with tracing.span("subscribe", session="abc"):
            pass
        tracing.close()
        server.shutdown()
        thread.join()
    ((path, body),) = server.taken
    assert path == "/v1/traces"
    request = ExportTraceServiceRequest.FromString(gunzipped(body))
    (resource,) = request.resource_spans
    named = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert named["service.name"] == "tickgate-gateway"
    assert [one.name for one in resource.scope_spans[0].spans] == ["subscribe"]


def gunzipped(body: bytes) -> bytes:
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body


def test_nothing_of_it_is_loaded_where_nothing_is_traced() -> None:
    # (redis-py loads parts of OpenTelemetry wherever it is installed.)
    ours = {"gateway.telemetry.tracing", "feeds.tracing", "opentelemetry.exporter"}
    commands = "gateway.commands"
    loaded = f"gateway.cli, {commands}.feeds_process, {commands}.worker_process"
    script = f"import sys, {loaded}; assert not {ours!r} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[1])


async def test_an_endpoint_that_is_none_is_one_line(tmp_path: Path) -> None:
    variables = {"TICKGATE_TRACES_ENDPOINT": "localhost:4318"}
    status, _, said = await run_to_end("run", data_dir=tmp_path, **variables)
    assert status == 2
    assert said == "tickgate: traces.endpoint: is no http:// or https:// URL\n"


async def test_a_collector_that_is_not_there_costs_nobody_anything(tmp_path: Path) -> None:
    variables = {
        "TICKGATE_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces",
        "TICKGATE_TRACES_TICKS_PER_S": "50",
    }
    async with tickgate_run(tmp_path, **variables) as tickgate:
        async with tickgate.subscribed("trade:sim:*") as subscriber:
            await until_traced(subscriber.ticks)
        assert await tickgate.stop() == 0
    assert "did not end within" not in tickgate.output


async def until_traced(ticks: object) -> None:
    """Hears ticks until one carries a trace."""
    assert callable(ticks)
    async with asyncio.timeout(40):
        while not any("trace" in tick for tick in await ticks(1)):
            pass
