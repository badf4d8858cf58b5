"""Question: what does a message of the bus cost a worker, by our Listener and by redis-py?

Both hear the same channel in one process each run, one after the other, with no subscriber behind
them; CPU is this process' own. `python -m bench.bus_reader`.
"""

import asyncio
import statistics
import sys
import time

import uvloop
from redis.asyncio import Redis

from bench.setting import described, redis_server
from feeds.market.bus_names import topic
from gateway.bus import Batch, Listener

_CHANNEL = "trade:sim:BTC-USD"
_MESSAGE = b'6b003 1851 - {"px":"68900.50","sz":"0.0015","side":"buy","id":"995","t":1763632800}'
_MESSAGES = 100_000
_REPEATS = 5


async def _publish(url: str) -> None:
    async with Redis.from_url(url) as redis:
        script = redis.register_script(
            "for i = 1, tonumber(ARGV[1]) do redis.call('PUBLISH', KEYS[1], ARGV[2]) end"
        )
        for _ in range(_MESSAGES // 1_000):
            await script(keys=[topic(_CHANNEL)], args=[1_000, _MESSAGE])


async def _by_listener(path: str) -> None:
    heard = 0
    done = asyncio.Event()

    def on_batch(batch: Batch) -> None:
        nonlocal heard
        heard += len(batch)
        if heard >= _MESSAGES:
            done.set()

    loop = asyncio.get_running_loop()
    transport, listener = await loop.create_unix_connection(lambda: Listener(on_batch), path)
    await listener.subscribe([_CHANNEL])
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(_publish_elsewhere(path))
        await done.wait()
    transport.close()


async def _by_redis_py(path: str) -> None:
    async with Redis.from_url(f"unix://{path}") as redis, redis.pubsub() as pubsub:
        await pubsub.subscribe(topic(_CHANNEL))
        heard = 0
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(_publish_elsewhere(path))
            async for message in pubsub.listen():
                heard += message["type"] == "message"
                if heard >= _MESSAGES:
                    break


async def _publish_elsewhere(path: str) -> None:
    """In a process of its own, so that only the reading is measured."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.bus_reader", f"unix://{path}"
    )
    assert await process.wait() == 0


def main() -> None:
    if len(sys.argv) > 1:
        asyncio.run(_publish(sys.argv[1]))
        return
    ways = {"Listener": _by_listener, "redis-py": _by_redis_py}
    micros: dict[str, list[float]] = {name: [] for name in ways}
    with redis_server() as path:
        for _ in range(_REPEATS):
            for name, way in ways.items():
                started_s = time.process_time()
                uvloop.run(way(path))
                micros[name].append((time.process_time() - started_s) / _MESSAGES * 1e6)
    for line in described():
        print(line)
    for name, values in micros.items():
        middle, low, high = statistics.median(values), min(values), max(values)
        print(f"{name}: {middle:.2f} µs of CPU a message ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
