"""What venues have in common that speak JSON: frames that can't be read, numbers as written, trade
ids, a book's empty side. Pure."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated

import msgspec

from feeds.listing import Listing
from feeds.market import Channel, Tick, Trade, digits
from feeds.market.digits import is_zero
from feeds.venue import Event, ParseError

_UNREADABLE = (ValueError, RecursionError)
"""All that `read` may raise: msgspec's errors, ours and Unicode's are ValueErrors, and msgspec
answers deep nesting with RecursionError."""

Count = Annotated[int, msgspec.Meta(ge=0)]
TradeId = Annotated[int, msgspec.Meta(ge=0)] | str
"""Venues write ids as numbers or as text; ours are text, for some are beyond 2^53."""

_TRADE_ID = re.compile(r"[!-~]{1,64}\Z")


class FrameParser(ABC):
    """A venue's `Parser` but for what its frames say. What is wrong with one is a ParseError, with
    an excerpt."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing

    def feed(self, frame: str | bytes, received_ns: int | None) -> Sequence[Event]:
        """See `Parser.feed`."""
        received_us = None if received_ns is None else received_ns // 1_000
        try:
            return self.read(frame, received_us)
        except _UNREADABLE as error:
            raise ParseError(str(error), frame) from error

    @abstractmethod
    def read(self, frame: str | bytes, received_us: int | None) -> Sequence[Event]:
        """Everything that a frame says. May raise any ValueError, and RecursionError."""


def trade_id(written: int | str) -> str:
    """The id as text. Raises ValueError where it is blank, no plain ASCII or absurdly long."""
    text = str(written)
    if not _TRADE_ID.match(text):
        raise ValueError(f"not a trade id: {text[:40]!r}")
    return text


def written(number: msgspec.Raw) -> str:
    """A JSON number's own digits, or what a JSON string says; blank for null. Never a float."""
    text = str(number, "utf-8")
    if text.startswith('"'):
        return msgspec.json.decode(number, type=str)
    return "" if text == "null" else text


def opening(raw: msgspec.Raw) -> bytes:
    """The character that a JSON value begins with, which tells its type."""
    return memoryview(raw)[:1].tobytes()


def best(price: str | None) -> str:
    """A side's best price; blank where nobody stands there: no price, a blank one, or zero.

    That is no bad data: an illiquid pair's book does have empty sides, and a quote needs two.
    What is neither a price nor nothing (`-1`, `NaN`, `x`) raises DigitsError.
    """
    if not price:
        return ""
    plain = digits(price)
    return "" if is_zero(plain) else plain


def best_size(size: str | None) -> str | None:
    """What stands at the best price; None where the venue doesn't say. Raises DigitsError."""
    return digits(size) if size else None


def oldest_first(trades: list[tuple[Channel, Trade]]) -> list[Tick]:
    """The ticks of one message in the order in which they happened: by time, then by id.

    Ids are compared as numbers: of two without leading zeros the longer is the greater.
    """
    if len(trades) > 1:
        trades = sorted(trades, key=_age)
    return [Tick(channel, trade) for channel, trade in trades]


def _age(found: tuple[Channel, Trade]) -> tuple[int, int, str]:
    trade = found[1]
    return (trade.venue_us or 0, len(trade.id), trade.id)
