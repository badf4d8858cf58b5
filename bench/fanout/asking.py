"""The asker of bench.fanout.history: `python -m bench.fanout.asking SOCKET PORT KEY RATE SECONDS`.

Asks for candles, open loop, from the first tick that is published: request n is due at n / RATE
whatever happened to those before it, and late ones are counted from when they were due.
"""

import asyncio
import sys
import time
from collections import Counter
from typing import Final

import msgspec
from redis import Redis

from bench.fanout.loads import channel
from feeds.market.bus_names import topic

CHANNELS: Final = 16
MESSAGES: Final = 1_000
"""Of each: what a stream of candles keeps."""
_CONNECTIONS: Final = 16
_START_LIMIT_S: Final = 60.0
_PATIENCE_S: Final = 10.0


class Asking(msgspec.Struct, frozen=True):
    """What the asker tells when it is done; times from when a request was due."""

    requests: int
    statuses: dict[str, int]
    bytes: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_s: float


def candle_channel(number: int) -> str:
    return f"candle.1m:bench:C{number:05d}-USD"


async def asking(port: int, key: str, rate_per_s: float, seconds: float) -> Asking:
    count = max(1, round(rate_per_s * seconds))
    start_s, before_s = time.monotonic(), time.process_time()
    numbers = iter(range(count))
    took_s: list[float] = []
    statuses: Counter[str] = Counter()
    sizes: list[int] = []

    async def ask_on() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            due_s = start_s + number / rate_per_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            name = candle_channel(number % CHANNELS)
            head = f"GET /v1/candles?channel={name}&limit=100 HTTP/1.1\r\nHost: localhost\r\n"
            writer.write(f"{head}X-API-Key: {key}\r\n\r\n".encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            status, _, headers = answer.partition(b"\r\n")
            length = headers.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
            body = await reader.readexactly(int(length))
            took_s.append(time.monotonic() - due_s)
            statuses[status.split()[1].decode()] += 1
            sizes.append(len(body))
        writer.close()
        await writer.wait_closed()

    async with asyncio.timeout(seconds + _PATIENCE_S), asyncio.TaskGroup() as group:
        for _ in range(_CONNECTIONS):
            group.create_task(ask_on())
    ranked = sorted(took_s)
    at_ms = [ranked[int(share * (len(ranked) - 1))] * 1_000 for share in (0.5, 0.99, 1.0)]
    return Asking(
        requests=count,
        statuses=dict(statuses),
        bytes=sum(sizes),
        p50_ms=round(at_ms[0], 2),
        p99_ms=round(at_ms[1], 2),
        max_ms=round(at_ms[2], 2),
        cpu_s=round(time.process_time() - before_s, 3),
    )


def await_first_tick(path: str) -> None:
    """Before it the gateway is left alone: a rig waits for it to be quiet."""
    with Redis(unix_socket_path=path) as redis, redis.pubsub() as heard:
        heard.subscribe(topic(channel(0)))
        deadline_s = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < deadline_s:
            message = heard.get_message(timeout=1.0)
            if message is not None and message["type"] == "message":
                return
    raise TimeoutError("nobody published")


def main() -> None:
    path, port, key, rate_per_s, seconds = sys.argv[1:]
    await_first_tick(path)
    told = asyncio.run(asking(int(port), key, float(rate_per_s), float(seconds)))
    print(msgspec.json.encode(told).decode())


if __name__ == "__main__":
    main()
