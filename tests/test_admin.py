"""The admin listener: a port for each process, for its operator alone."""

import asyncio
import contextlib
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvloop
from websockets.exceptions import InvalidStatus

from gateway.admin.listener import AdminListener
from gateway.settings import AdminSettings
from tests.gateway_server import GatewayServer
from tests.running_tickgate import LIMIT_S, tickgate_run
from tests.scrape import ANYWHERE, becomes, get, listener, listening, scrape
from tests.stream_client import client_of
from tests.until import until

LOOPS = {"uvloop": uvloop.new_event_loop}


async def test_a_data_key_opens_nothing_on_the_admin_port(gateway: GatewayServer) -> None:
    key = {"X-API-Key": gateway.key}
    async with listening(listener()) as url:
        for path in ("/", "/readyz", "/v1/stream"):
            status, _ = await get(url + path, key)
            assert status == 404
        with pytest.raises(InvalidStatus) as refused:
            async with client_of(f"{url.replace('http', 'ws')}/v1/stream", headers=key):
                pass
    assert refused.value.response.status_code == 403


async def test_each_process_says_that_it_is_alive_where_its_metrics_are() -> None:
    async with listening(listener(process="feeds")) as url:
        assert await get(f"{url}/healthz") == (200, '{"status":"alive"}')


async def test_the_public_port_shows_no_metrics(gateway: GatewayServer) -> None:
    url = f"http://127.0.0.1:{gateway.port}/metrics"
    status, text = await get(url, {"X-API-Key": gateway.key})
    assert status == 404
    assert "tickgate_" not in text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LocalHost:9787", 200),
        ("127.0.0.1:9787", 200),
        ("[::1]:9787", 200),
        ("prometheus.lan:9787", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:9787", 421),
        ("", 421),
    ],
)
async def test_a_page_whose_name_means_our_address_sees_nothing(host: str, status: int) -> None:
    settings = AdminSettings(port=0, hosts=("Prometheus.lan",))
    async with listening(listener(settings)) as url:
        told, text = await get(f"{url}/metrics", {"Host": host})
        assert told == status
        assert ("tickgate_info" in text) == (status == 200)


async def test_a_request_that_names_nobody_sees_nothing() -> None:
    async with listening(listener()) as url:
        port = urlsplit(url).port or 0
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        async with asyncio.timeout(40):
            assert b" 421 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


def reaches(host: str, port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((host, port)) == 0


@pytest.mark.parametrize(("host", "elsewhere"), [(None, False), ("0.0.0.0", True)])
async def test_only_loopback_is_listened_on_unless_asked_for(
    host: str | None, elsewhere: bool
) -> None:
    settings = ANYWHERE if host is None else AdminSettings(host=host, port=0)
    async with listening(listener(settings)) as url:
        port = urlsplit(url).port
        assert port is not None
        assert reaches("127.0.0.1", port)
        # An address of this machine that is not the one of loopback.
        assert reaches("127.0.0.2", port) == elsewhere


def free_ports(count: int) -> int:
    """The first of as many free ones in a row, below those that outgoing connections take."""
    for first in range(20_000, 32_000, count):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first
    raise AssertionError("no free ports")


async def test_every_process_has_a_port_of_its_own_and_one_too_many_goes_on_without() -> None:
    first, said = free_ports(3), list[str]()
    settings = AdminSettings(port=first)

    def worker() -> AdminListener:
        return listener(settings, workers=2, say=said.append)

    async with (
        listening(listener(settings, "feeds")) as feeds_url,
        listening(worker()) as first_url,
        listening(worker()) as second_url,
    ):
        urls = [feeds_url, first_url, second_url]
        assert [urlsplit(url).port for url in urls] == [first, first + 1, first + 2]
        await worker().run([])
    (line,) = said
    assert line == (
        f"gateway: no metrics at port {first + 1} to {first + 2} of 127.0.0.1"
        " (Address already in use)"
    )


async def test_an_address_of_another_machine_is_said_and_nothing_else_happens() -> None:
    said = list[str]()
    settings = AdminSettings(host="203.0.113.1", port=1)
    await listener(settings, "feeds", say=said.append).run([])
    assert len(said) == 1
    assert said[0].startswith("feeds: no metrics at port 1 of 203.0.113.1 (")


async def test_a_listener_that_is_not_wanted_is_not_there() -> None:
    said = list[str]()
    await listener(AdminSettings(enabled=False), say=said.append).run([])
    assert said == []


async def test_the_event_loops_lag_is_measured() -> None:
    async with listening(listener()) as url:
        page = await becomes(url, lambda page: page["tickgate_loop_lag_seconds_count"] >= 3)
    assert page.of("tickgate_info", process="gateway", version="0.1.0") == 1
    assert page["process_resident_memory_bytes"] > 0


async def test_each_process_of_a_run_is_a_target_of_its_own(tmp_path: Path) -> None:
    variables = {
        "TICKGATE_ADMIN_ENABLED": "true",
        "TICKGATE_ADMIN_PORT": "0",
        "TICKGATE_GATEWAY_WORKERS": "2",
    }
    async with tickgate_run(tmp_path, **variables) as tickgate:
        # One worker that serves is enough for the welcome.
        await until(lambda: tickgate.output.count("/metrics") == 3, LIMIT_S)
        found = re.findall(r"(feeds|gateway) metrics: (http://\S+)/metrics", tickgate.output)
        assert sorted(process for process, _ in found) == ["feeds", "gateway", "gateway"]
        pages = [await scrape(url) for _, url in found]
        assert all(page["tickgate_collector_frozen_objects"] > 10_000 for page in pages)
        async with tickgate.subscribed("trade:sim:*") as subscriber:
            await subscriber.ticks(10)
            told = [await scrape(url) for process, url in found if process == "gateway"]
        [feeds_url] = [url for process, url in found if process == "feeds"]
        feeds = await scrape(feeds_url)
    assert sorted(page["tickgate_connections"] for page in told) == [0, 1]
    assert sum(page["tickgate_messages_out_total"] for page in told) >= 10
    assert feeds.of("tickgate_feed_ticks_total", venue="sim") >= 10
    assert feeds.of("tickgate_feed_newest_age_seconds", venue="sim") < LIMIT_S
    assert feeds.of("tickgate_feed_up", venue="sim") == 1
