"""Plain HTTP: is it alive, would subscribers be served, and what else is there."""

import asyncio
from typing import Any, NamedTuple

import msgspec
import pytest
import uvloop
from redis.asyncio import Redis

from feeds.market import Channel, Tick, Trade
from tests.conftest import RedisServer
from tests.gateway_server import GatewayServer, Publishing, gateway_on
from tests.proxy import proxy_to
from tests.until import until
from tests.until_answer import until_answer

LOOPS = {"uvloop": uvloop.new_event_loop}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


async def get(gateway: GatewayServer, path: str, method: str = "GET") -> Answer:
    async with asyncio.timeout(40):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Answer(int(first.split()[1]), headers, body)


async def readiness(gateway: GatewayServer, status: int) -> Any:
    """The body of /readyz once it answers with a status."""

    async def ask() -> Any:
        answer = await get(gateway, "/readyz")
        return answer.json if answer.status == status else None

    return await until_answer(ask)


async def test_the_front_says_where_to_go(gateway: GatewayServer) -> None:
    answer = await get(gateway, "/")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert b"/v1/stream" in answer.body
    assert "server" not in answer.headers


async def test_it_is_alive(gateway: GatewayServer) -> None:
    answer = await get(gateway, "/healthz")
    assert (answer.status, answer.json) == (200, {"status": "alive"})


async def test_it_is_ready_and_knows_its_channels(
    gateway: GatewayServer, publish: Publishing
) -> None:
    await publish([Tick(Channel.parse("trade:sim:BTC-USD"), Trade("1", "2", "buy", "1"))])
    async with gateway.client() as client:
        await client.subscribe("trade:sim:BTC-USD")
    ready = {"status": "ready", "bus": "live", "draining": False, "channels": 1}
    assert await readiness(gateway, 200) == ready


async def test_the_stream_without_an_upgrade_says_how(gateway: GatewayServer) -> None:
    answer = await get(gateway, "/v1/stream")
    assert answer.status == 426
    assert answer.headers["upgrade"] == "websocket"
    assert answer.json["code"] == "upgrade_required"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v2", 404), ("POST", "/", 405)])
async def test_what_is_not_there_is_refused(
    gateway: GatewayServer, method: str, path: str, status: int
) -> None:
    assert (await get(gateway, path, method)).status == status


async def test_it_starts_without_redis_and_is_ready_when_redis_is_there(
    redis_server: RedisServer,
) -> None:
    redis_server.kill()
    async with gateway_on(redis_server.url, wait_ready=False) as gateway:
        body = await readiness(gateway, 503)
        assert (body["status"], body["bus"]) == ("not ready", "away")
        assert (await get(gateway, "/healthz")).status == 200
        redis_server.start()
        assert (await readiness(gateway, 200))["bus"] == "live"


async def test_it_is_not_ready_while_redis_is_away(redis_server: RedisServer) -> None:
    async with gateway_on(redis_server.url) as gateway:
        redis_server.kill()
        assert (await readiness(gateway, 503))["bus"] == "away"
        redis_server.start()
        await readiness(gateway, 200)


async def test_a_redis_with_a_password_is_used_with_it_and_not_without(
    redis_server: RedisServer, redis: Redis
) -> None:
    await redis.config_set("requirepass", "se:cr@t")
    async with proxy_to(redis_server.socket) as proxy:
        place = f"127.0.0.1:{proxy.port}"
        async with gateway_on(f"redis://:se%3Acr%40t@{place}") as gateway:
            await readiness(gateway, 200)
        async with gateway_on(f"redis://:wrong@{place}", wait_ready=False) as gateway:
            accepted = proxy.accepted
            await until(lambda: proxy.accepted > accepted + 2)
            await readiness(gateway, 503)
