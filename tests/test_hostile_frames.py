"""Frames that mean harm, or only look as if they did: from a raw socket against a real gateway.

Each hostile connection ends in bounded time with the right code, while another is served.
"""

import asyncio
import contextlib
import random
import signal
import socket
from collections.abc import AsyncIterator

import pytest
import uvloop

from gateway.access.plans import PLANS
from gateway.server.websocket import StreamProtocol
from tests.conftest import RedisServer
from tests.gateway_server import GatewayServer
from tests.raw_client import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    RawClient,
    framed,
    raw_client,
    upgrade,
)
from tests.until import until

LOOPS = {"uvloop": uvloop.new_event_loop}

PING_COMMAND = framed(TEXT, b'{"op":"ping","id":1}')
NORMAL = (1_000).to_bytes(2, "big")


def streams_of(gateway: GatewayServer) -> list[StreamProtocol]:
    connections = gateway.server.server_state.connections
    return [one for one in connections if isinstance(one, StreamProtocol)]


@contextlib.asynccontextmanager
async def hostile(gateway: GatewayServer) -> AsyncIterator[RawClient]:
    """One that may do what it likes: afterwards it is gone, and another was served."""
    async with gateway.client() as honest, raw_client(gateway) as client:
        yield client
        assert (await honest.ask("ping"))["type"] == "pong"
        await until(lambda: gateway.connections == 1)


async def test_a_message_in_64_fragments_is_heard(gateway: GatewayServer) -> None:
    command = b'{"op":"ping","id":%b1}' % (b" " * 64)
    parts = [command[:63], *(bytes((byte,)) for byte in command[63:])][:64]
    parts[-1] = command[sum(map(len, parts[:-1])) :]
    async with raw_client(gateway) as client:
        await client.say(framed(TEXT, parts[0], fin=False))
        for part in parts[1:-1]:
            await client.say(framed(CONT, part, fin=False))
        await client.say(framed(CONT, parts[-1]))
        assert b'"pong"' in (await client.hear()).payload


async def test_a_message_in_more_than_64_fragments_ends_the_connection(
    gateway: GatewayServer,
) -> None:
    async with hostile(gateway) as client:
        await client.say(framed(TEXT, fin=False) + framed(CONT, fin=False) * 64)
        assert (await client.hear()).close_code == 1008
        assert await client.is_cut_off()


async def test_a_stream_of_empty_fragments_is_not_even_looked_at(gateway: GatewayServer) -> None:
    async with hostile(gateway) as client, asyncio.TaskGroup() as group:
        await client.say(framed(TEXT, fin=False))
        group.create_task(client.pour(framed(CONT, fin=False) * 50_000))
        assert (await client.hear()).close_code == 1008
        assert await client.is_cut_off()


@pytest.mark.parametrize("opcode", [PING, PONG])
async def test_a_stream_of_tiny_frames_ends_the_connection(
    gateway: GatewayServer, opcode: int
) -> None:
    async with hostile(gateway) as client, asyncio.TaskGroup() as group:
        group.create_task(client.pour(framed(opcode) * 50_000))
        assert (await client.hear_until(CLOSE)).close_code == 1008
        assert await client.is_cut_off()


async def test_one_without_a_key_has_few_frames(gateway: GatewayServer) -> None:
    async with raw_client(gateway, upgraded=False) as client:
        await client.say(upgrade(""))
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        await client.say(framed(PING) * 1_000)
        heard = await client.hear_all()
        assert heard[-1].close_code == 1008
        assert len(heard) <= 110


async def test_pings_of_one_who_reads_no_pongs_end_the_connection(gateway: GatewayServer) -> None:
    async with hostile(gateway) as client:
        [protocol] = [
            one
            for one in streams_of(gateway)
            if one.transport.get_extra_info("peername") == client.plain.getsockname()
        ]
        plain = protocol.transport.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        client.plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        with contextlib.suppress(OSError):
            for _ in range(40):
                await client.say(framed(PING, b"x" * 125) * 100)
                await asyncio.sleep(0)
        await until(lambda: protocol.close_sent or protocol.disconnected)
        assert protocol.conn.close_sent is not None
        assert protocol.conn.close_sent.code == 1008
        assert protocol.transport.get_write_buffer_size() <= 32_768
        await until(lambda: protocol.disconnected)


async def test_a_burst_of_commands_in_one_write_is_answered_in_order(
    gateway: GatewayServer,
) -> None:
    commands = [
        framed(TEXT, b'{"op":"ping","id":%d}' % number)
        for number in range(PLANS["pro"].commands_burst)
    ]
    async with raw_client(gateway) as client:
        await client.say(b"".join(commands))
        for number in range(PLANS["pro"].commands_burst):
            assert b'"id":%d,' % number in (await client.hear()).payload


async def test_a_close_between_fragments_is_answered_as_any_other(gateway: GatewayServer) -> None:
    async with raw_client(gateway) as client:
        await client.say(framed(TEXT, b'{"op":', fin=False) + framed(CLOSE, NORMAL))
        assert (await client.hear()).close_code == 1000
        assert await client.is_cut_off()


async def test_a_ping_between_fragments_is_answered_at_once(gateway: GatewayServer) -> None:
    async with raw_client(gateway) as client:
        await client.say(framed(TEXT, b'{"op":"ping",', fin=False) + framed(PING, b"now"))
        assert await client.hear() == (PONG, b"now")
        await client.say(framed(CONT, b'"id":1}'))
        assert b'"pong"' in (await client.hear()).payload


