"""EDGE (redis): the bus' heartbeat: published as a feed publishes, heard where its messages come.

A Redis that takes no writes (a primary that was demoted), or feeds this worker's subscription no
more, gives no beat, however well its sockets look. Each worker has its own: no feed need run.
"""

import asyncio
import secrets
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from feeds.market import Clock
from feeds.market.bus_names import topic
from gateway.bus.counts import BusCounts

# One script writes and publishes, as feeds/bus.lua does: where that can't, neither can this.
_BEAT: Final = """
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('PUBLISH', KEYS[1], ARGV[1])
"""
_KEPT_S: Final = 60
"""The key of a worker that has died is gone after that."""
_REMEMBERED: Final = 16


class Heartbeat:
    """Of one worker on its Redis."""

    def __init__(self, redis: Redis, counts: BusCounts, clock: Clock) -> None:
        self.name = f"beat:{secrets.token_hex(8)}"
        """To subscribe to, as to a channel."""
        self.topic = topic(self.name).encode()
        self.failure: Exception | None = None
        """Why the last one could not be published."""
        self._redis = redis
        self._counts = counts
        self._clock = clock
        self._number = 0
        self._sent_s: dict[bytes, float] = {}
        """Of those that have not come back."""

    async def send(self, limit_s: float) -> None:
        """Publishes one; where that fails, its silence will tell."""
        self._number += 1
        self._sent_s.pop(b"%d" % (self._number - _REMEMBERED), None)
        beat = b"%d" % self._number
        self._sent_s[beat] = self._clock.monotonic_s()
        try:
            async with asyncio.timeout(limit_s):
                await self._redis.eval(_BEAT, 1, self.topic, beat, str(_KEPT_S))
        except (RedisError, OSError, TimeoutError) as error:
            self.failure = error
        else:
            self.failure = None

    def hear(self, message: bytes) -> None:
        """One has come back."""
        now_s = self._clock.monotonic_s()
        self._counts.beat_heard_s = now_s
        sent_s = self._sent_s.pop(message, None)
        if sent_s is not None:
            self._counts.round_trip_s.observe(now_s - sent_s)
