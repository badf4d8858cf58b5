"""A real gateway for tests: uvicorn with our protocol class, on a port of its own; and a feed.

`QUICK` has the waits of production cut to what a test can wait for; but those are long at which a
client's time is up that is in this process too, and slow where that is.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

import msgspec
import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from uvicorn.config import WSProtocolType

from feeds.bus_line import BUS_SCRIPT
from feeds.market import Status, SystemClock, Tick
from feeds.market.bus_names import DIRECTORY_KEY
from feeds.publisher import Publisher
from feeds.settings import PublisherSettings
from gateway.access.key_store import KeyStore
from gateway.access.keys import KeyRecord
from gateway.access.plans import PLANS, Plan
from gateway.fanout.states import status_channel
from gateway.serve import Server, configured, listening_socket
from gateway.settings import GatewaySettings, TokenSettings
from gateway.telemetry.spans import NO_SPANS, Spans
from gateway.web.tls import Certificate
from gateway.worker import Worker
from tests.stream_client import DEADLINE_S, Client, client_of
from tests.until import until

QUICK = GatewaySettings(
    heartbeat_ms=600_000,
    auth_limit_s=20.0,
    bus_answer_limit_s=1.0,
    bus_silence_limit_s=2.0,
    feed_silence_limit_s=0.7,
    key_cache_s=0.2,
    slow_limit_s=0.5,
    outbox_age_max_s=20.0,
    shutdown_limit_s=1.0,
)

_AS_SHIPPED = PublisherSettings()


def changed(settings: GatewaySettings = QUICK, **fields: Any) -> GatewaySettings:
    return msgspec.structs.replace(settings, **fields)


class _Server(Server):
    """uvicorn, which doesn't tell anyone when it is up."""

    def __init__(self, config: uvicorn.Config, certificate: Certificate | None) -> None:
        super().__init__(config, certificate)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


class GatewayServer:
    """One that runs. `key` is valid, and of the plan `pro`."""

    def __init__(self, server: _Server, port: int, record: KeyRecord | None, key: str) -> None:
        self.server = server
        self.port = port
        self.record = record
        self.key = key

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/stream"

    @property
    def worker(self) -> Worker:
        app = self.server.config.app
        assert isinstance(app, Starlette)
        worker = app.state.worker
        assert isinstance(worker, Worker)
        return worker

    async def new_key(self, plan: str, **named: Any) -> tuple[KeyRecord, str]:
        """Another valid one; `named` as of KeyStore.create."""
        return await self.worker.holders.keys.store.create("tests", plan, **named)

    @property
    def connections(self) -> int:
        """Sockets that the server holds."""
        return len(self.server.server_state.connections)

    def client(self, **named: Any) -> "contextlib.AbstractAsyncContextManager[Client]":
        """A client that shows its key in a header; see `client_of`."""
        return client_of(self.url, **{"headers": {"X-API-Key": self.key}} | named)


@contextlib.asynccontextmanager
async def gateway_on(
    redis_url: str,
    settings: GatewaySettings = QUICK,
    *,
    stock_protocol: WSProtocolType | None = None,
    wait_ready: bool = True,
    plans: Mapping[str, Plan] = PLANS,
    token: TokenSettings | None = None,
    plan: str = "pro",
    certificate: Certificate | None = None,
    spans: Spans = NO_SPANS,
) -> AsyncIterator[GatewayServer]:
    """Runs a gateway, with a key of a plan.

    `stock_protocol`: one of uvicorn's own WebSocket classes instead of ours. Not `wait_ready`:
    Redis need not be there, and there is no key.
    """
    record, key = None, ""
    if wait_ready:
        async with Redis.from_url(redis_url) as redis:
            record, key = await KeyStore(redis, SystemClock()).create("tests", plan)
    config = configured(settings, redis_url, plans=plans, token=token, spans=spans)
    if stock_protocol is not None:
        config.ws = stock_protocol
    server = _Server(config, certificate)
    bound = listening_socket("127.0.0.1", 0)
    with _unkilled(), bound:
        async with _serving(server, bound, record, key) as gateway:
            if wait_ready:
                await until(lambda: gateway.worker.is_ready)
            yield gateway


@contextlib.contextmanager
def _unkilled() -> Iterator[None]:
    """A worker that fails ends its process by SIGTERM: here that is a failure, and not the end."""
    ended: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not ended, "the gateway's worker failed"


@contextlib.asynccontextmanager
async def _serving(
    server: _Server, bound: socket.socket, record: KeyRecord | None, key: str
) -> AsyncIterator[GatewayServer]:
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(sockets=[bound]))
        gateway = GatewayServer(server, bound.getsockname()[1], record, key)
        async with asyncio.timeout(DEADLINE_S):
            await server.up.wait()
        try:
            yield gateway
        finally:
            server.should_exit = True
            async with asyncio.timeout(DEADLINE_S):
                await serving


class Publishing:
    """A feed's publisher; called with ticks, returns when Redis has them."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher

    async def __call__(self, ticks: Iterable[Tick]) -> None:
        ticks = list(ticks)
        self.publisher.register({tick.channel for tick in ticks})
        self.publisher.offer(ticks)
        async with asyncio.timeout(DEADLINE_S):
            await self.publisher.drain()

    async def status(self, venue: str, status: Status) -> None:
        await self([Tick(status_channel(venue), status)])


@contextlib.asynccontextmanager
async def publishing_on(
    redis_url: str, settings: PublisherSettings = _AS_SHIPPED
) -> AsyncIterator[Publishing]:
    async with Redis.from_url(redis_url) as redis, asyncio.TaskGroup() as group:
        publisher = Publisher(redis, settings, SystemClock())
        running = group.create_task(publisher.run())
        yield Publishing(publisher)
        running.cancel()


async def publish_custom(redis: Redis, *payloads: bytes, channel: str) -> None:
    """As the comment in feeds/bus.lua tells any program to."""
    await redis.sadd(DIRECTORY_KEY, channel)
    keys = f"tickgate:{{{channel}}}:head", f"tickgate:{{{channel}}}:log"
    arguments: list[str | int | bytes] = ["", 0, 1_000, "-", len(payloads), *payloads]
    await redis.eval(BUS_SCRIPT, 2, *keys, *arguments)
