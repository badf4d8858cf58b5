"""`GET /v1/candles`: what is kept of a channel of candles, each interval once, newest first.

Final ones are in a list of their own (bus.lua), whatever the epoch; what runs is the stream's newest
message. Candles of a second have no such list: theirs are the stream's.
"""

from typing import Final

import msgspec

from feeds.market import Position
from gateway.problems import Refusal
from gateway.rest.answers import CandlePage, spliced
from gateway.rest.call import Call
from gateway.rest.candle_listing import CandleListing, CandlePlace
from gateway.rest.cursor import encode
from gateway.rest.parameters import OfCandles, microseconds
from gateway.rest.readings import SLICE, Ask, Readings

_STREAM_SLICE: Final = 10
"""The newest message tells what runs, unless it is a correction."""


async def candles(call: Call, query: OfCandles) -> CandlePage[msgspec.Raw]:
    """Raises Refusal, ParameterError."""
    channel = await call.channel("candle", query.channel, query.venue, query.symbol, query.interval)
    name = channel.name
    start_us, end_us = microseconds("start", query.start), microseconds("end", query.end)
    place = call.place(query.cursor, CandlePlace)
    if place is not None:
        end_us = place.start_us + 1 if end_us is None else min(end_us, place.start_us + 1)
    listing = CandleListing(start_us, end_us, query.limit)
    readings = call.sources.readings
    async with readings.turn():
        position = await _read(readings, name, listing, query.limit if place is None else SLICE)
    kept_from_us = listing.kept_from_us
    if place is not None and (kept_from_us is None or kept_from_us > place.start_us):
        raise Refusal("history_gone", f"older candles of {name} are not kept")
    chosen, next_us = listing.page()
    epoch = position.epoch if position is not None else None
    if place is not None:
        epoch = place.epoch
    return CandlePage(
        tuple(
            spliced(name, one, b"" if one.epoch == epoch else _of_epoch(one.epoch))
            for one in chosen
        ),
        {} if position is None or place is not None else {name: position},
        None if next_us is None else encode(call.listing, CandlePlace(epoch, next_us)),
        kept_from_us if next_us is None else None,
    )


async def _read(
    readings: Readings, name: str, listing: CandleListing, count: int
) -> Position | None:
    """As far back as the listing needs; where the channel is now. `count`: a guess at that."""
    # The stream first: what became final meanwhile is in the list then, which is believed first,
    # and the position is none that is newer than what is told.
    last = await readings.read_one(Ask(name, None, _STREAM_SLICE))
    position = None if last.epoch is None else Position(last.epoch, last.seq)
    count = min(SLICE, count + _STREAM_SLICE)
    finals = await readings.finals(name, 0, count)
    has_list = bool(finals)
    streamed = list(last.publications)
    runs = CandleListing(None, None, 1)
    runs.take(streamed)
    while not last.is_end and last.publications and not (has_list and runs.kept_from_us):
        last = await readings.read_one(Ask(name, last.publications[-1].seq, SLICE))
        ...
    return position
