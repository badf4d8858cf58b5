"""From "all processes are started" to "a newcomer can subscribe": waits, demo key, welcome."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from redis.exceptions import RedisError

from feeds.market.bus_names import DIRECTORY_KEY
from gateway.commands.demo_key import make_demo_key
from gateway.commands.failure import CommandFailure
from gateway.commands.redis_access import connected
from gateway.commands.settings import SIMULATED, Settings
from gateway.commands.welcome import welcome
from gateway.processes.embedded_redis import save
from gateway.processes.listening import url_of
from gateway.processes.supervisor import SupervisorError

READY_LIMIT_S: Final = 30.0
"""For the gateway to serve."""
FIRST_CHANNEL_LIMIT_S: Final = 8.0
"""For feeds to name what they publish; where no venue can be reached there may be nothing."""

_POLL_S: Final = 0.05
_ANSWER_LIMIT_S: Final = 2.0


async def greet(settings: Settings, *, embedded: bool, say: Callable[[str], None]) -> None:
    """Says the welcome, once it is true. Raises SupervisorError where it does not become so."""
    url = await gateway_url(settings)
    try:
        async with connected(settings.redis_url) as redis:
            key = await make_demo_key(redis, Path(settings.data_dir))
            if embedded:
                await save(redis)

            async def has_channels() -> bool:
                return bool(await redis.scard(DIRECTORY_KEY))

            has_any = await _becomes(has_channels, FIRST_CHANNEL_LIMIT_S)
    except (RedisError, OSError, CommandFailure) as error:
        raise SupervisorError(f"no demo key could be made: {error}") from None
    if not has_any:
        say("no channels yet: feeds have reached no venue; they keep trying")
    venues = settings.venues
    say(welcome(url, key, SIMULATED if SIMULATED in venues or not venues else venues[0]))


async def gateway_url(settings: Settings, limit_s: float | None = READY_LIMIT_S) -> str:
    """Where the gateway serves, once it does. Raises SupervisorError where it doesn't in time.

    `limit_s` None: however long that takes.
    """
    url = public_url(settings)
    host, port = url.partition("://")[2].rsplit(":", 1)

    async def serves() -> bool:
        return await answers_ready(host.strip("[]"), int(port), is_secure=bool(settings.tls.cert))

    if not await _becomes(serves, limit_s):
        raise SupervisorError(f"the gateway was not ready within {limit_s:.0f} s")
    return url


def public_url(settings: Settings) -> str:
    """Where the gateway is to be found, by programs of this machine."""
    scheme = "https" if settings.tls.cert else "http"
    return url_of(settings.gateway.host, settings.gateway.port, scheme)


async def answers_ready(host: str, port: int, *, is_secure: bool = False) -> bool:
    """Whether `GET /readyz` says 200; `is_secure`: by TLS, whatever name its certificate has."""
    context = None
    if is_secure:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # our own process, and nothing secret is said
    try:
        async with asyncio.timeout(_ANSWER_LIMIT_S):
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
            try:
                name = f"[{host}]" if ":" in host else host
                request = (
                    f"GET /readyz HTTP/1.1\r\nHost: {name}:{port}\r\nConnection: close\r\n\r\n"
                )
                writer.write(request.encode())
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, ValueError):
        return False
    return status.split(b" ")[1:2] == [b"200"]


async def _becomes(condition: Callable[[], Awaitable[bool]], limit_s: float | None) -> bool:
    try:
        async with asyncio.timeout(limit_s):
            while not await condition():  # noqa: ASYNC110 - of other processes
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        return False
    return True
