"""What happened at a venue, once normalised: payloads, and the channel that each belongs to.

A payload is exactly what a subscriber gets, less what the bus and the gateway add (`ch`, `seq`,
`tx`, `gw`). Prices and sizes are validated decimal strings; times are integer microseconds UTC.
"""

from typing import Literal

import msgspec

from feeds.market.channel import Channel

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


class Quote(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The best bid and ask. A size is None where the venue gives none."""

    bid: str
    ask: str
    bid_size: str | None = msgspec.field(name="bid_sz", default=None)
    ask_size: str | None = msgspec.field(name="ask_sz", default=None)
    venue_us: int | None = msgspec.field(name="t", default=None)
    received_us: int | None = msgspec.field(name="rx", default=None)


class Book(msgspec.Struct, frozen=True, omit_defaults=True):
    """The top of the order book, whole: best first."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    venue_us: int | None = msgspec.field(name="t", default=None)
    received_us: int | None = msgspec.field(name="rx", default=None)


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a venue's feed does, in one word; published on every change and once a second."""

    state: Literal["waiting", "live", "stale", "resync", "closed"]
    since_us: int = msgspec.field(name="since")
    """When this state began, microseconds UTC."""
    by: Literal["venue", "feed"] | None = None
    """Who is to blame, where the state is not `live`."""
    reason: str | None = None
    received_us: int | None = msgspec.field(name="rx", default=None)


Payload = Trade | Quote | Book | Status


class Tick(msgspec.Struct, frozen=True, gc=False):
    """A payload and the channel that it is to be published to."""

    channel: Channel
    payload: Payload
