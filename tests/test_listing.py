"""What a venue calls its instruments, to channels: remembered, and bounded."""

import pytest

from feeds.listing import NATIVE_NAMES_MAX, Listing
from feeds.market import Channel, Instrument, InstrumentError


def test_the_same_name_gives_the_same_object() -> None:
    listing = Listing("kraken", Instrument.parse)
    assert listing.trade("BTC-USD") is listing.trade("BTC-USD")
    assert listing.quote("BTC-USD") == Channel("quote", "kraken", "BTC-USD")


def test_a_blank_name_is_the_symbol_given_or_an_error() -> None:
    assert Listing("kraken", Instrument.parse, "BTC-EUR").trade("").name == "trade:kraken:BTC-EUR"
    with pytest.raises(InstrumentError, match="names no symbol"):
        Listing("kraken", Instrument.parse).trade("")


def test_a_venue_that_invents_names_without_end_fills_no_memory() -> None:
    listing = Listing("kraken", Instrument.parse)
    for number in range(NATIVE_NAMES_MAX + 1):
        listing.quote(f"A{number}-USD")
    assert len(listing._trades) == len(listing._quotes) == 1
