"""What hostile clients say once they are in: every message to a real gateway over a real socket.

What else proves what is required of input: the table in test_threats.
"""

import socket
from typing import Any

import msgspec
import pytest
import uvloop
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from gateway.errors import ERRORS
from gateway.server.websocket import StreamProtocol
from tests.gateway_server import GatewayServer, Publishing, changed, gateway_on
from tests.raw_client import BINARY, CLOSE, TEXT, framed, raw_client
from tests.ticks import BTC, trades

LOOPS = {"uvloop": uvloop.new_event_loop}

DEEP = 20_000

MALFORMED_JSON: tuple[str, ...] = (
    "",
    " ",
    "null",
    "[]",
    '"ping"',
    "{}",
    "{",
    '{"op":"ping"',
    '{"op":"ping"}{"op":"ping"}',
    '{"op":"ping","id":NaN}',
    '{"op":"ping","id":1e999}',
    '{"op":"ping","id":[1]}',
    '{"op":"ping","id":' + "9" * 5_000 + "}",
    '{"op":["ping"]}',
    '{"op":"fly"}',
    '{"OP":"ping"}',
    '{"op":"subscribe"}',
    '{"op":"subscribe","channels":"trade:sim:BTC-USD"}',
    '{"op":"subscribe","channels":[1]}',
    '{"op":"subscribe","channels":[null]}',
    '{"op":"subscribe","channels":["a"],"since":[]}',
    '{"op":"subscribe","channels":["a"],"rate":1}',
    '{"op":"subscribe","channels":["a"],"on_lag":"explode"}',
    '{"op":"subscribe","channels":' + "[" * DEEP + "]" * DEEP + "}",
    '{"op":"subscribe","channels":["a"],"since":' + '{"a":' * 8_000 + "1" + "}" * 8_000 + "}",
    '{"op":"ping","x":' + "[" * DEEP + "]" * DEEP + "}",
    "[" * 60_000,
)
MALFORMED_MSGPACK: tuple[bytes, ...] = (
    b"",
    b"\xc0",
    b"\xc1",
    b"\x90",
    b"\x80",
    b"\x91" * 60_000,
    b"\x81\xa2op" + b"\x91" * DEEP + b"\xc0",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xffx",
    b"\x81\xa2op\xa4pin\xff",
    msgspec.msgpack.encode({"op": "ping", "id": float("nan")}),
    msgspec.msgpack.encode({"op": "fly"}),
    msgspec.msgpack.encode({"op": "subscribe", "channels": [b"trade:sim:BTC-USD"]}),
)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_what_is_no_command_is_answered_so_and_ends_nothing(
    redis_url: str, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    said = MALFORMED_JSON if encoding == "json" else MALFORMED_MSGPACK
    async with (
        gateway_on(redis_url, changed(bad_messages_max=1_000)) as gateway,
        gateway.client(encoding=encoding) as client,
    ):
        for one in said:
            await client.say(one)
            told = await client.hear()
            assert (told["type"], told["code"]) == ("error", "bad_message"), one[:100]
            assert len(told["message"]) <= 300
        assert (await client.ask("ping"))["type"] == "pong"
    assert caplog.records == []


async def test_of_two_fields_of_one_name_the_last_counts_and_there_is_one_answer(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish(trades(1, 1))
    name = f'["{BTC.name}"]'
    twice = (
        '{"op":"subscribe","channels":["custom:desk:NONE"],"channels":' + name + ',"id":1,"id":2}'
    )
    other = '{"op":"ping","id":3,"op":"unsubscribe","channels":' + name + "}"
    async with gateway.client() as client:
        await client.say(twice)
        told = await client.hear()
        assert (told["type"], told["id"]) == ("ack", 2)
        assert [one["ch"] for one in told["ok"]] == [BTC.name]
        # `op` is read where it stands first: what is carried out is what was decoded, nothing else.
        await client.say(other)
        told = await client.hear_until(lambda told: told.get("id") == 3)
        assert told["type"] in {"pong", "error"}
        assert [one["ch"] for one in (await client.ask("list"))["channels"]] == [BTC.name]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_ten_malformed_messages_a_minute_are_borne_and_then_it_is_1008(
    gateway: GatewayServer, opcode: int
) -> None:
    async with raw_client(gateway) as client:
        await client.say(framed(opcode, b"{") * 30)
        heard = await client.hear_all()
    assert [one.opcode for one in heard] == [TEXT] * 11 + [CLOSE]
    assert all(b'"bad_message"' in one.payload for one in heard[:-1])
    assert heard[-1].close_code == 1008


NO_CHANNELS: tuple[str, ...] = (
    "trade:sim:btc-usd",
    "trade:sim:-BTC",
    "trade:sim:" + "A" * 33,
    "trade:sim:" + "A" * 20_000,
    "trade:sim:BTC USD",
    "trade:sim:BTC-USD\r\nX-Injected: 1",
    "trade:sim:BTC-USD\n",
    "trade:sim:BTC-USD\0",
    "trade:sim:BTC-USD}:log",
    "trade:sim:{BTC-USD}",
    "trade:sim:%s%n",
    "trade:sim:../../etc/passwd",
    "trade:sim:<img src=x onerror=alert(1)>",
    "trade:sim:'; FLUSHALL; '",
    'trade:sim:"} 1\ntickgate_injected 1',
    "trade:sim:\x1b[2J",
    "trade:sim:\uff22\uff34\uff23-USD",
    "trade:sim:BTC-USD:*",
    "trade:sim:B*",
    "trade:sim:?TC-USD",
    "trade:sim:[A-Z]*",
    "trade:*:BTC-USD",
    "*:sim:BTC-USD",
    "*",
    "trade:s[im]:BTC-USD",
    "tickgate:channels",
    "tickgate:{trade:sim:BTC-USD}:log",
    "status:../:VENUE",
    "trade::BTC-USD",
    ":::",
    "",
)
UNKNOWN: tuple[str, ...] = ("trade:sim:NONE-USD", "trade:nobody:BTC-USD", "custom:desk:NONE")


async def test_a_name_that_is_no_known_channels_reaches_no_redis_no_label_and_no_log(
    gateway: GatewayServer, publish: Publishing, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await publish(trades(1, 1))
    before = set(await redis.keys("*"))
    async with gateway.client() as client:
        for name in NO_CHANNELS + UNKNOWN:
            ack = await client.ask("subscribe", channels=[name], since={name: ["k3", 1]})
            assert ack["ok"] == [], name
            (told,) = ack["err"]
            wanted = {"unknown_venue", "unknown_symbol"} | (
                set() if name in UNKNOWN else {"bad_channel"}
            )
            assert told["code"] in wanted, name
            assert len(told["ch"]) <= 128
            await client.ask("unsubscribe", channels=[name])
        heard: list[bytes] = await redis.pubsub_channels("*")
        assert not [one for one in heard if b"sim" in one or b"NONE" in one]
        after = {key for key in await redis.keys("*") if b"used" not in key and b"slots" not in key}
        assert not [key for key in after - before if b"sim" in key or b"NONE" in key]
    assert set(gateway.worker.counts.refusals) <= set(ERRORS)
    assert caplog.records == []


async def test_no_compression_is_agreed_on_whoever_asks_for_it(gateway: GatewayServer) -> None:
    """16 kB would inflate to 16 MiB, and each connection cost 30 KiB more."""
    named: dict[str, Any] = {"additional_headers": {"X-API-Key": gateway.key}, "proxy": None}
    async with connect(gateway.url, compression="deflate", **named) as asking:
        assert asking.request is not None
        assert "permessage-deflate" in asking.request.headers["Sec-WebSocket-Extensions"]
        assert asking.response is not None
        assert "Sec-WebSocket-Extensions" not in asking.response.headers
        assert not asking.protocol.extensions


async def test_the_kernel_takes_little_that_a_client_does_not_read(
    gateway: GatewayServer,
) -> None:
    """What it has swallowed can't be conflated any more (TCP_NOTSENT_LOWAT, linux/tcp.h)."""
    async with gateway.client():
        [protocol] = gateway.server.server_state.connections
        assert isinstance(protocol, StreamProtocol)
        plain = protocol.transport.get_extra_info("socket")
        assert plain.getsockopt(socket.IPPROTO_TCP, 25) == 16_384
