"""One simulation of the gateway: feed, workers and clients, what happens, what must be true."""

import asyncio
from contextlib import AbstractContextManager
from random import Random
from typing import Any, Final

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
from tests.simulation.port import Port, close_redis, new_redis
from tests.simulation.socket import Socket
from tests.simulation.stage import POLL_S, Stage
from tests.simulation.truth import Violation
from tests.simulation.venue import STATUS, WILDCARD, Offers
from tests.simulation.virtual_time import VirtualLoop

_SETTLE_LIMIT_S: Final = 60.0
"""However bad it was: so long after the last fault everybody has everything."""
_EMPTY_LIMIT_S: Final = 20.0
_REPLIES_MAX: Final = 60


class World(Stage):
    """Of one seed."""

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.chances = Chances(seed)
        super().__init__(self.chances.random, loop)
        self.offers = Offers(self.fork(), self.truth)
        self.begun: list[Channel] = []
        """Channels that there are by now."""
        self.clients = [self._new_client(number) for number in range(self.chances.clients)]
        self._is_active = True
        self._publisher_redis = new_redis(0)
        self.publisher = Publisher(self._publisher_redis, self.chances.publisher, self.clock)
        self.port = Port(self, self.chances.gateway, self.chances.workers)

    async def run(self) -> None:
        publishing = self.start(self.publisher.run())
        self.publisher.register([STATUS])
        self._begin(self.chances.channels)
        acting = [
            self.start(self._keep_telling_status()),
            self.start(self._keep_offering()),
            self.start(self.keep_failing(self.chances.faults)),
            self.start(self._keep_connecting()),
            self.start(self._begin_late()),
            *(self.start(self._keep_acting(client)) for client in self.clients),
        ]
        await self.passed(self.chances.active_s)
        self._is_active = False
        await self.faults_end()
        self.heal()
        if self.chances.ends_with_ticks:
            await self._offer_last()
        await self.until(self._is_settled, _SETTLE_LIMIT_S, self._unsettled)
        self.truth.check_published(self.begun)
        for task in acting[1:]:
            task.cancel()
        for client in self.clients:
            client.leave(1e9)
        await self.until(self._is_empty, _EMPTY_LIMIT_S, self._left_behind)
        for task in (acting[0], publishing):
            task.cancel()
        self.port.end()
        await self.tasks_end()
        self.raise_failures()

    def limits(self) -> AbstractContextManager[object]:
        return self.chances.limits()

    async def close(self) -> None:
        """However it went: nothing of it is left open."""
        await self.port.close()
        await close_redis(self._publisher_redis)
        self.server.cut(2.0)

    # Parts.

    def _new_client(self, number: int) -> Client:
        client = Client(
            f"client{number}",
            self.fork(),
            self.random.choice(("json", "json", "msgpack")),
            account=lambda channel, blame: Account(
                channel, self.truth, self.server.bus, blame=blame
            ),
            begun=self.begun,
            now_s=self.loop.time,
            record=self.record,
        )
        client.plan_is_narrow = self.random.random() < 0.15
        return client

    # What happens.

    def _begin(self, channels: list[Channel]) -> None:
        self.publisher.register(channels)
        self.begun += channels

    async def _begin_late(self) -> None:
        for at_s, channel in self.chances.late:
            await asyncio.sleep(at_s - self.loop.time())
            self._begin([channel])
            self.publisher.offer(self.offers.ticks(channel, 1))

    async def _keep_telling_status(self) -> None:
        while True:
            self.publisher.offer(self.offers.status(self.clock.now_ns() // 1_000))
            await asyncio.sleep(1.0)

    async def _keep_offering(self) -> None:
        random = self.fork()
        while self._is_active:
            channel = random.choice(self.begun)
            count = random.choice((1, 1, 2, 3, 8))
            self.publisher.offer(self.offers.ticks(channel, count))
            await asyncio.sleep(random.expovariate(1 / self.chances.pause_s))

    async def befall(self, fault: str) -> None:
        match fault:
            case "new gateway" | "drain":
                await self.port.restart(self.random, drains=fault == "drain")
            case "behind":
                # One worker hears late what others tell; whom they told comes to any of them.
                self.server.hold_up(self.random.uniform(0.5, 2.5))
                await self.passed(self.random.uniform(0.1, 0.6))
                for client in self.clients:
                    client.leave(0.0)
            case _:
                await befall(self, fault)

    async def _offer_last(self) -> None:
        """After what was still on its way."""
        await self.passed(1.0)
        for channel in self.begun:
            self.publisher.offer(self.offers.ticks(channel, 1))

    async def _keep_connecting(self) -> None:
        while True:
            for client in self.clients:
                if client.socket is None and client.back_at_s <= self.loop.time():
                    self._connect(client)
                client.tend()
            await asyncio.sleep(POLL_S)

    def _connect(self, client: Client) -> None:
        random = client.random
        place = self.port.accept(random)
        if place is None:
            return
        worker = place.worker
        socket = Socket(client, random, self.start, is_direct=random.random() < 0.5)
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
        place.sockets.append(socket)
        client.connected(socket)

    async def _keep_acting(self, client: Client) -> None:
        random = client.random
        while self._is_active:
            self._act(client, random)
            await asyncio.sleep(random.expovariate(1 / 0.25))

    def _act(self, client: Client, random: Random) -> None:
        channel = random.choice(self.begun)
        what = random.choices(("subscribe", "unsubscribe", "leave", "stall"), (6, 1.5, 1.5, 1.5))[0]
        name = channel.name
        if self.chances.late and random.random() < 0.5:
            name = WILDCARD
        self.events.append(f"{self.loop.time():.3f} {client.name} {what} {name}")
        match what:
            case "subscribe":
                client.want(name, _terms(channel, random))
            case "unsubscribe":
                client.want_no_more(name)
            case "leave":
                client.leave(random.choice((0.0, 0.3, 2.0)))
            case "stall" if client.socket is not None:
                client.socket.stall(random.uniform(0.1, 3.0))

    # What must be true.

    def check(self) -> None:
        self.raise_failures()
        settings = self.chances.gateway
        for session in [one for worker in self.port.workers for one in worker.hub.sessions]:
            outbox = session.outbox
            if len(outbox) > settings.outbox_messages_max + _REPLIES_MAX:
                raise Violation(f"{session.id}: {len(outbox)} wait")
            if outbox.waiting_bytes > settings.outbox_bytes_max + BYTES_MAX:
                raise Violation(f"{session.id}: {outbox.waiting_bytes} bytes wait")

    def _is_settled(self) -> bool:
        return not self.publisher.waiting_ticks and all(one.is_served() for one in self.clients)

    def _unsettled(self) -> str:
        told = [f"{self.publisher.waiting_ticks} ticks wait"]
        for client in self.clients:
            if not client.is_served():
                accounts = [str(one) for one in client.accounts.values()]
                told.append(f"{client.name} wants {sorted(client.wanted)}, is at {accounts}")
        heads = {
            channel.name: (epoch.name, epoch.head)
            for channel in self.begun
            if (epoch := self.truth.current(channel.name)) is not None
        }
        return f"not everybody has everything: {'; '.join(told)}; the truth is {heads}"

    def _is_empty(self) -> bool:
        return not any(map(_holds_something, self.port.workers))

    def _left_behind(self) -> str:
        hubs = [worker.hub for worker in self.port.workers]
        told = [f"{list(hub.topics)}, {hub.sessions}, {_groups(hub.fanout)}" for hub in hubs]
        return f"left behind: {'; '.join(told)}"


def _holds_something(worker: Worker) -> bool:
    hub = worker.hub
    return bool(hub.topics or hub.sessions or list(hub.pending.rates()) or _groups(hub.fanout))


def _groups(fanout: Any) -> Any:
    return fanout._groups


def _terms(channel: Channel, random: Random) -> Terms:
    rate = "all" if random.random() < 0.5 else random.choice(RATES[:6])
    return Terms(rate, random.choice((None, None, None, "conflate", "gap", "close")))
