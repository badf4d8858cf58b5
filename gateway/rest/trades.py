"""`GET /v1/trades`: what is kept of a channel of trades, newest first."""

import msgspec

from feeds.market import Publication
from gateway.rest.answers import Page, spliced
from gateway.rest.call import Call
from gateway.rest.cursor import encode
from gateway.rest.listing import Place, page
from gateway.rest.parameters import OfTrades

_Places = dict[str, Place]


async def trades(call: Call, query: OfTrades) -> Page[msgspec.Raw]:
    """Raises Refusal."""
    channel = await call.channel("trade", query.channel, query.venue, query.symbol)
    places = call.place(query.cursor, _Places)
    async with call.sources.readings.turn():
        part = await page(call.sources.readings, (channel.name,), places, query.limit, _as_it_comes)
    return Page(
        tuple(spliced(one.channel, one.publication) for one in part.entries),
        tuple(part.gaps),
        part.positions,
        encode(call.listing, part.places) if part.places else None,
    )


def _as_it_comes(_: Publication) -> int:
    """There is nothing to be merged."""
    return 0
