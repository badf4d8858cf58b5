"""What a default install listens to: enough venues for every price that is made of them."""

import msgspec
import pytest

from feeds.derived.foreseen import foreseen
from feeds.derived.price import Consolidation
from feeds.derived.price_rule import differences
from feeds.derived.settings import DerivedSettings, PriceSettings
from feeds.market import Channel, Instrument, Price, Quote, Tick
from feeds.settings import DEFAULT_VENUES
from feeds.venue import Subscription
from feeds.venues import VENUES

NOW_US = 1_763_632_800_000_000
ROWS = [VENUES[name] for name in DEFAULT_VENUES if name in VENUES]
CHANNELS = [
    Channel(kind, row.name, symbol) for row in ROWS for symbol in row.symbols for kind in row.kinds
]
QUOTES = [channel for channel in CHANNELS if channel.kind == "quote"]
QUOTE_ASSETS = sorted({Instrument.parse(channel.symbol).quote for channel in QUOTES})


def prices() -> dict[str, Price]:
    """Of all pairs, with one sound quote for every default symbol."""
    one = Consolidation(PriceSettings())
    told = one.take(
        [Tick(channel, Quote("1.00", "1.01", received_us=NOW_US)) for channel in QUOTES], NOW_US
    )
    told += one.wake(NOW_US + 1_000_000)
    found = {tick.channel.name: tick.payload for tick in told}
    return {name: payload for name, payload in found.items() if isinstance(payload, Price)}


def venues_of(price: Price) -> set[str]:
    return {vote.venue for vote in price.votes if vote.is_in}


def test_every_price_that_is_listed_is_live_when_every_market_quotes() -> None:
    listed = [each.name for each in foreseen(CHANNELS, DerivedSettings()) if each.kind == "price"]
    told = prices()
    assert sorted(told) == sorted(listed)
    assert {name: price.why for name, price in told.items() if price.state != "live"} == {}
    assert [fault for price in told.values() for fault in differences(price)] == []


@pytest.mark.parametrize("asset", QUOTE_ASSETS)
def test_every_quote_asset_has_two_venues_or_more(asset: str) -> None:
    told = {name: venues_of(one) for name, one in prices().items() if name.endswith(f"-{asset}")}
    assert told
    assert {name: venues for name, venues in told.items() if len(venues) < 2} == {}


def test_venues_of_usdt_vote_on_dollars_through_our_own_price_of_it() -> None:
    told = prices()
    assert venues_of(told["price:agg:USDT-USD"]) == {"bitstamp", "coinbase", "kraken"}
    votes = {vote.venue: vote for vote in told["price:agg:BTC-USD"].votes}
    assert sorted(votes) == ["binance", "bitstamp", "coinbase", "kraken", "okx"]
    via = {name: (vote.is_in, vote.symbol, vote.via, vote.rate) for name, vote in votes.items()}
    assert via["binance"] == via["okx"] == (True, "BTC-USDT", "price:agg:USDT-USD", "1.005")
    assert via["kraken"] == (True, None, None, None)


@pytest.mark.parametrize(
    ("venue", "symbol", "native"),
    [
        ("kraken", "USDT-USD", '"USDT/USD"'),
        ("kraken", "BTC-USDC", '"BTC/USDC"'),
        ("kraken", "ETH-EUR", '"ETH/EUR"'),
        ("coinbase", "USDT-USD", '"USDT-USD"'),
        ("coinbase", "BTC-EUR", '"BTC-EUR"'),
        ("bitstamp", "USDT-USD", '"order_book_usdtusd"'),
    ],
)
def test_a_market_is_asked_for_by_the_venues_own_name(venue: str, symbol: str, native: str) -> None:
    assert symbol in VENUES[venue].symbols
    assert native in "".join(VENUES[venue].subscribe_frames([Subscription("quote", symbol)]))


@pytest.mark.parametrize(
    ("venue", "frame"),
    [
        (
            "kraken",
            '{"channel":"ticker","type":"update","data":[{"symbol":"USDT/USD","bid":0.99985,'
            '"bid_qty":5.0,"ask":0.99986,"ask_qty":7.0}]}',
        ),
        (
            "coinbase",
            '{"type":"ticker","product_id":"USDT-USD","best_bid":"0.99985","best_ask":"0.99986",'
            '"best_bid_size":"5.0","best_ask_size":"7.0"}',
        ),
        (
            "bitstamp",
            '{"event":"data","channel":"order_book_usdtusd","data":{"microtimestamp":"7",'
            '"bids":[["0.99985","5.0"]],"asks":[["0.99986","7.0"]]}}',
        ),
    ],
)
def test_each_venues_name_of_the_rate_is_read_as_ours(venue: str, frame: str) -> None:
    (tick,) = VENUES[venue].parser(None).feed(frame, None)
    assert isinstance(tick, Tick)
    assert tick.channel == Channel("quote", venue, "USDT-USD")
    assert isinstance(tick.payload, Quote)
    plain = msgspec.structs.replace(tick.payload, venue_us=None)
    assert plain == Quote("0.99985", "0.99986", "5.0", "7.0")
