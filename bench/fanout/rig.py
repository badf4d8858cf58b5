"""A running Redis and gateway with load clients and a publisher for them: what a run is made of.

The gateway has core 0 to itself; clients have core 1; publisher, Redis and the benchmark what is
left, or core 1 too. A new Redis and gateway for each repeat, warmed up before it counts.
"""

import asyncio
import operator
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import msgspec
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from bench.cpu import OTHERS_CORE, SERVER_CORE, cpu_s, pinned, waited_s
from bench.fanout.loads import channel
from bench.fanout.publish import Published
from bench.fanout.server import PLAN
from bench.load.client import Heard, LoadClient, heard
from bench.load.listening import listening
from bench.processes import REPOSITORY
from bench.setting import redis_server
from feeds.market import SystemClock
from feeds.market.bus_names import DIRECTORY_KEY
from gateway.access.key_store import KeyStore
from gateway.settings import GatewaySettings

DEFAULT_WINDOW_MS: Final = GatewaySettings().join_window_ms
PATIENCE_S: Final = 20.0
"""Beyond the schedule, for what is late: then it counts as lost."""
_ANSWER_LIMIT_S: Final = 10.0
_DRAIN_S: Final = 0.5
_QUIET_SHARE: Final = 0.03
"""Of a core: less is a gateway with nothing left to do."""
_QUIET_LIMIT_S: Final = 10.0


class Hearing(msgspec.Struct, frozen=True):
    """What one publisher and some load clients came to."""

    heard: list[Heard]
    """In the order of the clients."""
    published: Published
    gateway_cpu_s: float
    gateway_waited_s: float
    """It could have run, and something else had its core."""
    redis_cpu_s: float
    wall_s: float
    """From the publisher's start until the last client had ended."""


class Rig:
    """One Redis and one gateway."""

    def __init__(
        self, program: str, redis_path: str, key: str, gateway: "subprocess.Popen[str]"
    ) -> None:
        """Waits for the gateway to listen."""
        assert gateway.stdout is not None
        line = gateway.stdout.readline()
        assert line, "the gateway ended before it listened"
        self.port = int(line)
        self.gateway_id = gateway.pid
        self.redis_path = redis_path
        self.key = key
        self._metrics_url = gateway.stdout.readline().strip()
        self._program = program
        with Redis(unix_socket_path=redis_path) as redis:
            self._redis_id = int(redis.info("server")["process_id"])

    def client(self, **options: Any) -> LoadClient:
        """Of this gateway; `options` are those of LoadClient."""
        return LoadClient(port=self.port, key=self.key, **options)

    def hear(
        self, clients: Sequence[LoadClient], channels: int, ticks_per_s: float, ticks: int
    ) -> Hearing:
        """Publishes when all have subscribed; those that expect 0 are stopped when all is out."""
        with ExitStack() as stack:
            processes = [
                stack.enter_context(listening(self._program, client)) for client in clients
            ]
            self.await_quiet()
            started_s = time.monotonic()
            before_s = self._used_s()
            publisher = run_pinned(
                OTHERS_CORE,
                *(sys.executable, "-m", "bench.fanout.publish", self.redis_path),
                *(channels, ticks_per_s, ticks),
            )
            published, _ = publisher.communicate(timeout=ticks / ticks_per_s + PATIENCE_S)
            drained_s = time.monotonic() + _DRAIN_S
            told = {
                process: process.communicate()[0]
                for client, process in zip(clients, processes, strict=True)
                if client.expected
            }
            endless = [process for process in processes if process not in told]
            if endless:
                time.sleep(max(0.0, drained_s - time.monotonic()))
            # Before those are stopped: a thousand farewells are no fan-out.
            wall_s = time.monotonic() - started_s
            ran_s, waited, redis_s = map(operator.sub, self._used_s(), before_s)
            for process in endless:
                process.terminate()
            told |= {process: process.communicate()[0] for process in endless}
            return Hearing(
                heard=[heard(told[process]) for process in processes],
                published=msgspec.json.decode(published, type=Published),
                gateway_cpu_s=ran_s,
                gateway_waited_s=waited,
                redis_cpu_s=redis_s,
                wall_s=wall_s,
            )

    def _used_s(self) -> tuple[float, float, float]:
        """By the gateway; for which it waited; by Redis."""
        return cpu_s(self.gateway_id), waited_s(self.gateway_id), cpu_s(self._redis_id)

    def accepts(self, rate: str) -> bool:
        """Whether the gateway has such a rate; if not, the load client says so too."""
        try:
            with listening(self._program, self.client(rate=rate)):
                return True
        except RuntimeError:
            return False

    def metric(self, name: str) -> float:
        """Of the gateway's own, now; 0.0 for one that has not been counted yet."""
        with urllib.request.urlopen(self._metrics_url, timeout=_ANSWER_LIMIT_S) as page:
            lines = page.read().decode().splitlines()
        values = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return next((float(value) for known, _, value in values if known == name), 0.0)

    def await_quiet(self) -> None:
        """Returns when the gateway has done what it had to do, or after a while."""
        deadline_s = time.monotonic() + _QUIET_LIMIT_S
        while time.monotonic() < deadline_s:
            before_s = cpu_s(self.gateway_id)
            time.sleep(0.1)
            if cpu_s(self.gateway_id) - before_s < 0.1 * _QUIET_SHARE:
                return


def run_pinned(core: int, *command: object) -> "subprocess.Popen[str]":
    environ = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(pinned(core, *command), stdout=subprocess.PIPE, text=True, env=environ)


@contextmanager
def rig(
    program: str,
    *,
    channels: int,
    window_ms: float | None = None,
    without: str | None = None,
    **settings: Any,
) -> Iterator[Rig]:
    """A new one. `program` is the compiled load client; `settings` are the gateway's own;
    `without` is a trick to be taken out of it."""
    with redis_server(OTHERS_CORE) as path:
        key = asyncio.run(_prepared(path, channels))
        window_ms = DEFAULT_WINDOW_MS if window_ms is None else window_ms
        with gateway_process(f"unix://{path}", window_ms, settings, without) as gateway:
            yield Rig(program, path, key, gateway)


@contextmanager
def gateway_process(
    redis_url: str, window_ms: float, settings: Mapping[str, Any], without: str | None = None
) -> Iterator["subprocess.Popen[str]"]:
    told = msgspec.json.encode(settings).decode()
    server = ["bench.fanout.server"] if without is None else ["bench.fanout.without", without]
    words = (sys.executable, "-m", *server, redis_url, window_ms, told)
    process = run_pinned(SERVER_CORE, *words)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()


async def _prepared(path: str, channels: int) -> str:
    names = [channel(number) for number in range(channels)]
    async with AsyncRedis.from_url(f"unix://{path}") as redis:
        await redis.sadd(DIRECTORY_KEY, *names)
        return (await KeyStore(redis, SystemClock()).create("bench", PLAN))[1]
