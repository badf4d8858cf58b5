"""The nginx configuration that is shipped, run by a real nginx before two real gateways."""

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from gateway.client import Gap, Missed, Reconnecting, Reset, connect
from tests.client_gateway import Eager
from tests.conftest import in_one_task
from tests.gateway_server import GatewayServer, Publishing, changed, gateway_on
from tests.kept_port import kept_port
from tests.served import asked
from tests.stream_client import client_of, refusal_of
from tests.ticks import BTC, trades
from tests.until import until
from tests.until_answer import until_answer

LOOPS = {"uvloop": uvloop.new_event_loop}

CONFIGURATION = Path(__file__).resolve().parents[1] / "deploy" / "nginx" / "nginx.conf"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

pytestmark = pytest.mark.skipif(
    NGINX is None, reason="NO NGINX HERE: deploy/nginx is not tried (apt-get install nginx-light)"
)

BEHIND = changed(trusted_proxies=("127.0.0.1",))


def configuration(directory: Path, port: int, gateways: list[int]) -> str:
    """What is shipped, but for the places."""
    text = CONFIGURATION.read_text()
    for number, gateway in enumerate(gateways, 1):
        text, count = re.subn(rf"\bgateway-{number}:8787\b", f"127.0.0.1:{gateway}", text)
        assert count == 1
    text, count = re.subn(r"\blisten 8080\b", f"listen 127.0.0.1:{port}", text)
    assert count == 1
    text = text.replace(" /tmp/", f" {directory}/")
    return text.replace("/dev/stdout", str(directory / "access.log"))


async def answers(port: int) -> bool:
    try:
        return (await asked(port, "GET", "/healthz", {})).status == 200
    except OSError:
        return False


@contextlib.asynccontextmanager
async def nginx_before(directory: Path, gateways: list[int]) -> AsyncIterator[int]:
    """Its port."""
    with kept_port() as port:
        path = directory / "nginx.conf"
        path.write_text(configuration(directory, port, gateways))
        # Its workers give up root, and must reach what is theirs.
        for parent in (directory, *directory.parents[:2]):
            if os.geteuid() == 0:
                parent.chmod(parent.stat().st_mode | 0o011)
        assert NGINX is not None
        words = (NGINX, "-e", "stderr", "-c", str(path), "-g", "daemon off;")
        process = await asyncio.create_subprocess_exec(*words)
        try:
            await until_answer(lambda: answers(port))
            yield port
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


@pytest.fixture
async def gateways(redis_url: str) -> AsyncIterator[list[GatewayServer]]:
    async with (
        in_one_task(gateway_on(redis_url, BEHIND)) as first,
        in_one_task(gateway_on(redis_url, BEHIND)) as second,
    ):
        yield [first, second]


@pytest.fixture
async def port(gateways: list[GatewayServer], tmp_path: Path) -> AsyncIterator[int]:
    """nginx', before both."""
    places = [gateway.port for gateway in gateways]
    async with in_one_task(nginx_before(tmp_path, places)) as found:
        yield found


async def test_a_stream_goes_through_with_the_clients_own_address(
    gateways: list[GatewayServer], port: int, publish: Publishing, tmp_path: Path
) -> None:
    await publish(trades(1, 1))
    headers = {"X-API-Key": gateways[0].key, "Origin": f"http://127.0.0.1:{port}"}
    async with client_of(f"ws://127.0.0.1:{port}/v1/stream", headers=headers) as client:
        await client.subscribe(BTC.name)
        await publish(trades(2, 101))
        await client.hear_whole(2, 101)
    spoofed = {"X-API-Key": "none", "X-Forwarded-For": "203.0.113.7"}
    status, told, _ = await refusal_of(f"ws://127.0.0.1:{port}/v1/stream", headers=spoofed)
    assert (status, len(told["X-Request-Id"])) == (401, 16)
    await asked(port, "GET", "/v1/usage?ticket=tt_Canary", {})
    await until(lambda: "/v1/usage" in (tmp_path / "access.log").read_text())
    assert "Canary" not in (tmp_path / "access.log").read_text()


async def test_rest_goes_through_and_the_request_keeps_its_id(
    gateways: list[GatewayServer], port: int, tmp_path: Path
) -> None:
    answer = await asked(port, "GET", "/v1/usage", {"X-API-Key": gateways[1].key})
    assert answer.status == 200
    request_id = answer.headers["x-request-id"]
    await until(lambda: f"request={request_id}" in (tmp_path / "access.log").read_text())
    assert (await asked(port, "GET", "/readyz", {})).status == 404


async def test_a_drain_behind_nginx_loses_nothing_for_who_resumes(
    redis_url: str, publish: Publishing, tmp_path: Path
) -> None:
    await publish(trades(1, 1))
    async with contextlib.AsyncExitStack() as stack:
        both = [
            await stack.enter_async_context(in_one_task(gateway_on(redis_url, BEHIND)))
            for _ in range(2)
        ]
        port = await stack.enter_async_context(
            in_one_task(nginx_before(tmp_path, [one.port for one in both]))
        )
        url = f"ws://127.0.0.1:{port}/v1/stream"
        stream = await stack.enter_async_context(connect(url, both[0].key, random=Eager()))
        await stream.subscribe(BTC.name)
        draining, staying = sorted(both, key=lambda one: -len(one.worker.hub.sessions))
        seqs: list[int] = []
        told: list[object] = []

        async def read_to(last: int) -> None:
            async with asyncio.timeout(40):
                async for message in stream:
                    if isinstance(message, dict):
                        seqs.append(message["seq"])
                        if message["seq"] == last:
                            return
                    else:
                        told.append(message)

        await publish(trades(2, 50))
        await read_to(50)
        draining.server.should_exit = True
        await until(lambda: not draining.worker.hub.sessions)
        await publish(trades(51, 100))
        await read_to(100)
        assert staying.worker.hub.sessions
    assert seqs == list(range(2, 101))
    assert any(isinstance(one, Reconnecting) for one in told)
    assert not [one for one in told if isinstance(one, Gap | Missed | Reset)]
