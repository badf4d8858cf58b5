"""The reference client of the native protocol: subscribes, reconnects, and says what was missed.

    async for message in connect("ws://127.0.0.1:8787/v1/stream", key).subscribe("trade:sim:*"):
        match message:
            case {"px": price}: ...     # data is a dict, as README.md describes it
            case Gap() | Missed(): ...  # what will not come

    async with connect(url, key) as stream:  # to subscribe and unsubscribe while it runs
        await stream.subscribe("trade:sim:*")
        async for message in stream: ...

Announcements are the Structs of `gateway.protocol`. After `Reconnecting` come the new connection's
`Welcome`, an `Ack` for what is subscribed again, and everything since; or a `Missed` or `Reset` for
each channel of which that can't be had any more.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from random import Random
from types import TracebackType

from feeds.market import Clock, Position, SystemClock
from feeds.market.channel import OnLag
from gateway.consumer.errors import (
    ChannelsRefusedError,
    ClosedError,
    CommandRefusedError,
    KeyRefusedError,
    RefusedError,
    StreamError,
    UnansweredError,
    UnreachableError,
)
from gateway.consumer.positions import Missed
from gateway.consumer.stream import Stream
from gateway.consumer.subscriber import Data, Message, Reconnecting
from gateway.protocol import (
    Accepted,
    Ack,
    Drain,
    EncodingName,
    Error,
    Gap,
    Lag,
    Rejected,
    Reset,
    State,
    Welcome,
)

__all__ = [
    "Accepted",
    "Ack",
    "ChannelsRefusedError",
    "ClosedError",
    "CommandRefusedError",
    "Connecting",
    "Data",
    "Drain",
    "Error",
    "Gap",
    "KeyRefusedError",
    "Lag",
    "Message",
    "Missed",
    "Position",
    "Reconnecting",
    "RefusedError",
    "Rejected",
    "Reset",
    "State",
    "Stream",
    "StreamError",
    "UnansweredError",
    "UnreachableError",
    "Welcome",
    "connect",
]


def connect(
    url: str,
    key: str,
    *,
    encoding: EncodingName = "json",
    clock: Clock | None = None,
    random: Random | None = None,
) -> "Connecting":
    """What `async with` makes a connected Stream of. `url` may be the gateway's http address."""
    # Random, but no secret: the jitter of reconnects.
    chance = random or Random()  # noqa: S311
    return Connecting(Stream(url, key, encoding, clock or SystemClock(), chance))


class Connecting(AbstractAsyncContextManager[Stream]):
    """A Stream, connected in the block and closed at its end. One use.

    The first connection is tried once: raises UnreachableError, KeyRefusedError, RefusedError,
    ClosedError. Later ones are tried until one holds, or the gateway says that it is in vain.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def subscribe(
        self,
        *channels: str,
        rate: str = "all",
        on_lag: OnLag | None = None,
        since: Mapping[str, Position] | None = None,
    ) -> AsyncIterator[Message]:
        """The messages of channels, for as long as somebody iterates.

        Raises as `Stream.subscribe`, and what ends the stream. One who leaves before the end leaves
        the closing to Python; `contextlib.aclosing` does it at once.
        """
        async with self as stream:
            await stream.subscribe(*channels, rate=rate, on_lag=on_lag, since=since)
            async for message in stream:
                yield message

    async def __aenter__(self) -> Stream:
        await self._stream.open()
        return self._stream

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stream.close()
