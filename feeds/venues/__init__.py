"""The exchanges: one file each, and the table of their rows. No I/O, no clock."""

from typing import Final

from feeds.venue import Venue
from feeds.venues.binance import BINANCE
from feeds.venues.bitstamp import BITSTAMP
from feeds.venues.coinbase import COINBASE
from feeds.venues.kraken import KRAKEN
from feeds.venues.okx import OKX

__all__ = ["VENUES"]

VENUES: Final[dict[str, Venue]] = {
    venue.name: venue for venue in (BINANCE, COINBASE, KRAKEN, BITSTAMP, OKX)
}
