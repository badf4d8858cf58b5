"""Whole conversations with a real gateway: commands of every sort, and positions to resume from.

Every command is answered once, whatever it says; nothing that a client says ends the connection
(the limits on rate and on malformed messages are lifted), and the gateway logs nothing.
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
import uvloop
from redis.asyncio import Redis

from feeds.market import Channel, SystemClock
from feeds.market.position import SEQ_MAX
from gateway.access.key_store import KeyStore
from gateway.access.plans import PLANS, Plan
from gateway.server.rules import RuledProtocol
from gateway.server.websocket import StreamProtocol
from gateway.settings import GatewaySettings
from tests.conftest import RedisServer
from tests.fuzz.commands import json_command, msgpack_command
from tests.fuzz.found import Found
from tests.gateway_server import gateway_on, publishing_on
from tests.stream_client import DEADLINE_S, Client, client_of
from tests.ticks import BTC, ETH, quote, trades

_BATCH: Final = 50
_POSITIONS_EACH: Final = 20
_TICKS: Final = 30
_ANSWERS: Final = {"ack", "error", "list", "pong"}


_PLAN: Final = Plan(
    "fuzz", subscriptions_max=100_000, commands_per_s=100_000, commands_burst=1_000_000
)
"""Of one who may ask as fast as this process can."""


class _LiftedRules(RuledProtocol):
    frames_per_s = frames_burst = 1_000_000


class _LiftedProtocol(StreamProtocol):
    rules_class = _LiftedRules


class Faults(logging.Handler):
    """Keeps whatever is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    @contextmanager
    def heard_here(self) -> Iterator[None]:
        logging.getLogger().addHandler(self)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(self.format(record))


@asynccontextmanager
async def _talking(encoding: str) -> AsyncIterator[Client]:
    settings = GatewaySettings(
        bad_messages_max=10**9, refused_commands_max=10**9, slow_limit_s=60.0
    )
    faults = Faults()
    with tempfile.TemporaryDirectory(prefix="tg-") as directory, faults.heard_here():
        server = RedisServer(Path(directory))
        server.start()
        try:
            async with (
                gateway_on(
                    server.url,
                    settings,
                    stock_protocol=_LiftedProtocol,
                    plans=PLANS | {_PLAN.name: _PLAN},
                ) as gateway,
                Redis.from_url(server.url) as redis,
                publishing_on(server.url) as publish,
            ):
                _, key = await KeyStore(redis, SystemClock()).create("fuzz", _PLAN.name)
                await publish([*trades(1, _TICKS), *trades(1, _TICKS, ETH), *quote("68900.00")])
                named: dict[str, Any] = {"headers": {"X-API-Key": key}, "encoding": encoding}
                async with client_of(gateway.url, **named) as client:
                    yield client
                    assert (await client.ask("ping"))["type"] == "pong"
        finally:
            server.kill()
    assert not faults.heard, f"the gateway logged {faults.heard[:5]}"


def fuzz_talk(seed: int, first: int, count: int) -> None:
    """Commands as in `json` and `msgpack`, each half of them, carried out."""
    half = count // 2
    uvloop.run(_talk("json", seed, first, half))
    uvloop.run(_talk("msgpack", seed, first + half, count - half))


async def _talk(encoding: str, seed: int, first: int, count: int) -> None:
    make = json_command if encoding == "json" else msgpack_command
    async with _talking(encoding) as client:
        for start in range(first, first + count, _BATCH):
            numbers = range(start, min(start + _BATCH, first + count))
            # Of those of a size that the gateway hears at all.
            made = (make(Random(f"talk {seed} {number}")) for number in numbers)
            said = [one for one in made if len(one) < 16_000]
            try:
                answers = await _answers(client, said)
                assert len(answers) == len(said), f"{len(answers)} answers to {len(said)} commands"
            except Exception as error:
                detail = f"{type(error).__name__} {error}; heard {client.heard[-3:]}"
                raise Found("talk", seed, numbers, said, detail) from error
            client.heard.clear()


async def _answers(client: Client, said: list[str] | list[bytes]) -> list[dict[str, Any]]:
    for one in said:
        await client.say(one)
    await client.say({"op": "ping", "id": "the end of the batch"})
    answers: list[dict[str, Any]] = []
    async with asyncio.timeout(DEADLINE_S):
        while (told := await client.hear()).get("id") != "the end of the batch":
            answers += [told] if told.get("type") in _ANSWERS else []
    return answers


def position(chance: Random, epoch: str, seq: int) -> object:
    """What a `since` may hold for a channel that stands there."""
    epochs = [epoch, epoch, epoch, epoch + "0", "", "0", epoch.upper(), "x" * 33, "k3\n", None, 7]
    seqs = [seq, seq, seq - 1, seq + 1, 0, -1, 1, SEQ_MAX, SEQ_MAX + 1, 2**63, -(2**63), 1.0]
    seqs += [float(seq), "1", None, True, [], chance.randrange(seq * 2)]
    pair: list[Any] = [chance.choice(epochs), chance.choice(seqs)]
    odd = [pair[:1], [*pair, 0], pair[::-1], {}, {"epoch": epoch, "seq": seq}, epoch, seq, None, []]
    return chance.choice(odd) if chance.random() < 0.2 else pair


def may_be_recovered(told: object, epoch: str, seq: int) -> bool:
    """Whether it is a place of this numbering, up to its head."""
    match told:
        case [str(at), int(place)] if not isinstance(place, bool):
            return at == epoch and 0 <= place <= seq
    return False


def fuzz_positions(seed: int, first: int, count: int) -> None:
    uvloop.run(_resume(seed, first, count))


async def _resume(seed: int, first: int, count: int) -> None:
    channels: tuple[Channel, ...] = (BTC, ETH)
    names = [channel.name for channel in channels]
    async with _talking("json") as client:
        stands = {told["ch"]: told for told in await client.subscribe(*names)}
        number = first
        while number < first + count:
            numbers = range(number, min(number + _BATCH, first + count))
            asked = [
                (
                    name := names[one % 2],
                    position(Random(f"positions {seed} {one}"), **_at(stands[name])),
                )
                for one in numbers
            ]
            try:
                await _check_resumed(client, asked, stands)
            except Exception as error:
                detail = f"{type(error).__name__} {error}"
                raise Found("positions", seed, numbers, asked, detail) from error
            number, client.heard[:] = numbers.stop, []


def _at(told: dict[str, Any]) -> dict[str, Any]:
    return {"epoch": told["epoch"], "seq": told["seq"]}


async def _check_resumed(
    client: Client, asked: list[tuple[str, object]], stands: dict[str, dict[str, Any]]
) -> None:
    said = [
        msgspec.json.encode(
            {"op": "subscribe", "id": at, "channels": [name], "since": {name: told}}
        )
        for at, (name, told) in enumerate(asked)
    ]
    answers = await _answers(client, [one.decode() for one in said])
    assert len(answers) == len(asked)
    for (name, told), answer in zip(asked, answers, strict=True):
        assert answer["type"] == "ack", answer
        [accepted] = answer["ok"]
        assert accepted["recovered"] in (True, False)
        if not may_be_recovered(told, **_at(stands[name])):
            assert accepted["recovered"] is False, f"{told} of {name} counts as recovered"
        elif told == [stands[name]["epoch"], stands[name]["seq"]]:
            assert accepted["recovered"] is True, f"{told} is the head of {name}"
