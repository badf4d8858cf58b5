"""Ticks for tests to publish: trades by number, quotes by bid."""

from feeds.market import Channel, Quote, Tick, Trade

BTC = Channel.parse("trade:sim:BTC-USD")
ETH = Channel.parse("trade:sim:ETH-USD")
QUOTES = Channel.parse("quote:sim:BTC-USD")


def trades(first: int, last: int, channel: Channel = BTC) -> list[Tick]:
    """One for each number, which is its id."""
    numbers = range(first, last + 1)
    return [Tick(channel, Trade("68900.50", "2", "buy", str(n), 5, 6)) for n in numbers]


def quote(bid: str) -> list[Tick]:
    return [Tick(QUOTES, Quote(bid, "69000.00", "1", "2"))]
