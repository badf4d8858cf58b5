"""The toy venue's feed, a process to be killed: `python -m tests.chaos.feed REDIS_URL RUN RATE`.

The real publisher with what `truth.tick` says. It prints a line once it has said something on each
channel; at SIGTERM it stops saying, has Redis take what is held, and prints the last n of each.
"""

import asyncio
import json
import signal
import sys
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from feeds.market import Channel, Status, SystemClock, Tick
from feeds.publisher import Publisher
from feeds.settings import PublisherSettings
from tests.chaos.truth import CHANNELS, VENUE, Said, tick

_STEP_S: Final = 0.02
_STATUS_EVERY_S: Final = 1.0
_DRAIN_LIMIT_S: Final = 30.0
_SETTINGS: Final = PublisherSettings(answer_limit_s=2.0)


class Venue:
    """Says a message on each channel in turn, at a pace."""

    def __init__(self, publisher: Publisher, run: int, ticks_per_s: float) -> None:
        self._publisher = publisher
        self._run = run
        self._ticks_per_s = ticks_per_s
        self._channels = [Channel.parse(name) for name in CHANNELS]
        self._status = Channel("status", VENUE, "VENUE")
        self._clock = SystemClock()
        self._count = 0

    async def say(self, stopping: asyncio.Event) -> None:
        self._publisher.register([*self._channels, self._status])
        since_us = self._clock.now_ns() // 1_000
        start_s, status_due_s = self._clock.monotonic_s(), 0.0
        while not stopping.is_set():
            now_s, now_us = self._clock.monotonic_s(), self._clock.now_ns() // 1_000
            if now_s >= status_due_s:
                status_due_s = now_s + _STATUS_EVERY_S
                told = Status("live", since_us, received_us=now_us)
                self._publisher.offer([Tick(self._status, told)])
            due = int((now_s - start_s) * self._ticks_per_s)
            if due - self._count > self._ticks_per_s:
                # It was stopped for long: what a venue said meanwhile is not ours to make up.
                start_s, due = now_s - self._count / self._ticks_per_s, self._count
            self._publisher.offer(
                [self._tick(number, now_us) for number in range(self._count, due)]
            )
            if self._count < len(self._channels) <= due:
                print("speaks", flush=True)
            self._count = due
            await asyncio.sleep(_STEP_S)

    def _tick(self, number: int, now_us: int) -> Tick:
        n, at = divmod(number, len(self._channels))
        return tick(self._channels[at], Said(self._run, n + 1), now_us)

    def last(self) -> dict[str, int]:
        """The last n of each channel."""
        whole, over = divmod(self._count, len(self._channels))
        return {name: whole + (at < over) for at, name in enumerate(CHANNELS)}


async def main() -> None:
    url, run, ticks_per_s = sys.argv[1:]
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    redis = Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=None)
    async with redis, asyncio.TaskGroup() as group:
        publisher = Publisher(redis, _SETTINGS, SystemClock())
        publishing = group.create_task(publisher.run())
        venue = Venue(publisher, int(run), float(ticks_per_s))
        await venue.say(stopping)
        async with asyncio.timeout(_DRAIN_LIMIT_S):
            await publisher.drain()
        publishing.cancel()
    told = {"last": venue.last(), "dropped": publisher.counts.dropped}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
