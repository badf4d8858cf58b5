"""A process that holds one key's connection slots, as a gateway worker does, until it is killed.

`python -m tests.slot_holder REDIS_URL HOLDER COUNT LEASE_S` prints a line once it holds them.
"""

import asyncio
import sys

from redis.asyncio import Redis

from feeds.market import SystemClock
from gateway.access.limit_store import LimitStore
from gateway.access.plans import PLANS
from gateway.access.slots import Slots


async def main(url: str, holder_id: str, count: int, lease_s: float) -> None:
    """Until killed."""
    async with Redis.from_url(url) as redis, asyncio.TaskGroup() as group:
        store = LimitStore(redis, SystemClock(), answer_limit_s=5.0)
        slots = Slots(redis, store, "killed", end=print, lease_s=lease_s, renew_s=lease_s / 5)
        group.create_task(slots.run())
        for number in range(count):
            assert await slots.open(f"session-{number}", holder_id, PLANS["pro"])
        print("held", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
