"""A stream of the reference client, and what is read of it, over a line that breaks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from gateway.client import (
    Ack,
    Data,
    Message,
    Reconnecting,
    State,
    Stream,
    connect,
)
from gateway.protocol import EncodingName
from tests.client_gateway import HOST, Eager, gateway
from tests.proxy import Proxy, proxy_to

TRADES = "trade:sim:BTC-USD"
QUOTES = "quote:sim:BTC-USD"


@contextlib.asynccontextmanager
async def line_to_gateway(redis_url: str) -> AsyncIterator[Proxy]:
    async with gateway(redis_url) as port, proxy_to(port) as line:
        yield line


@contextlib.asynccontextmanager
async def connected(port: int, key: str, encoding: EncodingName = "json") -> AsyncIterator[Stream]:
    """A stream that comes back without delay."""
    url = f"ws://{HOST}:{port}/v1/stream"
    async with asyncio.timeout(40), connect(url, key, encoding=encoding, random=Eager()) as stream:
        yield stream


async def read_until(stream: Stream, is_last: Callable[[Message], bool]) -> list[Message]:
    """All messages up to the first that is the last; states, which time decides, are left out."""
    read: list[Message] = []
    async for message in stream:
        if not isinstance(message, State):
            read.append(message)
        if is_last(message):
            return read
    raise AssertionError("a stream does not just end")


async def read(stream: Stream, count: int) -> list[Data]:
    """The next data, and nothing but data."""
    told: list[Data] = []
    async for message in stream:
        if isinstance(message, State):
            continue
        assert isinstance(message, dict), message
        told.append(message)
        if len(told) == count:
            break
    return told


def is_data(message: Message) -> bool:
    return isinstance(message, dict)


def is_ack(message: Message) -> bool:
    return isinstance(message, Ack)


def is_reconnecting(message: Message) -> bool:
    return isinstance(message, Reconnecting)
