"""What may be set about derivations."""

import msgspec

from feeds.derived.signal_settings import GradeSettings, SignalSettings


class PriceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The consolidated price."""

    venues_min: int = 2
    """With fewer venues that vote there is no price."""
    floor_ppm: int = 50
    """The least half spread that a venue votes with, in millionths of its price: a venue that
    shows no spread is not certain."""
    age_max_ms: int = 10_000
    """A quote that is older does not vote."""
    late_max_ms: int = 2_000
    """How late a quote may come, by the venue's own time on it, and be new: that is the way, or
    clocks that don't agree. What it is late beyond that counts as its age."""
    rate_age_max_ms: int = 60_000
    """The same as `age_max_ms` for what converts others (`conversions`): currencies that are worth
    the same move seldom, and what stands is not sent again."""
    interval_ms: int = 50
    """At most one message of a pair in so long."""
    repeat_ms: int = 1_000
    """While nothing moves, one message in so long."""
    conversions: tuple[str, ...] = ("USDT-USD",)
    """Which quotes may vote on which others, each through our own price of the two."""


class CandleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Candles."""

    lateness_ms: int = 2_000
    """How late a trade may come, by the venue's own clock, before its second is final."""
    ahead_max_ms: int = 2_000
    """How far a venue's clock may be ahead of ours to be believed."""
    behind_max_ms: int = 5_000
    """How far a venue may be behind another one that trades the pair, by their stamps, to be waited
    for in candles of all venues together: what comes later corrects them."""
    running_ms: int = 1_000
    """Between two messages of a candle that is not final; a sixtieth of its interval, where that
    is longer, and a quarter of it, where that is shorter."""
    correctable_s: int = 30
    """How many final seconds are kept to be corrected, at most 60: a trade that is later is only
    counted, and longer intervals that lack it are partial."""
    flat_max: int = 600
    """Flat seconds in a row that are told at once, after a pause, and some more to a full minute;
    those before are left out."""


class OutcomeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of signals."""

    cost_bps: float = 20.0
    """What getting in and out costs, together, in hundredths of a percent: two takers' fees of
    0.1 % each."""
    wait_s: float = 30.0
    """How long after its horizon's end a signal waits for a live price, at most as long as its
    horizon is; over candles, one candle longer."""


class DerivedChoices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of them: `[derived]` in the file."""

    price: PriceSettings = PriceSettings()
    candle: CandleSettings = CandleSettings()
    signal: SignalSettings = SignalSettings()
    grade: GradeSettings = GradeSettings()
    outcome: OutcomeSettings = OutcomeSettings()
    enabled: bool = True
    """Whether anything is derived: prices, candles, signals."""
    others: bool = True
    """Whether venues that other feeds processes on the same Redis publish are derived from, too."""


class DerivedSettings(DerivedChoices, frozen=True, forbid_unknown_fields=True):
    """What derivations are told: what was chosen, and what the process knows."""

    simulated: bool = False
    """Whether all that is heard is generated or replayed. Only then is it derived from, and one
    market is enough for a price."""
