"""What happened at a venue, once normalised: payloads, and the channel that each belongs to.

A payload is exactly what a subscriber gets, less what the bus and the gateway add (`ch`, `seq`,
`tx`, `gw`). Prices and sizes are validated decimal strings; times are integer microseconds UTC.
"""

from typing import Literal

import msgspec

from feeds.market.candle import Candle
from feeds.market.channel import Channel
from feeds.market.price import Price
from feeds.market.publication import Missing
from feeds.market.signal import Grade, Outcome, Signal

Side = Literal["buy", "sell"]
Level = tuple[str, str]
"""A price and the size that stands there."""


class Trade(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One trade. `side` is the taker's, always: `buy` means that somebody took the ask."""

    price: str = msgspec.field(name="px")
    size: str = msgspec.field(name="sz")
    side: Side
    id: str
    """The venue's own trade id, as text: ids above 2^53 occur."""
    venue_us: int | None = msgspec.field(name="t", default=None)
    """When it happened, by the venue's clock; None where the venue gives no time."""
    received_us: int | None = msgspec.field(name="rx", default=None)
    """When our feed had the frame in hand; None where that isn't known (an undated recording)."""
    suspect: bool = False
    """Whether our feed doubts it: feeds/watching/screen.py says why it may."""
    late: bool = False
    """Of a suspect one: only its place among the others is odd. It is a sound price, of when it
    happened, and counts in all that may still take it."""


class Quote(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The best bid and ask. A size is None where the venue gives none."""

    bid: str
    ask: str
    bid_size: str | None = msgspec.field(name="bid_sz", default=None)
    ask_size: str | None = msgspec.field(name="ask_sz", default=None)
    venue_us: int | None = msgspec.field(name="t", default=None)
    received_us: int | None = msgspec.field(name="rx", default=None)
    suspect: bool = False


class Book(msgspec.Struct, frozen=True, omit_defaults=True):
    """The top of the order book, whole: best first."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    venue_us: int | None = msgspec.field(name="t", default=None)
    received_us: int | None = msgspec.field(name="rx", default=None)


StateName = Literal["waiting", "live", "stale", "resync", "closed"]


class ChannelState(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one channel of a venue does, where that is not as the others do."""

    state: StateName
    since_us: int = msgspec.field(name="since")
    by: Literal["venue", "feed"] | None = None
    reason: str | None = None


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a venue's feed does, in one word; published on every change and once a second."""

    state: StateName
    since_us: int = msgspec.field(name="since")
    """When this state began, microseconds UTC."""
    by: Literal["venue", "feed"] | None = None
    """Who is to blame, where the state is not `live`."""
    reason: str | None = None
    received_us: int | None = msgspec.field(name="rx", default=None)
    channels: dict[str, ChannelState] = {}
    """Those that don't give data, by name, where others do: the others are live, whatever the
    venue's state is. Empty: what is said of the venue is said of all."""


Payload = Trade | Quote | Book | Status | Price | Candle | Signal | Outcome | Grade


class Tick(msgspec.Struct, frozen=True, gc=False):
    """A payload and the channel that it is to be published to."""

    channel: Channel
    payload: Payload
    sequence: int | None = None
    """The venue's own number of a quote, which only grows; None where it gives none."""
    missing: Missing | None = None
    """What should have come before this one and never will."""
    fills: int = 1
    """How many of the venue's own trades a trade is, where it sends the fills of one order
    together: their ids count up to this one's."""
