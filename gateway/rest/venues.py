"""`GET /v1/venues`: how each venue's feed does, by its own word and by how old that is."""

import msgspec

from gateway.fanout.states import STATUS_SYMBOL
from gateway.rest.answers import Venue, Venues, spliced
from gateway.rest.call import Call
from gateway.rest.parameters import Nothing
from gateway.rest.readings import Ask
from gateway.rest.standing import feed_standing


async def venues(call: Call, _: Nothing) -> Venues[msgspec.Raw]:
    """Raises Refusal."""
    statuses = {
        channel.name: channel.venue
        for channel in call.sources.directory.of_kind("status")
        if channel.symbol == STATUS_SYMBOL and call.grant.allows(channel.name)
    }
    async with call.sources.readings.turn():
        found = await call.sources.readings.read([Ask(name, None, 1) for name in statuses])
    now_us = call.sources.clock.now_ns() // 1_000
    told = []
    for name, venue in statuses.items():
        if not found[name].publications:
            continue
        said = found[name].publications[0]
        standing = feed_standing(said, now_us, call.sources.feed_silence_limit_s)
        age_ms = None if standing.age_us is None else standing.age_us // 1_000
        state, by = standing.of_all
        told.append(Venue(venue, state, age_ms, by, spliced(name, said)))
    return Venues(tuple(told))
