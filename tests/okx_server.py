"""A venue that speaks OKX's dialect: it answers each channel of a request by itself, sends the last
trade and the best prices at once, takes text pings, and gives its numbers to all connections alike.

After https://www.okx.com/docs-v5/en/ and the order of messages in captured connections.
"""

import json
from collections.abc import Sequence
from typing import Any

from tests.venue_server import Side, VenueServer

MATCH_MS = 1_700_000_000_000
"""When the first trade was made; each later one a millisecond after the one before."""


def trade(id_: int, symbol: str = "BTC-USDT", *, fills: int = 1) -> str:
    """A trade whose values follow from its id, which is that of the last of its fills."""
    made = {
        "instId": symbol,
        "tradeId": str(id_),
        "px": "84000.1",
        "sz": "0.01",
        "side": "buy",
        "ts": str(MATCH_MS + id_),
        "count": str(fills),
        "source": "0",
        "seqId": 10 * id_,
    }
    return json.dumps({"arg": {"channel": "trades", "instId": symbol}, "data": [made]})


def quote(sequence: int, symbol: str = "BTC-USDT", *, at_ms: int | None = None) -> str:
    """A quote whose bid follows from its number."""
    best = {
        "asks": [["90000", "0.25", "0", "3"]],
        "bids": [[str(80_000 + sequence % 1_000), "1.5", "0", "12"]],
        "ts": str(MATCH_MS + sequence if at_ms is None else at_ms),
        "seqId": sequence,
    }
    return json.dumps({"arg": {"channel": "bbo-tbt", "instId": symbol}, "data": [best]})


class OkxSide:
    """OKX's end of one connection."""

    def __init__(self, side: Side, symbols: Sequence[str]) -> None:
        self.side = side
        self.pings = 0
        self.requests: list[tuple[str, list[tuple[str, str]]]] = []
        """Each operation, and the channels and symbols that it named."""
        self._symbols = symbols

    async def answer(self) -> None:
        """The next message of the client."""
        frame = await self.side.received()
        assert isinstance(frame, str)
        if frame == "ping":
            self.pings += 1
            await self.side.send("pong")
            return
        request = json.loads(frame)
        named = [(one["channel"], one["instId"]) for one in request["args"]]
        self.requests.append((request["op"], named))
        for argument in request["args"]:
            await self.side.send(json.dumps(self._answer(request["op"], argument)))

    async def ask_away(self, requests: int = 1) -> None:
        """Answers until the client has made so many requests, and any pings between them."""
        while len(self.requests) < requests:
            await self.answer()

    async def announce_the_end(self) -> None:
        notice = {
            "event": "notice",
            "code": "64008",
            "msg": "The connection will soon be closed for a service upgrade. Please reconnect.",
            "connId": "a4d3ae55",
        }
        await self.side.send(json.dumps(notice))

    def _answer(self, operation: str, argument: dict[str, Any]) -> dict[str, Any]:
        if argument["instId"] in self._symbols:
            return {"event": operation, "arg": argument, "connId": "a4d3ae55"}
        named = f"channel:{argument['channel']},instId:{argument['instId']}"
        advice = "Please use the correct URL, channel and parameters referring to API document."
        return {
            "event": "error",
            "msg": f"Wrong URL or {named} doesn't exist. {advice}",
            "code": "60018",
            "connId": "a4d3ae55",
        }


async def next_okx_side(server: VenueServer, *symbols: str) -> OkxSide:
    """The next connection, once it has subscribed; `symbols` are all that OKX trades."""
    side = OkxSide(await server.next_side(), symbols or ("BTC-USDT",))
    await side.ask_away()
    return side
