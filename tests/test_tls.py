"""TLS by settings: real handshakes with a real gateway and a whole Tickgate, which reads again."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvloop
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from gateway.commands.settings import certificate_of
from gateway.configuration import SettingsError
from gateway.server.websocket import StreamProtocol
from gateway.settings import TlsSettings
from gateway.web.tls import CertificateError
from tests.certificates import Files, curious
from tests.conftest import in_one_task
from tests.gateway_server import GatewayServer, Publishing, changed, gateway_on, publish_custom
from tests.raw_client import RawClient
from tests.running_tickgate import LIMIT_S, Subscriber, run_to_end, tickgate_run
from tests.stream_client import Client, client_of
from tests.ticks import BTC, trades
from tests.until import until
from tests.until_answer import until_answer

LOOPS = {"uvloop": uvloop.new_event_loop}

BULKY = "custom:desk:BULKY"
BULK = b'{"x":"' + b"x" * 50_000 + b'"}'


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files(tmp_path)
    files.write()
    return files


@pytest.fixture
async def gateway(redis_url: str, files: Files) -> AsyncIterator[GatewayServer]:
    async with in_one_task(gateway_on(redis_url, certificate=files.certificate())) as running:
        yield running


def secured(
    gateway: GatewayServer, files: Files, **named: object
) -> contextlib.AbstractAsyncContextManager[Client]:
    """A client that believes the certificate of now, and no other."""
    url = gateway.url.replace("ws", "wss", 1)
    return client_of(url, headers={"X-API-Key": gateway.key}, ssl=files.trust(), **named)


async def shown(port: int, context: ssl.SSLContext | None = None) -> bytes:
    """The certificate (DER) that a new connection is shown. Raises OSError."""

    def shake() -> bytes:
        with (
            socket.create_connection(("127.0.0.1", port), 20) as plain,
            (context or curious()).wrap_socket(plain) as secure,
        ):
            found = secure.getpeercert(binary_form=True)
            assert found is not None
            return found

    return await asyncio.to_thread(shake)


@contextlib.asynccontextmanager
async def unsecured(gateway: GatewayServer) -> AsyncIterator[RawClient]:
    """Connected, and without a handshake."""
    with socket.socket() as plain:
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", gateway.port))
        yield RawClient(plain)


async def test_ticks_come_in_order_over_tls(
    gateway: GatewayServer, publish: Publishing, files: Files
) -> None:
    await publish(trades(1, 1))
    async with secured(gateway, files) as client, secured(gateway, files) as other:
        await client.subscribe(BTC.name)
        await other.subscribe(BTC.name)
        async with asyncio.TaskGroup() as group:
            for one in (client, other):
                group.create_task(one.hear_whole(2, 1_001))
            for first in range(2, 1_000, 50):
                await publish(trades(first, first + 49))


async def test_no_descriptor_of_a_tls_socket_is_written_past_its_encryption(
    gateway: GatewayServer, files: Files
) -> None:
    async with secured(gateway, files):
        [protocol] = gateway.server.server_state.connections
        assert isinstance(protocol, StreamProtocol)
        assert protocol.sink.descriptor == -1
        assert protocol.scheme == "wss"
        assert protocol.transport.get_write_buffer_limits() == (0, 1)
        assert protocol.sink.is_ready()
        plain = protocol.transport.get_extra_info("socket")
        assert plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


async def test_a_slow_client_over_tls_is_conflated_and_hears_the_newest(
    redis_url: str, redis: Redis, files: Files
) -> None:
    await publish_custom(redis, b"{}", channel=BULKY)
    patient, certificate = changed(slow_limit_s=60.0), files.certificate()
    async with (
        gateway_on(redis_url, patient, certificate=certificate) as gateway,
        secured(gateway, files) as client,
    ):
        await client.subscribe(BULKY, on_lag="conflate")
        client.transport.pause_reading()
        await publish_custom(redis, *[BULK] * 200, channel=BULKY)
        [session] = gateway.worker.hub.sessions
        await until(lambda: session.outbox.waiting_bytes)
        client.transport.resume_reading()
        await client.hear_until(lambda told: told.get("seq") == 201)
        told = [message for message in client.heard if "seq" in message and "type" not in message]
        assert sum(message.get("n", 1) for message in told[-200:]) >= 200


async def test_a_stalled_client_over_tls_is_gone_in_bounded_time(
    gateway: GatewayServer, redis: Redis, files: Files
) -> None:
    await publish_custom(redis, b"{}", channel=BULKY)
    async with secured(gateway, files) as client:
        await client.subscribe(BULKY)
        client.transport.pause_reading()
        for _ in range(20):
            await publish_custom(redis, *[BULK] * 20, channel=BULKY)
        await until(lambda: not gateway.connections)
        client.transport.abort()


async def test_whoever_does_not_finish_a_handshake_is_cut_off(
    gateway: GatewayServer, files: Files
) -> None:
    async with unsecured(gateway) as silent, unsecured(gateway) as half:
        await half.say(b"\x16\x03\x01\x02\x00\x01")
        async with secured(gateway, files) as honest:
            assert await silent.is_cut_off()
            assert await half.is_cut_off()
            assert (await honest.ask("ping"))["type"] == "pong"


async def test_an_address_that_keeps_many_handshakes_waiting_has_less_time(
    gateway: GatewayServer, files: Files
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(64):
            await stack.enter_async_context(unsecured(gateway))
        crowd = [await stack.enter_async_context(unsecured(gateway)) for _ in range(10)]
        for client in crowd:
            assert await client.is_cut_off()
        async with secured(gateway, files) as honest:
            assert (await honest.ask("ping"))["type"] == "pong"


async def test_who_speaks_no_tls_is_nobodys_failure(
    gateway: GatewayServer, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    for said in (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01" + bytes(500), b""):
        async with unsecured(gateway) as client:
            await client.say(said)
            client.plain.shutdown(socket.SHUT_WR)
            assert await client.is_cut_off()
    async with secured(gateway, files) as honest:
        assert (await honest.ask("ping"))["type"] == "pong"
    assert caplog.records == []


async def test_tls_before_1_2_is_refused(gateway: GatewayServer) -> None:
    old = curious()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.deprecated_call():
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r"(?i)version|protocol|reset|eof"):
        await shown(gateway.port, old)


async def test_a_gateway_that_stops_waits_for_no_handshake(redis_url: str, files: Files) -> None:
    async with gateway_on(redis_url, certificate=files.certificate()) as gateway:
        stack = contextlib.AsyncExitStack()
        silent = await stack.enter_async_context(unsecured(gateway))
        async with secured(gateway, files):
            pass
    async with stack:
        assert await silent.is_cut_off()


async def test_what_is_read_again_is_shown_to_new_connections_and_open_ones_go_on(
    gateway: GatewayServer, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    first = await shown(gateway.port)
    async with secured(gateway, files) as client:
        second = files.write("second")
        assert await shown(gateway.port) == first
        os.kill(os.getpid(), signal.SIGHUP)
        assert await until_answer(lambda: _is_shown(gateway.port, second))
        assert (await client.ask("ping"))["type"] == "pong"
        async with secured(gateway, files) as newcomer:
            assert (await newcomer.ask("ping"))["type"] == "pong"
    assert first != second
    assert caplog.records == []


@pytest.mark.parametrize("fault", ["gone", "no certificate", "another key"])
async def test_a_bad_file_changes_nothing_and_is_told_once(
    gateway: GatewayServer, files: Files, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    before = await shown(gateway.port)
    match fault:
        case "gone":
            files.cert.unlink()
        case "no certificate":
            files.cert.write_text("-----BEGIN CERTIFICATE-----\nno\n")
        case "another key":
            kept = files.key.read_bytes()
            files.write("second")
            files.key.write_bytes(kept)
    os.kill(os.getpid(), signal.SIGHUP)
    await until(lambda: caplog.records)
    assert await shown(gateway.port) == before
    [record] = caplog.records
    assert "still shown" in record.message
    assert str(files.cert) in record.message


async def _is_shown(port: int, wanted: bytes) -> bool:
    return await shown(port) == wanted


def test_what_cant_be_used_is_named(tmp_path: Path) -> None:
    files = Files(tmp_path)
    with pytest.raises(CertificateError, match=r"certificate .*cert\.pem can't be read: No such"):
        files.certificate()
    files.write()
    files.key.rename(tmp_path / "kept")
    with pytest.raises(CertificateError, match=r"key .*key\.pem can't be read: No such"):
        files.certificate()
    files.key.mkdir()
    with pytest.raises(CertificateError, match=r"key .*key\.pem can't be read: Is a directory"):
        files.certificate()
    files.key.rmdir()
    Files(tmp_path).write("second")
    (tmp_path / "kept").rename(files.key)
    with pytest.raises(CertificateError, match=r"key\.pem is not the one of the certificate"):
        files.certificate()
    files.key.write_text("nothing")
    with pytest.raises(CertificateError, match=r"no TLS certificate and key \(PEM\) in "):
        files.certificate()
    files.write(password=b"secret")
    with pytest.raises(CertificateError, match=r"key\.pem is encrypted"):
        files.certificate()


@pytest.mark.parametrize(
    ("cert", "key", "said"),
    [
        ("cert.pem", "", "tls.key: must be set where tls.cert is"),
        ("", "key.pem", "tls.cert: must be set where tls.key is"),
        ("cert.pem", "nowhere", "can't be read: No such file"),
    ],
)
def test_half_of_it_is_a_mistake(tmp_path: Path, cert: str, key: str, said: str) -> None:
    Files(tmp_path).write()
    named = [str(tmp_path / name) if name else "" for name in (cert, key)]
    with pytest.raises(SettingsError, match=said):
        certificate_of(TlsSettings(*named))


@pytest.mark.parametrize("command", ["run", "gateway"])
async def test_a_start_with_the_key_of_another_certificate_says_so_in_one_line(
    tmp_path: Path, command: str
) -> None:
    files = Files(tmp_path)
    files.write()
    kept = files.key.read_bytes()
    files.write("second")
    files.key.write_bytes(kept)
    status, _, said = await run_to_end(
        *(command, "--tls-cert", str(files.cert), "--tls-key", str(files.key)),
        data_dir=tmp_path,
        REDIS_URL="redis://127.0.0.1:1",
    )
    told = f"tickgate: the TLS key {files.key} is not the one of the certificate {files.cert}\n"
    assert (status, said) == (2, told)


async def test_a_whole_tickgate_greets_with_its_secure_address(files: Files) -> None:
    data_dir = files.cert.parent
    variables = {"TICKGATE_TLS_CERT": str(files.cert), "TICKGATE_TLS_KEY": str(files.key)}
    async with tickgate_run(data_dir, **variables) as tickgate:
        url = tickgate.running.gateway_url
        assert url.startswith("https://")
        assert f"listening: {url}" in tickgate.output
        assert f"wss://{urlsplit(url).netloc}/v1/stream" in tickgate.output
        assert "ws://" not in tickgate.output.replace("wss://", "")
        status, out, told = await run_to_end(
            *("watch", "trade:sim:BTC-USD", "--count", "1"),
            data_dir=data_dir,
            TICKGATE_KEY=tickgate.key,
            SSL_CERT_FILE=str(files.cert),
        )
        assert (status, told) == (0, "")
        assert '"px"' in out


async def test_every_worker_reads_again_and_its_clients_stay(files: Files) -> None:
    options = ("--tls-cert", str(files.cert), "--tls-key", str(files.key), "--workers", "2")
    async with tickgate_run(files.cert.parent, *options) as tickgate:
        port = urlsplit(tickgate.running.gateway_url).port or 0
        workers = tickgate.pids()["gateway"]
        async with connect(
            f"wss://127.0.0.1:{port}/v1/stream",
            additional_headers={"X-API-Key": tickgate.key},
            ssl=files.trust(),
            proxy=None,
        ) as opened:
            subscriber = Subscriber(opened)
            await subscriber.subscribe(["trade:sim:BTC-USD"])
            await subscriber.ticks(1)
            second = files.write("second")
            tickgate.process.send_signal(signal.SIGHUP)
            await until_answer(lambda: _all_show(port, second), LIMIT_S)
            await subscriber.ticks(5)
        assert tickgate.pids()["gateway"] == workers
        assert "still shown" not in tickgate.output


async def _all_show(port: int, wanted: bytes) -> bool:
    """Whether all workers do: the kernel chooses one, and so many connections come to two."""
    return all([await _is_shown(port, wanted) for _ in range(20)])
