"""Redis, as far as the product uses it, on simulated wires; it forgets, stops, cuts and trims."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from random import Random

import hiredis

from feeds.market.bus_names import channel_of, topic
from gateway.bus import heartbeat
from gateway.bus import readings as bus_readings
from tests.simulation.bus_model import BusModel, Fenced, Keys, Published
from tests.simulation.network import Weather, Wire
from tests.simulation.virtual_time import Process, VirtualClock

_HEADS = files("feeds").joinpath("heads.lua").read_bytes()
_LEASE_SHA = hashlib.sha1(files("feeds").joinpath("lease.lua").read_bytes()).hexdigest().encode()
_BEAT = heartbeat._BEAT.encode()
_BEGIN_EPOCH = bus_readings._BEGIN_EPOCH.encode()
_COPY_LATE_S = 0.02
"""How late a message is that others overtake."""


class Refused(str):
    """An error, as Redis words it."""


Answer = None | int | bytes | Refused | Sequence["Answer"] | dict[bytes, "Answer"]
OK = b"OK"


def encoded(answer: Answer) -> bytes:
    match answer:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % answer
        case Refused():
            return b"-%b\r\n" % answer.encode()
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(answer), answer)
        case dict():
            parts = [encoded(key) + encoded(value) for key, value in answer.items()]
            return b"%%%d\r\n%b" % (len(parts), b"".join(parts))
        case _:
            return b"*%d\r\n%b" % (len(answer), b"".join(map(encoded, answer)))


class _Connection:
    """Redis' end of a wire."""

    def __init__(self, server: "RedisServer", wire: Wire) -> None:
        self._server = server
        self.wire = wire
        self._reader = hiredis.Reader()
        self.names: dict[bytes, None] = {}
        """What it is subscribed to."""

    def receive(self, data: bytes) -> None:
        self._reader.feed(data)
        answers = []
        while (words := self._reader.gets()) is not False:
            answers += self._server.execute(self, words)
        if answers:
            self.wire.send_down(b"".join(map(encoded, answers)))

    def lost(self) -> None:
        self._server.connections.pop(self, None)


