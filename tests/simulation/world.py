"""One simulation: everything put together, what happens to it, and what must be true of it."""

import asyncio
import hashlib
from collections.abc import Coroutine
from random import Random
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from feeds.market import Channel
from feeds.publisher import Publisher
from gateway.access.keys import Holder
from gateway.access.plans import PLANS, Plan
from gateway.consumer.subscriber import Terms
from gateway.fanout.comeback import BYTES_MAX
from gateway.fanout.rates import RATES
from gateway.fanout.session import Session
from gateway.protocol import SessionId
from gateway.transports.listener import StreamListener
from gateway.worker import Worker
from tests.simulation.account import Account
from tests.simulation.chances import Chances
from tests.simulation.client import Client
from tests.simulation.faults import befall
from tests.simulation.network import Weather
from tests.simulation.redis_server import RedisServer
from tests.simulation.socket import Socket
from tests.simulation.stand_ins import Holders
from tests.simulation.truth import Truth, Violation
from tests.simulation.venue import STATUS, Offers
from tests.simulation.virtual_time import VirtualClock, VirtualLoop

_URL: Final = "unix:///simulated"
_POLL_S: Final = 0.25
_SETTLE_LIMIT_S: Final = 60.0
"""However bad it was: so long after the last fault everybody has everything."""
_EMPTY_LIMIT_S: Final = 20.0
_REPLIES_MAX: Final = 60


