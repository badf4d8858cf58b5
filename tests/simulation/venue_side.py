"""A socket of the simulated venue: what it says comes in order, late, or never."""

import asyncio
from collections.abc import Sequence
from contextvars import Context, copy_context
from random import Random
from typing import Final, NamedTuple, Protocol

import msgspec
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.frames import Close

from feeds.market import Channel, Quote, Tick, Trade
from feeds.venue import Confirmed, Event, Leaving, ParseError

NAME: Final = "simex"
_LATENCY_S: Final = 0.03
_NEXT_S: Final = 1e-6


class Said(NamedTuple):
    """A frame, and what it tells of which channel: None for what is no data."""

    frame: str
    channel: str | None = None
    number: int = 0


class Host(Protocol):
    """Whose socket it is."""

    random: Random

    def asked(self, side: "Side", frame: str) -> None: ...

    def came(self, side: "Side", heard: Sequence[Said]) -> None: ...


class Side:
    """A socket, in the place of `VenueSocket`, of the process that opens it."""

    def __init__(self, exchange: Host, token: str) -> None:
        self._exchange = exchange
        self._context = copy_context()
        self.token = token
        """Of the lease under which its process opened it."""
        self.asked: set[str] = set()
        """Channels."""
        self.opened_s = 0.0
        self.is_mute = False
        """What is sent to it is lost on the way."""
        self._last_s = self._said_s = 0.0
        self._heard: list[Said] = []
        self._came = asyncio.Event()
        self._closed: ConnectionClosed | None = None

    # As the product sees it.

    async def messages(self) -> list[str]:
        while not self._heard:
            if self._closed is not None:
                raise self._closed
            self._came.clear()
            await self._came.wait()
        heard, self._heard = self._heard, []
        self._exchange.came(self, heard)
        return [said.frame for said in heard]

    async def send(self, frame: str) -> None:
        if self._closed is not None:
            raise self._closed
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self._exchange.random.uniform(0.1, 1.0) * _LATENCY_S
        self._said_s = max(due_s, self._said_s + _NEXT_S)
        loop.call_at(self._said_s, self._exchange.asked, self, frame, context=Context())

    # As the venue sees it.

    def tell(self, said: Said) -> None:
        if not self.is_mute:
            self._in_order(self._arrive, said)

    def end(self, code: int | None, reason: str = "") -> None:
        """After what is on its way. None: it breaks."""
        told = None if code is None else Close(code, reason)
        self._in_order(self._end, ConnectionClosedError(told, told, None if told is None else True))

    def _in_order(self, what: object, *arguments: object) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self._exchange.random.uniform(0.1, 1.0) * _LATENCY_S
        self._last_s = max(due_s, self._last_s + _NEXT_S)
        loop.call_at(self._last_s, what, *arguments, context=self._context)  # type: ignore[arg-type]

    def _arrive(self, said: Said) -> None:
        self._heard.append(said)
        self._came.set()

    def _end(self, error: ConnectionClosed) -> None:
        self._closed = self._closed or error
        self._came.set()


class SideParser:
    """`["trade", symbol, number, px, t]`, `["quote", symbol, number, bid, ask, t]`, `["bye"]`,
    `["ok"]`, `["beat"]`."""

    def __init__(self, _: str | None) -> None:
        pass

    def feed(self, frame: str | bytes, received_ns: int | None) -> Sequence[Event]:
        received_us = None if received_ns is None else received_ns // 1_000
        match msgspec.json.decode(frame):
            case ["trade", symbol, number, price, at_us]:
                side = "buy" if number % 2 else "sell"
                trade = Trade(price, "0.5", side, str(number), at_us, received_us)  # type: ignore[arg-type]
                return [Tick(Channel("trade", NAME, symbol), trade)]
            case ["quote", symbol, number, bid, ask, at_us]:
                quote = Quote(bid, ask, "1", "2", at_us, received_us)
                return [Tick(Channel("quote", NAME, symbol), quote, number)]
            case ["bye"]:
                return [Leaving("simulated")]
            case ["ok"]:
                return [Confirmed()]
            case ["beat"]:
                return []
        raise ParseError("not of this venue", frame)
