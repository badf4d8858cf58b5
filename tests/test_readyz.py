"""Whether subscribers would be served, as a load balancer asks: Redis dies, hangs, returns."""

import os
import signal
from collections.abc import Callable

import pytest
import uvloop

from tests.conftest import RedisServer
from tests.gateway_server import GatewayServer, gateway_on
from tests.served import Answer, asked
from tests.until_answer import until_answer

LOOPS = {"uvloop": uvloop.new_event_loop}

Deed = Callable[[RedisServer], None]


def kill(server: RedisServer) -> None:
    server.kill()


def start(server: RedisServer) -> None:
    server.start()


def stop(server: RedisServer) -> None:
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)


def go_on(server: RedisServer) -> None:
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGCONT)


async def says(gateway: GatewayServer, status: int) -> Answer:
    """The answer of /readyz, once it has this status."""

    async def ask() -> Answer | None:
        answer = await asked(gateway.port, "GET", "/readyz", {})
        return answer if answer.status == status else None

    return await until_answer(ask)


@pytest.mark.parametrize(("fault", "mend"), [(kill, start), (stop, go_on)], ids=["dies", "hangs"])
async def test_it_is_not_ready_while_redis_is_gone_and_lives_on(
    redis_server: RedisServer, fault: Deed, mend: Deed
) -> None:
    async with gateway_on(redis_server.url) as gateway:
        await says(gateway, 200)
        fault(redis_server)
        gone = await says(gateway, 503)
        assert gone.body["bus"] == "away"
        alive = await asked(gateway.port, "GET", "/healthz", {})
        assert (alive.status, alive.body) == (200, {"status": "alive"})
        mend(redis_server)
        assert (await says(gateway, 200)).body["bus"] == "live"


async def test_it_is_not_ready_before_its_streams_are_stale(gateway: GatewayServer) -> None:
    worker = gateway.worker
    worker.bus.counts.beat_heard_s = worker.clock.monotonic_s()
    assert worker.hears_bus
    worker.bus.counts.beat_heard_s -= 0.9 * worker.settings.bus_silence_limit_s
    assert (worker.hears_bus, worker.states.bus_is_live) == (False, True)


async def test_one_that_is_stopping_is_not_ready(gateway: GatewayServer) -> None:
    async with gateway.client() as client:
        gateway.worker.draining = True
        assert (await says(gateway, 503)).body["draining"] is True
        assert (await client.ask("ping"))["type"] == "pong"
