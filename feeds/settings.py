"""What may be set about feeds: which venues, where they are, how the generated market moves."""

import msgspec

DEFAULT_VENUES = ("binance", "coinbase", "kraken", "bitstamp", "sim")


class VenueSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One venue's: `[venue.<name>]` in the file, `TICKGATE_VENUE_<NAME>_URL` in the environment."""

    url: str | None = None
    """The endpoint; None: the venue's own public one."""
    symbols: tuple[str, ...] | None = None
    """Our symbols (`BTC-USD`) to subscribe to; None: the venue's default ones."""


class SimSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The generated market, venue `sim`."""

    symbols: int = 8
    """How many pairs it trades."""
    ticks_per_s: float = 100.0
    """Trades and quotes a second, over all pairs together."""
    seed: int = 1
    """The same seed gives the same prices in the same order."""


class ConnectionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a feed holds on to a venue's socket."""

    open_limit_s: float = 10.0
    """Seconds for a connection to open, DNS and TLS included."""
    backoff_first_s: float = 0.5
    """The pause after a first failure; doubled, jittered, up to `backoff_max_s`."""
    backoff_max_s: float = 30.0
    frame_bytes_max: int = 4 * 1024 * 1024


class PublisherSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How ticks get to Redis."""

    batch_ticks_max: int = 200
    """Ticks in one script call: what Redis does before it serves anyone else."""
    pipeline_batches_max: int = 20
    """Script calls sent before their answers are awaited."""
    buffer_ticks_max: int = 100_000
    """Ticks held while Redis is slow or away; beyond it the oldest are dropped, counted and
    announced to subscribers as a gap by `feed`."""
    answer_limit_s: float = 5.0
    """Seconds that Redis may take to answer before the connection counts as dead."""


class FeedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that the feeds process is told."""

    venues: tuple[str, ...] = DEFAULT_VENUES
    venue: dict[str, VenueSettings] = {}
    sim: SimSettings = SimSettings()
    connection: ConnectionSettings = ConnectionSettings()
    publisher: PublisherSettings = PublisherSettings()
