"""What may be set about feeds: which venues, where they are, how the generated market moves."""

from typing import Literal

import msgspec

from feeds.derived.settings import DerivedChoices
from feeds.market.channel import HISTORY_MAX, KINDS

DEFAULT_VENUES = ("binance", "coinbase", "kraken", "bitstamp", "okx", "sim")


class VenueSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One venue's: `[venue.<name>]` in the file, `TICKGATE_VENUE_<NAME>_URL` in the environment."""

    url: str | None = None
    """The endpoint; None: the venue's own public one."""
    symbols: tuple[str, ...] | None = None
    """Our symbols (`BTC-USD`) to subscribe to; None: the venue's default ones."""
    quotes: Literal["ticker", "book"] = "ticker"
    """What quotes are made of: the venue's own best bid and ask, or its order book, whose checksum
    proves each change (kraken only), at 4 to 10 times the messages, each at twice the CPU."""


class SimSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The generated market, venue `sim`."""

    symbols: int = 8
    """How many pairs it trades."""
    ticks_per_s: float = 100.0
    """Trades and quotes a second, over all pairs together."""
    seed: int = 1
    """The same seed gives the same prices in the same order."""
    burst_ticks_max: int = 500
    """Ticks made in one go when behind: what the event loop does before it serves anyone else."""
    behind_limit_s: float = 5.0
    """Seconds that it may be behind its schedule; what is due beyond is skipped and counted."""


class ConnectionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a feed holds on to a venue's socket."""

    open_limit_s: float = 10.0
    """Seconds for a connection to open, DNS and TLS included."""
    backoff_first_s: float = 0.5
    """The pause after a first failure; doubled, jittered, up to `backoff_max_s`."""
    backoff_max_s: float = 30.0
    """The longest pause between two attempts."""
    steady_after_s: float = 10.0
    """Seconds that a connection must have lasted, with data, for its failures to be forgotten:
    a venue that throws us out right after a snapshot must not be stormed."""
    overlap_s: float = 3.0
    """Seconds that the old socket is kept beside the next one, once both give data."""
    overlap_ticks_max: int = 20_000
    """Ticks of the next one that are held back meanwhile; beyond it the old one is left."""
    data_silence_limit_s: float = 60.0
    """Seconds without a trade or quote, whatever else comes, after which the connection counts as
    dead. (Without any frame at all: the venue's own, shorter limit.)"""
    keepalive_s: float = 15.0
    """Between WebSocket pings, so that nobody on the way forgets a quiet connection. Their answers
    are not awaited: some venues give none while data flows. Silence is what ends a connection."""
    send_limit_s: float = 5.0
    """Seconds for the venue to take what we send."""
    close_limit_s: float = 1.0
    """Seconds for a closing handshake; then the socket is cut."""
    frame_bytes_max: int = 4 * 1024 * 1024
    """The largest message that a venue may send."""
    frames_queued_max: int = 64
    """Frames that wait for the parser before we stop reading from the socket."""
    proxy_from_environment: bool = True
    """Whether HTTPS_PROXY and NO_PROXY hold for venues, as for other programs. Never for
    loopback. A SOCKS proxy needs the package python-socks."""


class HistorySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What each channel's stream in Redis keeps: for who comes back, for repairs and for REST.
    Approximately: Redis trims whole nodes of some hundred messages."""

    trade: int = KINDS["trade"].history_max
    """Trades of each channel, and"""
    trade_s: float = 120.0
    """those of so many seconds, where that is more,"""
    messages_max: int = HISTORY_MAX
    """but never more than so many: what one who comes back is told at most. About 200 B each."""
    candle: int = KINDS["candle"].history_max
    """Candles of each channel, the running ones included. (Final ones have a list of their own.)"""
    signal: int = KINDS["signal"].history_max
    """Signals of each channel, and outcomes."""
    newest: int = KINDS["quote"].history_max
    """Quotes, prices, grades and statuses of each channel: only the newest is told to who comes
    back; what was before it repairs holes."""


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
    history: HistorySettings = HistorySettings()
    lease_s: float = 2.0
    """Seconds without a sign of life after which another feeds process on the same Redis, where
    there is one, takes a venue over. Renewed four times as often."""


class LedgerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The record of all signals and of what came of them."""

    path: str = ""
    """The file; that of a simulated market gets `-simulated` before its suffix. Empty:
    `ledger.sqlite` in the data directory."""
    segment_bytes_max: int = 256 * 1024 * 1024
    """A file of that size is followed by another (`ledger.sqlite.segment-0002`); it never changes
    again, and may be moved away."""


class FeedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that the feeds process is told."""

    venues: tuple[str, ...] = DEFAULT_VENUES
    """Which venues to take ticks from; `sim` is the generated market."""
    venue: dict[str, VenueSettings] = {}
    sim: SimSettings = SimSettings()
    connection: ConnectionSettings = ConnectionSettings()
    publisher: PublisherSettings = PublisherSettings()
    derived: DerivedChoices = DerivedChoices()
    ledger: LedgerSettings = LedgerSettings()