BROKEN = {
    "reserved bit": (b"\xc1\x80\0\0\0\0", 1002),
    "reserved opcode": (b"\x83\x80\0\0\0\0", 1002),
    "unmasked": (b"\x81\x02{}", 1002),
    "long ping": (framed(PING, b"x" * 126), 1002),
    "fragmented ping": (framed(PING, fin=False), 1002),
    "continuation of nothing": (framed(CONT, b"x"), 1002),
    "message within a message": (framed(TEXT, b"{", fin=False) + framed(BINARY, b"{"), 1002),
    "close code of nobody": (framed(CLOSE, (999).to_bytes(2, "big")), 1002),
    "close of one byte": (framed(CLOSE, b"x"), 1002),
    "close reason not UTF-8": (framed(CLOSE, NORMAL + b"\xff"), 1007),
    "text not UTF-8": (framed(TEXT, b'"\xff"'), 1007),
    "fragments not UTF-8": (framed(TEXT, b'"\xc3', fin=False) + framed(CONT, b'"'), 1007),
    "too long": (framed(TEXT, b"x" * 65_537), 1009),
    "fragments too long": (framed(TEXT, b"x" * 65_536, fin=False) + framed(CONT, b"x"), 1009),
    "length of 2^63": (b"\x81\xff" + b"\xff" * 8 + bytes(4), 1009),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_no_websocket_is_closed_with_its_code(
    gateway: GatewayServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    data, code = BROKEN[name]
    async with hostile(gateway) as client:
        await client.say(data + PING_COMMAND * 3)
        assert (await client.hear_until(CLOSE)).close_code == code
        with contextlib.suppress(OSError):
            await client.say(framed(CLOSE, NORMAL))
        assert await client.is_cut_off()
    assert caplog.records == [], "what a client says is nobody's failure"


async def test_one_who_talks_before_being_let_in_is_cut_off(
    gateway: GatewayServer, redis_server: RedisServer
) -> None:
    assert redis_server.process is not None
    async with raw_client(gateway, upgraded=False) as client:
        redis_server.process.send_signal(signal.SIGSTOP)  # nobody can tell yet whose key it is
        try:
            await client.say(upgrade(gateway.key))
            await until(lambda: streams_of(gateway))
            await client.say(PING_COMMAND)
            assert await client.is_cut_off()
        finally:
            redis_server.process.send_signal(signal.SIGCONT)


async def test_one_without_a_key_whose_words_end_the_connection_costs_no_log_line(
    gateway: GatewayServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with raw_client(gateway, upgraded=False) as client:
        await client.say(upgrade(""))
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        # Answers to the first two are due when the server has said goodbye.
        await client.say(framed(TEXT, b'{"op":"list"}') * 2 + framed(TEXT, b"\xff"))
        assert (await client.hear_until(CLOSE)).close_code == 1007
        await client.say(framed(CLOSE, (1_007).to_bytes(2, "big")))
        assert await client.is_cut_off()
    await until(lambda: not gateway.server.server_state.tasks)
    assert caplog.records == []


@pytest.mark.parametrize(("has_failed", "status"), [(True, b"500"), (False, b"503")])
async def test_a_gateway_that_stops_answers_once_who_was_not_let_in_yet(
    gateway: GatewayServer,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    has_failed: bool,
    status: bytes,
) -> None:
    assert redis_server.process is not None
    async with raw_client(gateway, upgraded=False) as client:
        redis_server.process.send_signal(signal.SIGSTOP)  # the application waits for it
        try:
            await client.say(upgrade(gateway.key))
            await until(lambda: streams_of(gateway))
            [protocol] = streams_of(gateway)
            if has_failed:
                protocol.send_500_response()
            protocol.shutdown()
            assert (await client.head()).split()[1] == status
            assert await client.is_cut_off()
        finally:
            redis_server.process.send_signal(signal.SIGCONT)
    await until(lambda: not gateway.server.server_state.tasks)
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


async def test_what_was_sent_is_acknowledged_in_30_s_or_the_socket_is_gone(
    gateway: GatewayServer,
) -> None:
    async with raw_client(gateway):
        [protocol] = streams_of(gateway)
        plain = protocol.transport.get_extra_info("socket")
        assert plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


def noise(chance: random.Random) -> bytes:
    """Frames that are nearly right: of any kind, sometimes cut, changed or repeated."""
    said = b""
    for _ in range(chance.randrange(1, 8)):
        opcode = chance.choice((TEXT, TEXT, BINARY, CONT, CLOSE, PING, PONG, chance.randrange(16)))
        payload = chance.choice((b"", b"{}", b'{"op":"ping","id":1}', chance.randbytes(9), NORMAL))
        one = bytearray(framed(opcode, payload, fin=chance.random() < 0.7))
        if chance.random() < 0.3:
            one[chance.randrange(len(one))] ^= 1 << chance.randrange(8)
        said += bytes(one[: chance.randrange(len(one))] if chance.random() < 0.1 else one)
    return said


async def test_no_noise_is_our_failure(
    gateway: GatewayServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway.client() as honest:
        for seed in range(300):
            async with raw_client(gateway) as client:
                with contextlib.suppress(OSError):
                    await client.say(noise(random.Random(seed)))
                    client.plain.shutdown(socket.SHUT_WR)
                codes = [one.close_code for one in await client.hear_all() if one.opcode == CLOSE]
                assert not {1011, 4103} & set(codes), seed
        assert (await honest.ask("ping"))["type"] == "pong"
    assert caplog.records == []
