"""The venue of bench.feed_path: `python -m bench.feed_path.venue VENUE STREAMS`; tells its port.

Once that many streams are subscribed to and stdin says `RATE TICKS`, plays captured frames, their
ids and times changed, open loop: tick n is due at start + n / RATE, whatever became of the others,
and says so in its `T` or `timestamp`.
"""

import asyncio
import json
import os
import re
import select
import sys
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve

from bench.processes import REPOSITORY

_CAPTURES = REPOSITORY / "tests" / "captures"
_FIRST_ID = 3_000_000_000
_WAKE_S = 0.00025
"""Between two writes: a venue's events come singly, and at 30,000 a second 33 µs apart."""


class Stream(NamedTuple):
    """Captured frames of one channel of one symbol."""

    ticks: int
    """In each frame."""
    frame: Callable[[int, int], bytes]
    """By how many came before it, and when it is due, microseconds UTC."""


def _captured(venue: str, *marks: str) -> str:
    """The first captured frame that has all marks."""
    lines = (_CAPTURES / venue / "frames.jsonl").read_text().splitlines()
    return next(line for line in lines if all(mark in line for mark in marks))


def _framed(payload: bytes) -> bytes:
    assert 126 <= len(payload) < 1 << 16, "the captured frames are of such lengths"
    return b"\x81\x7e" + len(payload).to_bytes(2, "big") + payload


def _binance(stream: str) -> Stream:
    """`timeUnit=MICROSECOND` is what the feed asks for. A spot bookTicker has no time."""
    native, _, kind = stream.partition("@")
    text = _captured("binance", f'@{kind}"', '"T"' if kind == "trade" else '"u"')
    captured = json.loads(text)["data"]["s"]
    text = text.replace(captured.lower(), native).replace(captured, native.upper())
    text = re.sub(r'"(E|T)":\d+', r'"\1":%(due)d', re.sub(r'"(t|u)":\d+', r'"\1":%(id)d', text))
    template = text.encode()

    def made(count: int, due_us: int) -> bytes:
        return _framed(template % {b"id": _FIRST_ID + count, b"due": due_us})

    return Stream(1, made)


def _kraken(channel: str, symbol: str) -> Stream:
    """Of trades the captured message has two."""
    text = _captured("kraken", f'"channel":"{channel}"', '"timestamp"').replace("BTC/USD", symbol)
    ids = iter(("first", "second"))
    text = re.sub(r'"trade_id":\d+', lambda _: f'"trade_id":%({next(ids)})d', text)
    template = re.sub(r'"timestamp":"[^"]+"', '"timestamp":"%(due)b"', text).encode()

    def made(count: int, due_us: int) -> bytes:
        seconds, below_us = divmod(due_us, 1_000_000)
        due = b"%b.%06dZ" % (time.strftime("%FT%T", time.gmtime(seconds)).encode(), below_us)
        first = _FIRST_ID + 2 * count
        return _framed(template % {b"due": due, b"first": first, b"second": first + 1})

    return Stream(max(1, text.count('"trade_id"')), made)


async def _streams(connection: ServerConnection, venue: str, count: int) -> list[Stream]:
    """What the feed subscribes to, by URL or by messages, until it is all."""
    assert connection.request is not None
    found: list[Stream] = []
    if venue == "binance":
        query = parse_qs(urlsplit(connection.request.path).query)
        found = [_binance(stream) for stream in query["streams"][0].split("/")]
    while len(found) < count:
        asked = json.loads(await connection.recv())["params"]
        found += [_kraken(asked["channel"], symbol) for symbol in asked["symbol"]]
    assert len(found) == count, "one connection has all streams"
    return found


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            select.select((), (descriptor,), ())


def _play(descriptor: int, streams: list[Stream], rate: float, ticks: int) -> dict[str, float]:
    """The event loop stands still meanwhile, so nothing else writes into the connection."""
    start_s = time.time() + 0.1
    tick, frame = 0, 0
    while tick < ticks:
        time.sleep(_WAKE_S)
        due = min(ticks, int((time.time() - start_s) * rate) + 1)
        ready = []
        while tick < due:
            count, place = divmod(frame, len(streams))
            stream = streams[place]
            ready.append(stream.frame(count, int((start_s + tick / rate) * 1e6)))
            tick += stream.ticks
            frame += 1
        _write(descriptor, b"".join(ready))
    late_s = max(0.0, time.time() - start_s - ticks / rate)
    return {"start_us": int(start_s * 1e6), "ticks": tick, "late_s": late_s}


async def _serve_one(venue: str, count: int) -> None:
    done = asyncio.Event()

    async def converse(connection: ServerConnection) -> None:
        streams = await _streams(connection, venue, count)
        print("ready", flush=True)
        rate, ticks = (await asyncio.to_thread(sys.stdin.readline)).split()
        descriptor = connection.transport.get_extra_info("socket").fileno()
        print(json.dumps(_play(descriptor, streams, float(rate), int(ticks))), flush=True)
        # The connection stays until nobody needs it: losing it would be an event of its own.
        await asyncio.to_thread(sys.stdin.readline)
        done.set()

    async with serve(converse, "127.0.0.1", 0, compression=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await done.wait()


if __name__ == "__main__":
    asyncio.run(_serve_one(sys.argv[1], int(sys.argv[2])))
