"""`GET /v1/candles`: what is kept of a channel of candles, each interval once, newest first.

Final ones are in a list of their own (bus.lua), whatever the epoch; what runs is told by the newest
message of the stream. Candles of a second have no such list: theirs are the stream's.
"""

from typing import Final

import msgspec

from feeds.market import Position, Publication
from gateway.rest.answers import CandlePage, spliced
from gateway.rest.call import Call
from gateway.rest.candle_listing import CandleListing, CandlePlace
from gateway.rest.cursor import encode
from gateway.rest.parameters import OfCandles, microseconds
from gateway.rest.readings import SLICE, Ask, Found, Readings
from gateway.web.problems import Refusal

_NEWEST: Final = 10
"""Messages of the stream: the first that is no correction tells what runs."""


async def candles(call: Call, query: OfCandles) -> CandlePage[msgspec.Raw]:
    """Raises Refusal, ParameterError."""
    channel = await call.channel("candle", query.channel, query.venue, query.symbol, query.interval)
    name = channel.name
    start_us, end_us = microseconds("start", query.start), microseconds("end", query.end)
    place = call.place(query.cursor, CandlePlace)
    if place is not None:
        end_us = min(place.start_us + 1, place.start_us + 1 if end_us is None else end_us)
    listing = CandleListing(start_us, end_us, query.limit)
    readings = call.sources.readings
    async with readings.turn():
        position = await _read(readings, name, listing, SLICE if place else query.limit + _NEWEST)
    kept_from_us = listing.kept_from_us
    if place is not None and (kept_from_us is None or kept_from_us > place.start_us):
        raise Refusal("history_gone", f"older candles of {name} are not kept")
    usual = position if place is None else place
    epoch = None if usual is None else usual.epoch
    chosen, next_us = listing.page()
    return CandlePage(
        tuple(spliced(name, one, _epoch_of(one, epoch)) for one in chosen),
        {} if position is None or place is not None else {name: position},
        None if next_us is None else encode(call.listing, CandlePlace(epoch, next_us)),
        kept_from_us if next_us is None else None,
    )


async def _read(
    readings: Readings, name: str, listing: CandleListing, count: int
) -> Position | None:
    """As far back as is needed; where the channel was before. `count`: final candles at once."""
    # The stream is read first, and the list is believed first: what became final between the two
    # is final, and the position is none that the answer has not reached.
    stream = await _stream(readings, name, None, _NEWEST)
    position = None if stream.epoch is None else Position(stream.epoch, stream.seq)
    finals = await readings.finals(name, 0, min(SLICE, count))
    is_listed = bool(finals)
    taken = 0
    while finals:
        listing.take(finals)
        taken += len(finals)
        finals = [] if listing.is_full else await readings.finals(name, taken, SLICE)
    while True:
        has_one = listing.take(stream.publications)
        is_done = has_one if is_listed else listing.is_full
        if is_done or stream.is_end or not stream.publications:
            return position
        stream = await _stream(readings, name, stream.publications[-1].seq, SLICE)
        if position is None or stream.epoch != position.epoch:
            return position


async def _stream(readings: Readings, name: str, below: int | None, most: int) -> Found:
    return (await readings.read([Ask(name, below, most)]))[name]


def _epoch_of(publication: Publication, usual: str | None) -> bytes:
    """A member more, where it is another."""
    if publication.epoch == usual:
        return b""
    return b',"epoch":%b' % msgspec.json.encode(publication.epoch)
