"""What may be set about derivations."""

import msgspec


class PriceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The consolidated price."""

    venues_min: int = 2
    """With fewer venues that vote there is no price."""
    floor_ppm: int = 50
    """The least half spread that a venue votes with, in millionths of its price: a venue that
    shows no spread is not certain."""
    age_max_ms: int = 10_000
    """A quote that is older does not vote."""
    interval_ms: int = 50
    """At most one message of a pair in so long."""
    repeat_ms: int = 1_000
    """While nothing moves, one message in so long."""
    conversions: tuple[tuple[str, str], ...] = (("USDT", "USD"),)
    """Which quotes may vote on which others, each through our own price of the two."""


class CandleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Candles."""

    lateness_ms: int = 2_000
    """How late a trade may come, by the venue's own clock, before its second is final."""
    ahead_max_ms: int = 2_000
    """How far a venue's clock may be ahead of ours to be believed."""
    running_ms: int = 1_000
    """Between two messages of a candle that is not final; a sixtieth of its interval, where that
    is longer, and a quarter of it, where that is shorter."""
    correctable_s: int = 30
    """How many final seconds are kept to be corrected, at most 60: a trade that is later changes
    nothing and is counted."""
    flat_max: int = 600
    """Flat seconds in a row that are told at once, after a pause; those before are left out."""


class DerivedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of them."""

    price: PriceSettings = PriceSettings()
    candle: CandleSettings = CandleSettings()
