"""Settings to feeds: which venues, where they are and what to ask of them, checked beforehand."""

import logging
from collections.abc import Collection
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import msgspec
from redis.asyncio import Redis

from feeds.connection import FrameTap
from feeds.derived import DERIVATIONS
from feeds.derived.derivation import NO_MARKETS
from feeds.derived.models import lacks, missing
from feeds.derived.settings import DerivedChoices, DerivedSettings
from feeds.derived.signal_check import fault_of
from feeds.deriving.derived_feed import DerivedFeed
from feeds.errors import SettingError, UnknownVenueError
from feeds.feed import Bus, Feed, TickSink
from feeds.market import Clock, Instrument, InstrumentError
from feeds.settings import FeedSettings, LedgerSettings, VenueSettings
from feeds.sim import VENUE as SIM
from feeds.sim import SimFeed, check_sim
from feeds.venue import Subscription, Venue
from feeds.venue_feed import VenueFeed
from feeds.venues import VENUES

_DAY_MS = 86_400_000

_log = logging.getLogger(__name__)


def check_venues(settings: FeedSettings) -> None:
    """Raises SettingError for what no feed could run with; connects nothing."""
    known = (*VENUES, SIM)
    if not settings.venues:
        raise SettingError(f"no venue is chosen; there are {', '.join(known)}")
    for name in (*settings.venues, *settings.venue):
        if name not in known:
            raise UnknownVenueError(name, known)
    for name in settings.venues:
        if settings.venues.count(name) > 1:
            raise SettingError(f"the venue {name} is chosen twice")
        if name in VENUES:
            _wanted(_row_in_use(VENUES[name], settings), settings)
    check_sim(settings.sim)
    check_derived(settings.derived)


def check_derived(chosen: DerivedChoices) -> None:
    """Raises SettingError for what nothing could be derived by."""
    price, candle = chosen.price, chosen.candle
    for symbol in price.conversions:
        try:
            pair = Instrument.parse(symbol)
        except InstrumentError as error:
            raise SettingError(f"derived.price.conversions: {error}") from error
        if pair.contract or pair.base == pair.quote:
            raise SettingError(f"derived.price.conversions: {symbol} is no pair of two currencies")
    numbers = {
        "price.venues_min": (price.venues_min, 1, 1_000),
        "price.floor_ppm": (price.floor_ppm, 0, 1_000_000),
        "price.age_max_ms": (price.age_max_ms, 1, _DAY_MS),
        "price.late_max_ms": (price.late_max_ms, 0, _DAY_MS),
        "price.rate_age_max_ms": (price.rate_age_max_ms, 1, _DAY_MS),
        "price.interval_ms": (price.interval_ms, 1, _DAY_MS),
        "price.repeat_ms": (price.repeat_ms, 1, _DAY_MS),
        "candle.lateness_ms": (candle.lateness_ms, 0, 60_000),
        "candle.ahead_max_ms": (candle.ahead_max_ms, 0, 60_000),
        "candle.behind_max_ms": (candle.behind_max_ms, 0, _DAY_MS),
        "candle.running_ms": (candle.running_ms, 1, _DAY_MS),
        "candle.correctable_s": (candle.correctable_s, 0, 60),
        "candle.flat_max": (candle.flat_max, 1, 86_400),
    }
    for name, (number, least, most) in numbers.items():
        if not least <= number <= most:
            raise SettingError(f"derived.{name} must be {least} to {most}, is {number}")
    fault = fault_of(chosen.signal, chosen.grade)
    if fault is not None:
        raise SettingError(f"derived.{fault}")


def venue_row(name: str) -> Venue:
    """The exchange of a name. Raises UnknownVenueError."""
    if name not in VENUES:
        raise UnknownVenueError(name, tuple(VENUES))
    return VENUES[name]


def venue_feed(
    name: str,
    settings: FeedSettings,
    sink: TickSink,
    *,
    clock: Clock,
    random: Random,
    tap: FrameTap | None = None,
) -> VenueFeed:
    """The feed of an exchange. Raises SettingError."""
    row = _row_in_use(venue_row(name), settings)
    url, subscriptions = _wanted(row, settings)
    return VenueFeed(
        row,
        subscriptions,
        settings.connection,
        sink,
        clock=clock,
        random=random,
        url=url,
        tap=tap,
    )


def make_feed(
    name: str, settings: FeedSettings, sink: TickSink, *, clock: Clock, random: Random
) -> Feed:
    """The feed of an exchange or of the generated market. Raises SettingError."""
    if name == SIM:
        return SimFeed(settings.sim, sink, clock)
    return venue_feed(name, settings, sink, clock=clock, random=random)


def make_derived(
    settings: FeedSettings, venues: Collection[str], bus: Bus, redis: Redis, clock: Clock
) -> DerivedFeed | None:
    """What is made of the ticks of these venues; None: nothing is to be."""
    chosen = settings.derived
    if not chosen.enabled:
        return None
    # A generated market is none: what is said of live ones together is made without it. Where
    # there is nothing else, it may stand for them, and says so.
    simulated = NO_MARKETS.issuperset(venues)
    told = DerivedSettings(**msgspec.structs.asdict(chosen), simulated=simulated)
    for row in missing(chosen.signal):
        packages = ", ".join(lacks(row))
        _log.warning(
            "model %s is off: it needs %s (pip install 'tickgate[%s]')",
            row.name,
            packages,
            row.name,
        )
    ledger = ledger_path(settings.ledger, simulated=simulated)
    segment_bytes_max = settings.ledger.segment_bytes_max
    return DerivedFeed(
        DERIVATIONS, told, venues, bus, redis, clock=clock, ledger=ledger,
        segment_bytes_max=segment_bytes_max,
    )  # fmt: skip


def ledger_path(settings: LedgerSettings, *, simulated: bool) -> Path | None:
    """Where the ledger is; None: nowhere. That of a generated market is another one."""
    if not settings.path:
        return None
    path = Path(settings.path)
    return path.with_stem(f"{path.stem}-simulated") if simulated else path


def _row_in_use(venue: Venue, settings: FeedSettings) -> Venue:
    """The venue's row, or the one that takes quotes from its book. Raises SettingError."""
    if settings.venue.get(venue.name, VenueSettings()).quotes == "ticker":
        return venue
    if venue.by_book is None:
        proven = ", ".join(row.name for row in VENUES.values() if row.by_book is not None)
        raise SettingError(
            f"venue.{venue.name}.quotes: it has no book with a checksum (only: {proven})"
        )
    return venue.by_book


def _wanted(venue: Venue, settings: FeedSettings) -> tuple[str, list[Subscription]]:
    """Where a venue is, and all that is to be asked of it. Raises SettingError."""
    chosen = settings.venue.get(venue.name, VenueSettings())
    url = venue.url if chosen.url is None else chosen.url
    if not _is_socket_url(url):
        raise SettingError(f"venue.{venue.name}.url must be like wss://host or ws://host:port")
    symbols = venue.symbols if chosen.symbols is None else chosen.symbols
    if not symbols:
        raise SettingError(f"venue.{venue.name}.symbols is empty: leave the venue out instead")
    for symbol in symbols:
        try:
            Instrument.parse(symbol)
        except InstrumentError as error:
            raise SettingError(f"venue.{venue.name}.symbols: {error}") from error
    unique = dict.fromkeys(symbols)
    return url, [Subscription(kind, symbol) for symbol in unique for kind in venue.kinds]


def _is_socket_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"ws", "wss"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
