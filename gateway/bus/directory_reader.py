"""EDGE (redis): keeps the directory as Redis has it: every few seconds, and when a name is missing.

However many ask, Redis is asked once.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from feeds.market import Clock
from feeds.market.bus_names import DIRECTORY_KEY
from gateway.bus.directory import Directory
from gateway.cancelling import stop_if_cancelled
from gateway.patience import patience

_REFRESH_S: Final = 5.0
_FRESH_S: Final = 0.25
"""However many ask for unknown channels, Redis is asked this often at most."""


class DirectoryReader:
    """Fills one directory."""

    def __init__(
        self,
        directory: Directory,
        redis: Redis,
        clock: Clock,
        *,
        answer_limit_s: float,
        on_read: Callable[[], None],
    ) -> None:
        self._directory = directory
        self._redis = redis
        self._clock = clock
        self._answer_limit_s = answer_limit_s
        self._on_read = on_read
        self._reading = asyncio.Lock()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            stop_if_cancelled()
            await asyncio.sleep(_REFRESH_S)
            try:
                await self.read()
            except (RedisError, OSError, TimeoutError):
                continue  # the bus says so already, and old names stay valid

    async def look_up(self, names: Sequence[str]) -> None:
        """Reads the directory again where it lacks a name, and not more often than is fresh."""
        if all(map(self._directory.knows, names)):
            return
        asked_s = self._clock.monotonic_s()
        # Where Redis gives no answer, what was known is still valid; the rest is to be retried.
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with patience(self._answer_limit_s), self._reading:
                if self._directory.refreshed_s < asked_s:
                    # Waited for, not left out: a channel may have begun since the last reading.
                    age_s = self._clock.monotonic_s() - self._directory.refreshed_s
                    await asyncio.sleep(_FRESH_S - age_s)
                    await self._read()

    async def read(self) -> None:
        """Raises RedisError, OSError and TimeoutError."""
        async with patience(self._answer_limit_s):
            await self._read()

    async def _read(self) -> None:
        names = await self._redis.smembers(DIRECTORY_KEY)
        texts = (name.decode(errors="replace") for name in names if isinstance(name, bytes))
        self._directory.fill(texts, self._clock.monotonic_s())
        self._on_read()
