"""A process that asks for one key's commands as fast as it may, as one gateway worker of several.

`python -m bench.limiting_worker REDIS_URL NAME RATE BURST SECONDS` prints what it was admitted, as
one JSON object. Open loop: it asks again as soon as it was told that it may.
"""

import asyncio
import sys
import time
from array import array
from typing import Final

import msgspec
from redis.asyncio import Redis

from feeds.market import SystemClock
from gateway.access.limit_store import LimitStore

ASKING_AT_ONCE: Final = 4


class Admitted(msgspec.Struct, frozen=True):
    """By one worker. The machine's monotonic seconds: all processes have the same."""

    began_s: float
    """Before the first question."""
    ended_s: float
    """After the last answer: all that was admitted, was admitted between the two."""
    count: int
    asked: int
    answers_us: list[int]
    """How long each answer of Redis took."""


async def ask_for(url: str, name: str, rate_per_s: float, burst: int, seconds: float) -> Admitted:
    """Until the time is up."""
    admitted, answers_us = 0, array("q")
    async with Redis.from_url(url) as redis:
        store = LimitStore(redis, SystemClock(), answer_limit_s=5.0)
        began_s = time.monotonic()
        end_s = began_s + seconds

        async def ask() -> None:
            nonlocal admitted
            while (asked_s := time.monotonic()) < end_s:
                known_s = store.refused_s(name)
                wait_s = await store.wait_s(name, rate_per_s, burst)
                if not known_s:
                    answers_us.append(round((time.monotonic() - asked_s) * 1e6))
                if wait_s:
                    await asyncio.sleep(min(wait_s, end_s - asked_s))
                else:
                    admitted += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(ASKING_AT_ONCE):
                group.create_task(ask())
        assert not store.is_away
    return Admitted(began_s, time.monotonic(), admitted, len(answers_us), list(answers_us))


def main() -> None:
    url, name, rate, burst, seconds = sys.argv[1:]
    admitted = asyncio.run(ask_for(url, name, float(rate), int(burst), float(seconds)))
    sys.stdout.buffer.write(msgspec.json.encode(admitted) + b"\n")


if __name__ == "__main__":
    main()
