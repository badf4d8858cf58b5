"""A consolidated price as subscribers are told it: enough to compute it again. Pure.

Every decimal is exact text. `px` and `conf` are absent where too few venues vote: `why` says so.
"""

from typing import Literal

import msgspec


class Vote(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What one venue contributed, or why it did not."""

    venue: str
    is_in: bool = msgspec.field(name="in")
    out: str | None = None
    """Why it did not vote; None where it did."""
    price: str | None = msgspec.field(name="px", default=None)
    """The middle of its bid and ask, in the quote that the venue trades."""
    half_spread: str | None = msgspec.field(name="half", default=None)
    """Negative where bid and ask are crossed."""
    age_ms: int | None = None
    """Since its quote was received, milliseconds; where that was late by the venue's own time on
    it, with what it was late by."""
    symbol: str | None = msgspec.field(name="of", default=None)
    """What it trades, where that is not the pair itself: `BTC-USDT`."""
    via: str | None = None
    """The channel by which its price was converted: `price:agg:USDT-USD`."""
    rate: str | None = None
    """That channel's price then."""
    rate_age_ms: int | None = None
    """That of the oldest quote that made it."""


class Price(msgspec.Struct, frozen=True, omit_defaults=True):
    """One price of many venues, and how it came about."""

    state: Literal["live", "waiting", "stale"]
    """`waiting`: there was no price yet; `stale`: there is none any more."""
    method: str
    version: int
    """Of what surrounds the method: who may vote, units, rounding."""
    voters: int
    venues_min: int = msgspec.field(name="min")
    """With fewer voters there is no price."""
    floor_ppm: int
    """The least half spread, in millionths of a venue's price."""
    age_max_ms: int
    """Older quotes do not vote."""
    votes: tuple[Vote, ...] = msgspec.field(name="venues")
    computed_us: int = msgspec.field(name="at")
    """When it was computed, microseconds UTC."""
    price: str | None = msgspec.field(name="px", default=None)
    confidence: str | None = msgspec.field(name="conf", default=None)
    why: str | None = None
    """Why there is no price."""
    received_us: int | None = msgspec.field(name="rx", default=None)
    """When the newest of the votes' quotes was received."""
