"""EDGE: reads channels' streams for subscribers who come back, many of them with one reading.

Redis is read at most once per channel in 100 ms, however large the crowd: what one reading told is
remembered for the others for a moment.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Final

from redis.exceptions import RedisError

from feeds.market import Clock, moment
from gateway.bus.bus import Bus
from gateway.cancelling import stop_if_cancelled
from gateway.fanout.hub import Hub
from gateway.patience import patience

_log = logging.getLogger(__name__)

_REST_S: Final = 0.1
"""Between two readings of a channel; the one with which it was opened counts."""
_ROUND_S: Final = 0.05
"""In which one reading gathers what many ask for."""
_CHANNELS_MAX: Final = 4
"""Of one reading: each may be thousands of messages."""
_REMEMBERED_S: Final = 5.0
"""Of a crowd of 5,000 the last are answered some seconds after the reading that was for all."""


class Recaller:
    """Of one worker."""

    def __init__(self, bus: Bus, hub: Hub, clock: Clock, *, answer_limit_s: float) -> None:
        self._bus = bus
        self._hub = hub
        self._clock = clock
        self._answer_limit_s = answer_limit_s
        self._after: dict[str, int] = {}
        """What the next round reads: after which seq."""
        self._read: dict[str, asyncio.Future[None]] = {}
        """Done when it was read, or could not be: shared by all who ask before it."""
        self._wake = asyncio.Event()
        self._recalled_s: dict[str, float] = {}

    async def recall(self, wanted: Mapping[str, int]) -> None:
        """Has streams read after these seqs; returns then, or after a bounded time."""
        loop = asyncio.get_running_loop()
        reads = {name: self._read.setdefault(name, loop.create_future()) for name in wanted}
        for name, after in wanted.items():
            self._after[name] = min(after, self._after.get(name, after))
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            async with patience(self._answer_limit_s):
                await asyncio.wait(reads.values())

    async def run(self) -> None:
        """Reads what is wanted, in rounds, until cancelled."""
        while True:
            stop_if_cancelled()
            await self._wake.wait()
            self._wake.clear()
            began_s = self._clock.monotonic_s()
            due = [name for name in self._after if self._has_rested(name, began_s)]
            if len(due) < len(self._after):
                self._wake.set()
            for start in range(0, len(due), _CHANNELS_MAX):
                names = due[start : start + _CHANNELS_MAX]
                reads = [self._read.pop(name) for name in names]
                await self._recall([(name, self._after.pop(name)) for name in names])
                for read in reads:
                    read.set_result(None)
            await asyncio.sleep(_ROUND_S - (self._clock.monotonic_s() - began_s))

    def _has_rested(self, name: str, now_s: float) -> bool:
        topic = self._hub.topics.get(name)
        return topic is None or now_s - topic.read_s >= _REST_S

    def tidy(self, now_s: float) -> None:
        """Forgets what nobody has come for of late."""
        for name, recalled_s in list(self._recalled_s.items()):
            if now_s - recalled_s >= _REMEMBERED_S:
                del self._recalled_s[name]
                if name in self._hub.topics:
                    self._hub.topics[name].history.forget()

    async def _recall(self, wanted: list[tuple[str, int]]) -> None:
        try:
            async with patience(self._answer_limit_s):
                heads = await self._bus.heads(wanted)
        except (RedisError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            _log.warning("histories can't be read (%s) channels=%d", reason, len(wanted))
            return
        at = moment(self._clock)
        for name, asked in wanted:
            head, topic = heads.get(name), self._hub.topics.get(name)
            if head is not None and topic is not None:
                topic.recall(head.log, asked, at)
                self._recalled_s[name] = at.monotonic_s
            # Others are served in between: 5,000 messages take 15 ms.
            await asyncio.sleep(0)
