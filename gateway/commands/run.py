"""`tickgate run` and `tickgate gateway`: which processes there are, and what they are told."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from gateway.commands.demo_key import forget_demo_key
from gateway.commands.failure import CommandFailure
from gateway.commands.greeting import gateway_url, greet, public_url
from gateway.commands.redis_access import clear_left_behind, connected
from gateway.commands.settings import Settings, environment_with
from gateway.commands.stopping import on_stop
from gateway.processes.child_process import Child
from gateway.processes.embedded_redis import EmbeddedRedis
from gateway.processes.listening import reserved
from gateway.processes.running import Running, announced, locked
from gateway.processes.supervisor import STOP_LIMIT_S, Supervisor
from gateway.telemetry.logs import begin_log, teller

_REDIS, _FEEDS, _GATEWAY = range(3)
"""The tiers, in the order of starting."""
_STOP_SPARE_S = 3.0
"""For a worker to end, once its connections have."""


def run_all(settings: Settings, environ: Mapping[str, str]) -> None:
    """Until Ctrl-C or SIGTERM. Raises the failures of its parts, each one line."""
    data_dir = Path(settings.data_dir)
    with (
        locked(data_dir),
        reserved(settings.gateway.host, settings.gateway.port) as port,
        _redis_at(settings, data_dir, environ) as (redis_url, embedded),
    ):
        told = _with_address(settings, redis_url, port)
        asyncio.run(_run_all(told, environ, embedded))


def run_gateway(settings: Settings, redis_url: str, environ: Mapping[str, str]) -> None:
    """The workers alone, until Ctrl-C or SIGTERM. Raises as `run_all`."""
    with reserved(settings.gateway.host, settings.gateway.port) as port:
        told = _with_address(settings, redis_url, port)
        asyncio.run(_run_gateway(told, environ))


@contextlib.contextmanager
def _redis_at(
    settings: Settings, data_dir: Path, environ: Mapping[str, str]
) -> Iterator[tuple[str, EmbeddedRedis | None]]:
    """The URL to use, and the Redis to start for it, where that is ours to do."""
    if settings.redis_url:
        yield settings.redis_url, None
        return
    clear_left_behind(data_dir)
    embedded = EmbeddedRedis.prepare(data_dir, environ)
    try:
        yield embedded.url, embedded
    finally:
        embedded.remove()


def _with_address(settings: Settings, redis_url: str, port: int) -> Settings:
    gateway = msgspec.structs.replace(settings.gateway, port=port)
    return msgspec.structs.replace(settings, gateway=gateway, redis_url=redis_url)


async def _run_all(
    settings: Settings, environ: Mapping[str, str], embedded: EmbeddedRedis | None
) -> None:
    feeds = Child("feeds", _ours("feeds"), environment_with(settings, environ), _FEEDS)
    children = [feeds, *_workers(settings, environ)]
    data_dir = Path(settings.data_dir)
    if embedded is None:
        async with connected(settings.redis_url):
            pass  # Without it the children could do nothing but wait.
    else:
        children.append(_redis(embedded, data_dir, environ))
    url = public_url(settings)
    running = Running(
        os.getpid(), settings.redis_url, url, embedded is not None, started=int(time.time())
    )

    async def started() -> None:
        with announced(data_dir, running):
            await greet(settings, embedded=embedded is not None, say=click.echo)
            await asyncio.Event().wait()

    redis = "its own Redis" if embedded is not None else "your Redis"
    click.echo(f"starting Tickgate with {redis}; venues: {', '.join(settings.venues) or 'none'}")
    try:
        await _supervise(settings, children, started)
    finally:
        if embedded is None:
            await forget_demo_key(settings.redis_url, data_dir)


async def _run_gateway(settings: Settings, environ: Mapping[str, str]) -> None:
    say = teller(settings.logs, "run")

    async def started() -> None:
        try:
            async with connected(settings.redis_url):
                pass
        except CommandFailure as failure:
            # Whoever starts both at once need not wait: the workers do, and say so at /readyz.
            say(f"not ready yet: {failure}")
        url = await gateway_url(settings, limit_s=None)
        click.echo(f"listening: {url}")

    await _supervise(settings, _workers(settings, environ), started)


def _workers(settings: Settings, environ: Mapping[str, str]) -> list[Child]:
    count = settings.gateway.workers
    names = ["gateway"] if count == 1 else [f"gateway {n}" for n in range(1, count + 1)]
    environment = environment_with(settings, environ)
    command = _ours("gateway")
    return [Child(name, command, environment, _GATEWAY, is_renewable=True) for name in names]


def _redis(embedded: EmbeddedRedis, data_dir: Path, environ: Mapping[str, str]) -> Child:
    async def before_stop() -> None:
        await forget_demo_key(embedded.url, data_dir)
        await embedded.save_keys()

    return Child(
        "Redis",
        embedded.command,
        environ,
        _REDIS,
        ready=embedded.ready,
        before_stop=before_stop,
    )


def _ours(command: str) -> tuple[str, ...]:
    # -P: what lies in the present directory is nothing to import.
    return (sys.executable, "-P", "-m", "gateway.cli", command)


async def _supervise(
    settings: Settings,
    children: Sequence[Child],
    started: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    """Where there is TLS, SIGHUP has the gateway's workers read their certificate again."""
    begin_log(settings.logs, "run")
    say = teller(settings.logs, "run")
    stop_limit_s = settings.gateway.shutdown_limit_s + _STOP_SPARE_S
    supervisor = Supervisor(say, max(STOP_LIMIT_S, stop_limit_s))
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            supervisor.hurry()
        else:
            say("stopping (Ctrl-C again: at once)")
            stopping.set()

    def renew() -> None:
        say("replacing the gateway's workers, one after the other (SIGUSR2)")
        supervisor.renew()

    def reread() -> None:
        say("the gateway reads its certificate again (SIGHUP)")
        supervisor.send(signal.SIGHUP, _GATEWAY)

    on_stop(stop, reread if settings.tls.cert else None)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, renew)
    await supervisor.run(children, stopping, started)