class RedisServer:
    """One of its kind, at every address."""

    def __init__(
        self,
        random: Random,
        clock: VirtualClock,
        weather: Weather,
        on_published: Callable[[Published], None],
        on_epoch: Callable[[str, bytes, int], None],
    ) -> None:
        self._random = random
        self._clock = clock
        self._weather = weather
        self._tell_truth = on_published
        self.bus = BusModel(self._published, on_epoch)
        self.connections: dict[_Connection, None] = {}
        self.is_down = False
        self.upheavals = 0
        """How often it forgot something, or was another one."""
        self.loses = self.repeats = self.overtakes = 0.0
        """The share of published messages to which that happens on their way to a subscriber."""
        self.bus_sha = b""

    async def connect(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        await asyncio.sleep(self._weather.delay_s())
        if self.is_down:
            raise ConnectionRefusedError("down")
        wire = Wire(protocol, self._weather)
        wire.peer = connection = _Connection(self, wire)
        self.connections[connection] = None
        protocol.connection_made(wire)
        return wire

    # Faults.

    def cut(self, share: float) -> None:
        for connection in list(self.connections):
            if self._random.random() < share:
                connection.wire.cut()

    def cut_of(self, process: Process) -> None:
        """Its end."""
        for connection in list(self.connections):
            if connection.wire.process is process:
                connection.wire.cut()

    def block(self, seconds: float, share: float) -> None:
        until_s = self._clock.monotonic_s() + seconds
        for connection in self.connections:
            if self._random.random() < share:
                connection.wire.block(until_s)

    def hold_up(self, seconds: float) -> None:
        """One that listens hears nothing for so long; nothing is lost."""
        listening = [one for one in self.connections if one.names]
        if listening:
            until_s = self._clock.monotonic_s() + seconds
            self._random.choice(listening).wire.block(until_s)

    def half_open(self, share: float) -> None:
        for connection in list(self.connections):
            if self._random.random() < share:
                connection.wire.is_dead = True

    def stop(self) -> None:
        self.is_down = True
        self.bus.run += 1
        self.cut(1.0)

    def start(self) -> None:
        self.is_down = False

    def forget(self) -> None:
        """FLUSHALL: nobody is told."""
        scripts, self.bus.keys = self.bus.keys.scripts, Keys()
        self.bus.keys.scripts = scripts

    # Commands.

    def execute(self, connection: _Connection, words: list[bytes]) -> list[Answer]:
        name, *arguments = words
        match name.upper():
            case b"SUBSCRIBE":
                return [self._subscribe(connection, one) for one in arguments]
            case b"UNSUBSCRIBE":
                return [self._unsubscribe(connection, one) for one in arguments]
            case b"PING":
                return [[b"pong", b""]] if connection.names else [b"PONG"]
            case b"HELLO":
                return [{b"server": b"redis", b"proto": 3}]
            case b"CLIENT" | b"SELECT":
                return [OK]
            case b"SCRIPT":
                return [self._load(arguments[1])]
            case b"EVALSHA":
                return [self._call(arguments)]
            case b"EVAL":
                return [self._evaluate(arguments)]
            case b"HMGET":
                return [self._position(arguments[0])]
            case b"XREVRANGE":
                return [self._read(arguments)]
            case b"SADD":
                self.bus.keys.sets.setdefault(arguments[0], {}).update(dict.fromkeys(arguments[1:]))
                return [len(arguments) - 1]
            case b"SMEMBERS":
                return [list(self.bus.keys.sets.get(arguments[0], {}))]
            case b"PUBLISH":
                return [self._push(arguments[0], arguments[1], faulty=False)]
            case _:
                return [Refused(f"ERR unknown command {words!r}")]

    def _subscribe(self, connection: _Connection, name: bytes) -> Answer:
        connection.names[name] = None
        return [b"subscribe", name, len(connection.names)]

    def _unsubscribe(self, connection: _Connection, name: bytes) -> Answer:
        connection.names.pop(name, None)
        return [b"unsubscribe", name, len(connection.names)]

    def _load(self, script: bytes) -> Answer:
        sha = hashlib.sha1(script).hexdigest().encode()
        if b"THE BUS, version" in script:
            self.bus_sha = sha
        self.bus.keys.scripts.add(sha)
        return sha

    def _call(self, arguments: list[bytes]) -> Answer:
        sha, count = arguments[0], int(arguments[1])
        if sha not in self.bus.keys.scripts:
            return Refused("NOSCRIPT No matching script. Please use EVAL.")
        names, rest = arguments[2 : 2 + count], arguments[2 + count :]
        now_us = self._clock.now_ns() // 1_000
        if sha == _LEASE_SHA:
            return self.bus.lease(names, rest, now_us)
        if sha != self.bus_sha:
            return Refused("ERR this script is not simulated")
        try:
            return self.bus.call(names, rest, now_us)
        except Fenced:
            return Refused("FENCED bus: the lease is not with this publisher")

    def _evaluate(self, arguments: list[bytes]) -> Answer:
        match arguments:
            case [script, count, *rest] if script == _HEADS:
                return self.bus.forget_behind(rest[: int(count)], rest[int(count) :])
            case [script, b"1", name, message, _] if script == _BEAT:
                self._push(name, message, faulty=False)
            case [script, b"1", name, epoch, seq] if script == _BEGIN_EPOCH:
                channel = channel_of(name.removesuffix(b":head").decode())
                self.bus.begin_epoch(channel, epoch, int(seq), self._clock.now_ns() // 1_000)
            case _:
                return Refused("ERR this script is not simulated")
        return None

    def _position(self, key: bytes) -> Answer:
        head = self.bus.keys.heads.get(channel_of(key.removesuffix(b":head").decode()))
        return [None, None] if head is None else [head.epoch, b"%d" % head.seq]

    def _read(self, arguments: list[bytes]) -> Answer:
        channel = channel_of(arguments[0].removesuffix(b":log").decode())
        first = 0 if arguments[2] in (b"-", b"") else int(arguments[2].partition(b"-")[0])
        at = [word.upper() for word in arguments].index(b"COUNT")
        found = self.bus.after(channel, first, int(arguments[at + 1]))
        return [[b"%d-0" % one.seq, [b"m", one.message]] for one in found]

    # What is published.

    def _published(self, told: Published, message: bytes) -> None:
        self._tell_truth(told)
        self._push(topic(told.channel).encode(), message, faulty=True)

    def _push(self, name: bytes, message: bytes, *, faulty: bool) -> int:
        push = encoded([b"message", name, message])
        heard = [one for one in self.connections if name in one.names]
        for connection in heard:
            wire = connection.wire
            if not faulty or self._random.random() >= self.loses + self.repeats + self.overtakes:
                wire.send_down(push)
                continue
            fate = self._random.uniform(0.0, self.loses + self.repeats + self.overtakes)
            if fate < self.loses:
                continue
            late_s = self._random.uniform(0.0, _COPY_LATE_S)
            if fate < self.loses + self.repeats:
                wire.send_down(push)
            asyncio.get_running_loop().call_later(
                late_s, self._push_late, connection, push, channel_of(name.decode()), message
            )
        return len(heard)

    def _push_late(
        self, connection: _Connection, push: bytes, channel: str, message: bytes
    ) -> None:
        """Unless its epoch is over: no Redis mixes two."""
        head = self.bus.keys.heads.get(channel)
        if head is not None and message.startswith(head.epoch + b" "):
            connection.wire.send_down(push)
