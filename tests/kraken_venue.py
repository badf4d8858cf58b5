"""Kraken on loopback: it speaks the dialect of version 2, and keeps books of its own.

They are kept plainly, and summed by the venue's documentation, not by our code.
"""

import asyncio
import contextlib
import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from zlib import crc32

from tests.venue_server import DEADLINE_S, Side

Request = tuple[str, str, list[str]]
"""Its method, its channel, its symbols."""


class PairBook:
    """One pair's: ten levels a side, their sizes by their prices."""

    def __init__(self, symbol: str, centre: Decimal) -> None:
        self.symbol = symbol
        self.bids = {str(centre - step): "1.00000000" for step in range(1, 11)}
        self.asks = {str(centre + step): "1.00000000" for step in range(1, 11)}

    @property
    def best(self) -> tuple[str, str, str, str]:
        """As a quote has them: bid, ask and their sizes."""
        bid, ask = max(self.bids, key=Decimal), min(self.asks, key=Decimal)
        return bid, ask, self.bids[bid], self.asks[ask]

    @property
    def checksum(self) -> int:
        rows = [(price, self.asks[price]) for price in sorted(self.asks, key=Decimal)]
        rows += [(price, self.bids[price]) for price in sorted(self.bids, key=Decimal)[::-1]]
        return crc32(
            b"".join(number.replace(".", "").lstrip("0").encode() for row in rows for number in row)
        )

    def snapshot(self, *, off: int = 0) -> str:
        return self._frame("snapshot", self.bids, self.asks, self.checksum + off)

    def bid(self, size: str, *, off: int = 0) -> str:
        """The update in which the best bid gets that size; its checksum is `off` by so much."""
        price = self.best[0]
        self.bids[price] = size
        return self._frame("update", {price: size}, {}, self.checksum + off)

    def _frame(self, kind: str, bids: dict[str, str], asks: dict[str, str], checksum: int) -> str:
        # Kraken's numbers are bare, with all their zeros, which `json` would drop.
        told = [
            ",".join(f'{{"price":{price},"qty":{size}}}' for price, size in side.items())
            for side in (bids, asks)
        ]
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{self.symbol}",'
            f'"bids":[{told[0]}],"asks":[{told[1]}],"checksum":{checksum % 2**32}}}]}}'
        )


class KrakenSide:
    """The venue's end of one connection. What it is asked for is in `asked`, in order."""

    def __init__(self, side: Side, books: Iterable[PairBook], *, spoilt: str = "") -> None:
        """The first snapshot of the pair `spoilt` fails its checksum."""
        self.side = side
        self.books = {book.symbol: book for book in books}
        self.asked: list[Request] = []
        self.came = asyncio.Event()
        self._spoilt = spoilt
        self.answers = asyncio.Event()
        """While it is not set, requests wait."""
        self.answers.set()

    async def serve(self) -> None:
        """Answers what it is asked, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                request = json.loads(await self.side.received())
                if request["method"] != "ping":
                    await self._take(request["method"], request["params"])

    async def asked_for(self, count: int) -> list[Request]:
        """All requests, once there were as many."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.asked) < count:
                self.came.clear()
                await self.came.wait()
        return self.asked

    async def _take(self, method: str, params: dict[str, Any]) -> None:
        self.asked.append((method, params["channel"], params["symbol"]))
        self.came.set()
        await self.answers.wait()
        await self._answer(method, params)

    async def _answer(self, method: str, params: dict[str, Any]) -> None:
        for symbol in params["symbol"]:
            result = {"channel": params["channel"], "symbol": symbol}
            await self.side.send(json.dumps({"method": method, "result": result, "success": True}))
            if method == "subscribe" and params["channel"] == "book":
                assert params["depth"] == 10
                await self.side.send(self.books[symbol].snapshot(off=symbol == self._spoilt))
                if symbol == self._spoilt:
                    self._spoilt = ""
