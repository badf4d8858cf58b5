"""`GET /v1/candles`: what is kept of a channel of candles, each interval once, newest first."""

from typing import Final

import msgspec

from feeds.market import Position
from gateway.problems import Refusal
from gateway.rest.answers import CandlePage, spliced
from gateway.rest.call import Call
from gateway.rest.candle_listing import INTERVALS_US, CandlePlace, Candles
from gateway.rest.cursor import encode
from gateway.rest.parameters import OfCandles, microseconds

_FOREVER_US: Final = 2**63


async def candles(call: Call, query: OfCandles) -> CandlePage[msgspec.Raw]:
    """Raises Refusal, ParameterError."""
    channel = await call.channel("candle", query.channel, query.venue, query.symbol, query.interval)
    end_us = microseconds("end", query.end)
    place = call.place(query.cursor, CandlePlace)
    listing = Candles(
        INTERVALS_US[channel.kind.partition(".")[2]],
        microseconds("start", query.start) or 0,
        _FOREVER_US if end_us is None else end_us,
        query.limit,
        place,
    )
    sources = call.sources
    async with sources.readings.turn():
        known = await sources.candles.caught_up(sources.readings, channel.name)
    if place is not None and (known is None or known.epoch != place.epoch):
        raise Refusal("epoch_ended", f"begin the listing of {channel.name} again")
    if known is None:
        return CandlePage((), {}, None, None)
    first = known.oldest if place is None else place.first
    is_trimmed = known.oldest > first
    chosen, next_us = (listing.trimmed if is_trimmed else listing.whole)(known.newest)
    if is_trimmed and not chosen:
        raise Refusal("history_gone", f"older messages of {channel.name} are not kept")
    goes_on = None if next_us is None else CandlePlace(known.epoch, next_us, first)
    return CandlePage(
        tuple(spliced(channel.name, publication) for publication in chosen),
        {channel.name: Position(known.epoch, known.seq)} if place is None else {},
        None if goes_on is None else encode(call.listing, goes_on),
        min(known.newest, default=None) if goes_on is None else None,
    )
