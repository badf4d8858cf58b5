"""EDGE: reads channels' streams for subscribers who come back, many of them with one reading.

Redis is read at most once per channel in 100 ms, however large the crowd: what one reading told is
remembered for the others for a moment.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from redis.exceptions import RedisError

from feeds.market import Clock, moment
from gateway.bus import Bus
from gateway.hub import Hub

_log = logging.getLogger(__name__)

_PAUSE_S: Final = 0.1
_CHANNELS_MAX: Final = 50
"""Of one reading: at most 50,000 messages at once."""
_REMEMBERED_S: Final = 2.0


class Recaller:
    """Of one worker."""

    def __init__(self, bus: Bus, hub: Hub, clock: Clock, *, answer_limit_s: float) -> None:
        self._bus = bus
        self._hub = hub
        self._clock = clock
        self._answer_limit_s = answer_limit_s
        self._wanted: dict[str, int] = {}
        self._read: asyncio.Future[None] | None = None
        """Of the next reading: shared by all who ask before it."""
        self._wake = asyncio.Event()
        self._recalled_s: dict[str, float] = {}

    async def recall(self, wanted: Mapping[str, int]) -> None:
        """Waits, bounded, until streams were read after these seqs; histories tell the result."""
        if self._read is None:
            self._read = asyncio.get_running_loop().create_future()
        for name, after in wanted.items():
            self._wanted[name] = min(after, self._wanted.get(name, after))
        self._wake.set()
        await asyncio.wait([self._read], timeout=self._answer_limit_s + _PAUSE_S)

    async def run(self) -> None:
        """Reads what is wanted, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            wanted, self._wanted = self._wanted, {}
            read, self._read = self._read, None
            assert read is not None
            await self._recall_all(list(wanted.items()))
            read.set_result(None)
            await asyncio.sleep(_PAUSE_S)

    def tidy(self, now_s: float) -> None:
        """Forgets what nobody has come for of late."""
        for name, recalled_s in list(self._recalled_s.items()):
            if now_s - recalled_s >= _REMEMBERED_S:
                del self._recalled_s[name]
                if name in self._hub.topics:
                    self._hub.topics[name].history.forget()

    async def _recall_all(self, wanted: list[tuple[str, int | None]]) -> None:
        try:
            for start in range(0, len(wanted), _CHANNELS_MAX):
                await self._recall(wanted[start : start + _CHANNELS_MAX])
        except (RedisError, OSError, TimeoutError) as error:
            _log.warning("histories can't be read (%s) channels=%d", error, len(wanted))

    async def _recall(self, wanted: list[tuple[str, int | None]]) -> None:
        async with asyncio.timeout(self._answer_limit_s):
            heads = await self._bus.heads(wanted)
        at = moment(self._clock)
        for name, head in heads.items():
            topic = self._hub.topics.get(name)
            if head is not None and topic is not None:
                topic.recall(head.log, at)
                self._recalled_s[name] = at.monotonic_s
                # A thousand messages take milliseconds: others are served between two channels.
                await asyncio.sleep(0)
