"""The simulated Redis does what the real one does: the same calls, the same answers and memory."""

from importlib.resources import files
from random import Random

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ResponseError

from feeds.market.bus_names import finals_key, head_key, lease_keys, log_key, topic
from gateway.bus import heartbeat
from gateway.bus import readings as bus_readings
from tests.simulation.bus_model import BusModel, Fenced, Head, Log, Published

CHANNELS = ("trade:sim:A", "quote:sim:B", "candle.1m:sim:A", "candle.1s:sim:A")
CALLS = 80
HEADS_SCRIPT = files("feeds").joinpath("heads.lua").read_text()
SCRIPT = files("feeds").joinpath("bus.lua").read_text()
LEASE_SCRIPT = files("feeds").joinpath("lease.lua").read_text()
LEASE_MS = 600_000
"""It ends in this test when the key goes."""


class Both:
    """A real Redis and the model, told the same; epochs are compared by the order they began in."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.pushed: list[tuple[str, bytes]] = []
        self.model = BusModel(self._published, lambda *_: None)
        self.now_us = 1_000_000
        self.epochs: dict[tuple[str, bytes], int] = {}
        self.modelled: dict[tuple[str, bytes], int] = {}

    def _published(self, told: Published, message: bytes) -> None:
        self.pushed.append((told.channel, message))

    async def publish(self, names: list[str], publisher: str, batch: int, *rest: object) -> None:
        keys = [key for name in names for key in (head_key(name), log_key(name))]
        words = [publisher, batch, *rest]
        self.now_us += 1
        real = await self.redis.eval(SCRIPT, len(keys), *keys, *words)
        packed = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        model = self.model.call([key.encode() for key in keys], packed, self.now_us)
        for name, mine, its in zip(names, model[::2], real[::2], strict=True):
            self.same_epoch(name, bytes(mine), its)
        assert model[1::2] == real[1::2]

    def same_epoch(self, name: str, mine: bytes, its: bytes) -> None:
        known = self.modelled.setdefault((name, mine), len(self.modelled))
        assert known == self.epochs.setdefault((name, its), len(self.epochs))

    def same_message(self, name: str, mine: bytes, its: bytes) -> None:
        self.same_epoch(name, mine.partition(b" ")[0], its.partition(b" ")[0])
        assert mine.partition(b" ")[2] == its.partition(b" ")[2]

    async def same_memory(self, name: str) -> None:
        head = await self.redis.hmget(head_key(name), ["epoch", "seq", "publisher", "batch"])
        mine = self.model.keys.heads.get(name)
        if mine is None:
            assert head[0] is None
        else:
            self.same_epoch(name, mine.epoch, head[0])
            assert [b"%d" % mine.seq, mine.publisher, b"%d" % mine.batch] == head[1:]
        real = [fields[b"m"] for _, fields in await self.redis.xrange(log_key(name))]
        modelled = [one.message for one in self.model.after(name, 0, 10**9)][::-1]
        # Redis trims whole nodes, and these are of so many bytes too.
        kept = min(len(real), len(modelled))
        assert kept or not modelled
        pairs = zip(real[len(real) - kept :], modelled[len(modelled) - kept :], strict=True)
        for its, own in pairs:
            self.same_message(name, own, its)
        finals = await self.redis.lrange(finals_key(name), 0, -1)
        for own, its in zip(self.model.keys.finals.get(name, []), finals, strict=True):
            self.same_message(name, own, its)

    async def disturb(self, what: str, name: str, random: Random) -> None:
        """What happens to keys besides the script."""
        keys = self.model.keys
        match what:
            case "forget":
                await self.redis.flushall()
                keys.heads.clear()
                keys.logs.clear()
                keys.finals.clear()
            case "lose the head":
                await self.redis.delete(head_key(name))
                keys.heads.pop(name, None)
            case "lose the log":
                await self.redis.delete(log_key(name))
                keys.logs.pop(name, None)
            case "set the head back" if name in keys.heads:
                seq = random.randint(0, keys.heads[name].seq)
                await self.redis.hset(head_key(name), "seq", str(seq))
                keys.heads[name] = keys.heads[name]._replace(seq=seq)
            case "trim":
                await self.redis.xtrim(log_key(name), 0, approximate=False)
                keys.logs.get(name, Log()).entries.clear()
            case "ask who is behind" if name in keys.heads:
                head = keys.heads[name]
                seq = head.seq + random.randint(-1, 1)
                names = [head_key(name), log_key(name)]
                epoch = await self.redis.hget(head_key(name), "epoch")
                real = await self.redis.eval(HEADS_SCRIPT, 2, *names, epoch, str(seq))
                packed = [one.encode() for one in names]
                assert real == self.model.forget_behind(packed, [head.epoch, b"%d" % seq])
            case "another run" if name in keys.heads:
                await self.redis.hset(head_key(name), "run", "f00d")
                keys.heads[name] = keys.heads[name]._replace(run=-1)
            case "begin an epoch" if name in keys.heads:
                await self._begin_epoch(name, keys.heads[name], random)

    async def _begin_epoch(self, name: str, head: Head, random: Random) -> None:
        seq = head.seq + random.randint(-1, 1)
        real = await self.redis.hget(head_key(name), "epoch")
        await self.redis.eval(bus_readings._BEGIN_EPOCH, 1, head_key(name), real, str(seq))
        self.now_us += 1
        self.model.begin_epoch(name, head.epoch, seq, self.now_us)


DISTURBANCES = (
    "forget",
    "lose the head",
    "lose the log",
    "set the head back",
    "trim",
    "begin an epoch",
    "ask who is behind",
    "another run",
)


@pytest.mark.parametrize("seed", range(4))
async def test_the_model_of_the_bus_does_what_the_script_does(seed: int, redis: Redis) -> None:
    random, both = Random(seed), Both(redis)
    async with redis.pubsub() as listener:
        await listener.subscribe(*map(topic, CHANNELS))
        for number in range(1, CALLS):
            names = random.sample(CHANNELS, random.randint(1, 2))
            parts: list[object] = []
            for _ in names:
                final = random.choice((b"true", b"false"))
                payload = b'{"v":"%d","final":%b}' % (number, final)
                payloads = [payload] * random.choice((0, 1, 1, 3, 40))
                missing = random.choice(("-", "-", "feed:2", "venue:1")) if payloads else "-"
                parts += [random.choice((10, 200)), missing, len(payloads), *payloads]
            publisher = random.choice(("me", "me", "other", ""))
            repeats = random.choice((1, 1, 2))
            for _ in range(repeats):
                await both.publish(names, publisher, number, *parts)
            if random.random() < 0.2:
                await both.disturb(random.choice(DISTURBANCES), random.choice(CHANNELS), random)
            for name in CHANNELS:
                await both.same_memory(name)
        await _same_pushes(listener, both)


async def _same_pushes(listener: PubSub, both: Both) -> None:
    for name, mine in both.pushed:
        told = await listener.get_message(ignore_subscribe_messages=True, timeout=5.0)
        while told is None:
            told = await listener.get_message(ignore_subscribe_messages=True, timeout=5.0)
        both.same_message(name, mine, told["data"])


async def test_a_heartbeat_is_published_under_its_key(redis: Redis) -> None:
    async with redis.pubsub() as listener:
        await listener.subscribe("beat")
        await redis.eval(heartbeat._BEAT, 1, "beat", b"7", "60")
        kinds = [(await listener.get_message(timeout=20.0)) for _ in range(2)]
        assert [one["data"] for one in kinds if one is not None] == [1, b"7"]


@pytest.mark.parametrize("seed", range(3))
async def test_the_model_of_a_lease_does_what_the_scripts_do(seed: int, redis: Redis) -> None:
    random, model = Random(seed), BusModel(lambda *_: None, lambda *_: None)
    keys = lease_keys("sim")
    packed = [key.encode() for key in keys]
    for number in range(1, CALLS):
        token = random.choice(("one", "two", "three"))
        what = random.choice(("ask", "keep", "leave", "publish", "end"))
        match what:
            case "publish":
                await _same_fence(redis, model, token, number)
            case "end":
                await redis.delete(keys[0])
                model.keys.leases.clear()
            case _:
                words = [what, token, str(LEASE_MS)]
                real = await redis.eval(LEASE_SCRIPT, 2, *keys, *words)
                assert real == model.lease(packed, [word.encode() for word in words], number)
        assert await redis.get(keys[0]) == model.holder(packed[0], number)


async def _same_fence(redis: Redis, model: BusModel, token: str, number: int) -> None:
    keys = [head_key("trade:sim:A"), log_key("trade:sim:A"), lease_keys("sim")[0]]
    words = [token, str(number), "10", "-", "1", "{}"]
    is_held = model.holder(keys[-1].encode(), number) == token.encode()
    try:
        model.call([key.encode() for key in keys], [word.encode() for word in words], number)
    except Fenced:
        assert not is_held
    else:
        assert is_held
    if is_held:
        await redis.eval(SCRIPT, len(keys), *keys, *words)
    else:
        with pytest.raises(ResponseError, match="FENCED"):
            await redis.eval(SCRIPT, len(keys), *keys, *words)
