"""Settings to feeds: which venues, where they are and what to ask of them, checked beforehand."""

from random import Random
from urllib.parse import urlsplit

from feeds.connection import FrameTap
from feeds.errors import SettingError, UnknownVenueError
from feeds.feed import Feed, TickSink
from feeds.market import Clock, Instrument, InstrumentError
from feeds.settings import FeedSettings, VenueSettings
from feeds.sim import VENUE as SIM
from feeds.sim import SimFeed, check_sim
from feeds.venue import Subscription, Venue
from feeds.venue_feed import VenueFeed
from feeds.venues import VENUES


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
            _wanted(VENUES[name], settings)
    check_sim(settings.sim)


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
    row = venue_row(name)
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