class World:
    """Of one seed."""

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.chances = Chances(seed)
        self.random = self.chances.random
        self.loop = loop
        self.clock = VirtualClock(loop)
        self.truth = Truth()
        self.weather = Weather(self._fork())
        self.server = RedisServer(
            self._fork(), self.clock, self.weather, self.truth.published, self.truth.began
        )
        loop.connect = self.server.connect
        self.offers = Offers(self._fork(), self.truth)
        self.trace: dict[str, Any] = {}
        self.events: list[str] = []
        """What was done, for people."""
        self.clients = [self._new_client(number) for number in range(self.chances.clients)]
        self._is_active = True
        self._tasks: set[asyncio.Task[None]] = set()
        self._faults: set[asyncio.Task[None]] = set()
        """Those that are not over: a Redis with an older memory comes back late."""
        self._redis = self._new_redis(1)
        self._publisher_redis = self._new_redis(0)
        self.publisher = Publisher(self._publisher_redis, self.chances.publisher, self.clock)
        self.worker = self._new_worker()
        self._working = self._start(self.worker.run())

    async def run(self) -> None:
        publishing = self._start(self.publisher.run())
        self.publisher.register([*self.chances.channels, STATUS])
        acting = [
            self._start(self._keep_telling_status()),
            self._start(self._keep_offering()),
            self._start(self._keep_failing()),
            self._start(self._keep_connecting()),
            *(self._start(self._keep_acting(client)) for client in self.clients),
        ]
        await self.passed(self.chances.active_s)
        self._is_active = False
        while self._faults:
            await self.passed(_POLL_S)
        self._heal()
        await self._until(self._is_settled, _SETTLE_LIMIT_S, self._unsettled)
        self.truth.check_published(self.chances.channels)
        for task in acting[1:]:
            task.cancel()
        for client in self.clients:
            client.leave(1e9)
        await self._until(self._is_empty, _EMPTY_LIMIT_S, self._left_behind)
        for task in (acting[0], publishing, self._working):
            task.cancel()
        await asyncio.wait(list(self._tasks), timeout=10.0)
        self._raise_failures()

    async def close(self) -> None:
        """However it went: nothing of it is left open."""
        for redis in (self._redis, self._publisher_redis):
            await redis.connection_pool.disconnect()
            await redis.aclose()
        self.server.cut(2.0)

    def digest(self) -> str:
        """Of all that every client heard, and when."""
        told = "".join(f"{name} {one.hexdigest()}\n" for name, one in sorted(self.trace.items()))
        return hashlib.sha256(told.encode()).hexdigest()

    # Parts.

    def _fork(self) -> Random:
        return Random(self.random.random())

    def _new_redis(self, retries: int) -> Redis:
        retry = Retry(NoBackoff(), retries)
        return Redis.from_url(_URL, socket_timeout=None, socket_connect_timeout=None, retry=retry)

    def _new_worker(self) -> Worker:
        worker = Worker(self.chances.gateway, self._redis, _URL, self.clock)
        worker.holders = Holders(worker)  # type: ignore[assignment]
        return worker

    def _new_client(self, number: int) -> Client:
        client = Client(
            f"client{number}",
            self._fork(),
            self.random.choice(("json", "json", "msgpack")),
            account=lambda channel, blame: Account(
                channel, self.truth, self.server.bus, blame=blame
            ),
            now_s=self.loop.time,
            record=self._record,
        )
        client.plan_is_narrow = self.random.random() < 0.15
        return client

    def _record(self, name: str, frames: bytes) -> None:
        hashing = self.trace.setdefault(name, hashlib.sha256())
        hashing.update(b"%d %b\n" % (round(self.loop.time() * 1e9), frames))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.loop.failures.append(error)

    # What happens.

    async def _keep_telling_status(self) -> None:
        while True:
            self.publisher.offer(self.offers.status(self.clock.now_ns() // 1_000))
            await asyncio.sleep(1.0)

    async def _keep_offering(self) -> None:
        random = self._fork()
        while self._is_active:
            channel = random.choice(self.chances.channels)
            count = random.choice((1, 1, 2, 3, 8))
            self.publisher.offer(self.offers.ticks(channel, count))
            await asyncio.sleep(random.expovariate(1 / self.chances.pause_s))

    async def _keep_failing(self) -> None:
        for at_s, fault in self.chances.faults:
            await asyncio.sleep(at_s - self.loop.time())
            self.events.append(f"{self.loop.time():.3f} {fault}")
            fault_task = self._start(befall(self, fault))
            self._faults.add(fault_task)
            fault_task.add_done_callback(self._faults.discard)

    def restart_gateway(self) -> None:
        self._working.cancel()
        for client in self.clients:
            if client.socket is not None:
                client.socket.cut()
        self.worker = self._new_worker()
        self._working = self._start(self.worker.run())

    def _heal(self) -> None:
        server = self.server
        server.start()
        server.loses = server.repeats = server.overtakes = 0.0
        server.bus.trims_to = None
        self.weather.latency_s = 0.001
        if self.chances.ends_with_ticks:
            self._start(self._offer_last())

    async def _offer_last(self) -> None:
        """After what was still on its way."""
        await self.passed(1.0)
        for channel in self.chances.channels:
            self.publisher.offer(self.offers.ticks(channel, 1))

    async def _keep_connecting(self) -> None:
        while True:
            for client in self.clients:
                if client.socket is None and client.back_at_s <= self.loop.time():
                    self._connect(client)
                client.tend()
            await asyncio.sleep(_POLL_S)

    def _connect(self, client: Client) -> None:
        random, worker = client.random, self.worker
        socket = Socket(client, random, self._start, is_direct=random.random() < 0.5)
        if self._is_active and random.random() < 0.3:
            socket.room_bytes, socket.turn_s, socket.per_turn = 400, 0.1, 3
        plan = PLANS["unlimited"]
        if client.plan_is_narrow:
            plan = Plan("narrow", 100, 100, 100, messages_per_s=20)
        session = Session(
            SessionId(client.name),
            holder=Holder("simulate", plan.name),
            plan=plan,
            encoding=client.encoding,
            sink=socket,
            outbox_limits=worker.outbox_limits,
            counts=worker.counts,
            opened_s=self.loop.time(),
        )
        socket.session = session
        worker.hub.sessions.add(session)
        socket.listener = StreamListener(session, worker)
        client.connected(socket)

    async def _keep_acting(self, client: Client) -> None:
        random = client.random
        while self._is_active:
            self._act(client, random)
            await asyncio.sleep(random.expovariate(1 / 0.25))

    def _act(self, client: Client, random: Random) -> None:
        channel = random.choice(self.chances.channels)
        what = random.choices(("subscribe", "unsubscribe", "leave", "stall"), (6, 1.5, 1.5, 1.5))[0]
        self.events.append(f"{self.loop.time():.3f} {client.name} {what} {channel.name}")
        match what:
            case "subscribe":
                client.want(channel, _terms(channel, random))
            case "unsubscribe":
                client.want_no_more(channel.name)
            case "leave":
                client.leave(random.choice((0.0, 0.3, 2.0)))
            case "stall" if client.socket is not None:
                client.socket.stall(random.uniform(0.1, 3.0))

    # What must be true.

    async def passed(self, seconds: float) -> None:
        until_s = self.loop.time() + seconds
        while (left_s := until_s - self.loop.time()) > 0:
            await asyncio.sleep(min(left_s, _POLL_S))
            self._check()

    async def _until(self, holds: Any, limit_s: float, otherwise: Any) -> None:
        until_s = self.loop.time() + limit_s
        while not holds():
            if self.loop.time() >= until_s:
                raise Violation(otherwise())
            await self.passed(_POLL_S)

    def _check(self) -> None:
        self._raise_failures()
        settings = self.chances.gateway
        for session in self.worker.hub.sessions:
            outbox = session.outbox
            if len(outbox) > settings.outbox_messages_max + _REPLIES_MAX:
                raise Violation(f"{session.id}: {len(outbox)} wait")
            if outbox.waiting_bytes > settings.outbox_bytes_max + BYTES_MAX:
                raise Violation(f"{session.id}: {outbox.waiting_bytes} bytes wait")

    def _raise_failures(self) -> None:
        if self.loop.failures:
            failure = self.loop.failures[0]
            while isinstance(failure, BaseExceptionGroup):
                failure = failure.exceptions[0]
            raise failure

    def _is_settled(self) -> bool:
        if self.publisher.waiting_ticks or (self.chances.ends_with_ticks and self._is_early()):
            return False
        return all(client.is_served() for client in self.clients)

    def _is_early(self) -> bool:
        """Before the last ticks."""
        return len(self._tasks) > 0 and any(
            task.get_coro().__name__ == "_offer_last" for task in self._tasks
        )

    def _unsettled(self) -> str:
        told = [f"{self.publisher.waiting_ticks} ticks wait"]
        for client in self.clients:
            if not client.is_served():
                accounts = [str(one) for one in client.accounts.values()]
                told.append(f"{client.name} wants {sorted(client.wanted)}, is at {accounts}")
        heads = {
            channel.name: (epoch.name, epoch.head)
            for channel in self.chances.channels
            if (epoch := self.truth.current(channel.name)) is not None
        }
        return f"not everybody has everything: {'; '.join(told)}; the truth is {heads}"

    def _is_empty(self) -> bool:
        hub = self.worker.hub
        return not (hub.topics or hub.sessions or list(hub.pending.rates()) or _groups(hub.fanout))

    def _left_behind(self) -> str:
        hub = self.worker.hub
        return f"left behind: {list(hub.topics)}, {hub.sessions}, {_groups(hub.fanout)}"


def _groups(fanout: Any) -> Any:
    return fanout._groups


def _terms(channel: Channel, random: Random) -> Terms:
    rate = "all" if random.random() < 0.5 else random.choice(RATES[:6])
    return Terms(rate, random.choice((None, None, None, "conflate", "gap", "close")))
