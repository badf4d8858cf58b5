"""A subscriber by the public protocol, on a plain WebSocket library: what tests listen with."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

DEADLINE_S = 20.0
"""Longer than anything here takes; only a failing test waits so long."""

Message = dict[str, Any]


class Client:
    """A subscriber by the public protocol, on a plain WebSocket library."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.is_binary = connection.subprotocol == "tickgate.v1.msgpack"
        self.heard: list[Message] = []
        """Everything so far, in order."""
        self._ids = itertools.count(1)

    async def say(self, command: object) -> None:
        """Sends a command, or text and bytes as they are."""
        if not isinstance(command, str | bytes):
            encode = msgspec.msgpack.encode if self.is_binary else msgspec.json.encode
            command = encode(command) if self.is_binary else encode(command).decode()
        async with asyncio.timeout(DEADLINE_S):
            await self.connection.send(command)

    async def hear(self) -> Message:
        """The next message. Raises ConnectionClosed."""
        async with asyncio.timeout(DEADLINE_S):
            frame = await self.connection.recv()
        assert isinstance(frame, bytes) == self.is_binary
        message: Message
        if isinstance(frame, bytes):
            message = msgspec.msgpack.decode(frame)
        else:
            message = msgspec.json.decode(frame)
        self.heard.append(message)
        return message

    async def hear_until(self, is_wanted: Callable[[Message], object]) -> Message:
        """The next message that is wanted; the others are in `heard`."""
        async with asyncio.timeout(DEADLINE_S):
            while not is_wanted(message := await self.hear()):
                pass
        return message

    async def ask(self, op: str, **fields: Any) -> Message:
        """Sends a command with an id of its own; the reply to it."""
        command_id = next(self._ids)
        await self.say({"op": op, "id": command_id, **fields})
        return await self.hear_until(lambda told: told.get("id") == command_id)

    async def subscribe(self, *channels: str, **fields: Any) -> list[Message]:
        """What the ack tells of each channel, all of which must be accepted."""
        ack = await self.ask("subscribe", channels=list(channels), **fields)
        assert ack["type"] == "ack", ack
        assert ack["err"] == [], ack
        accepted: list[Message] = ack["ok"]
        return accepted

    async def data(self, count: int) -> list[Message]:
        """The next messages that are data, and nothing else."""
        found: list[Message] = []
        while len(found) < count:
            found.append(await self.hear_until(lambda told: "type" not in told))
        return found

    async def hear_whole(self, first: int, last: int) -> None:
        """Hears `first` to `last` of one channel in order, without a gap or a reset between."""
        start = len(self.heard)
        assert seqs(await self.data(last - first + 1)) == list(range(first, last + 1))
        told = {message.get("type") for message in self.heard[start:]}
        assert told <= {None, "state"}, told

    async def state(self, channel: str, state: str) -> Message:
        """Waits to be told that a channel is in a state."""
        wanted = ("state", channel, state)
        return await self.hear_until(
            lambda told: (told.get("type"), told.get("ch"), told.get("state")) == wanted
        )

    @property
    def transport(self) -> asyncio.Transport:
        """The socket, for what a well-behaved client does not do."""
        return self.connection.transport

    async def close_code(self) -> int:
        """Listens until the other side has closed."""
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    await self.hear()
        code = self.connection.close_code
        assert code is not None
        return code


@contextlib.asynccontextmanager
async def client_of(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    encoding: str | None = None,
    welcome: bool = True,
    **named: Any,
) -> AsyncIterator[Client]:
    """A connected client; its `welcome` is the first of `heard`, unless there is none to come."""
    subprotocols = [Subprotocol(f"tickgate.v1.{encoding}")] if encoding else None
    async with connect(
        url,
        additional_headers=headers,
        subprotocols=subprotocols,
        open_timeout=DEADLINE_S,
        close_timeout=1.0,
        ping_interval=None,
        compression=None,
        proxy=None,
        **named,
    ) as connection:
        client = Client(connection)
        if welcome:
            assert (await client.hear())["type"] == "welcome"
        yield client


async def refusal_of(url: str, headers: dict[str, str] | None = None, **named: Any) -> Any:
    """Status, headers and body of the HTTP answer to an upgrade that is refused."""
    with pytest.raises(InvalidStatus) as raised:
        async with client_of(url, headers=headers, welcome=False, **named):
            pass
    response = raised.value.response
    assert response.body is not None
    return response.status_code, response.headers, msgspec.json.decode(response.body)


def seqs(messages: list[Message]) -> list[int]:
    return [message["seq"] for message in messages]
