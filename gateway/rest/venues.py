"""`GET /v1/venues`: how each venue's feed does, by its own word and by how old that is."""

from typing import Literal

import msgspec

from feeds.market import Publication
from gateway.fanout.states import STATUS_SYMBOL
from gateway.protocol import By, StateName
from gateway.rest.answers import Venue, Venues, spliced
from gateway.rest.call import Call
from gateway.rest.parameters import Nothing
from gateway.rest.readings import Ask


class _Reported(msgspec.Struct, frozen=True):
    """The little of a status that is needed."""

    state: StateName
    by: Literal["venue", "feed"] | None = None
    rx: int | None = None
    tx: int | None = None


_decode = msgspec.json.Decoder(_Reported).decode


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
    limit_us = int(call.sources.feed_silence_limit_s * 1e6)
    told = []
    for name, venue in statuses.items():
        if found[name].publications:
            told.append(_told(name, venue, found[name].publications[0], now_us, limit_us))
    return Venues(tuple(told))


def _told(
    name: str, venue: str, publication: Publication, now_us: int, limit_us: int
) -> Venue[msgspec.Raw]:
    reported = _decode(publication.payload)
    said_us = reported.tx or reported.rx
    age_us = None if said_us is None else max(0, now_us - said_us)
    state: StateName = reported.state
    by: By | None = reported.by
    if state != "closed" and age_us is not None and age_us > limit_us:
        # Who said goodbye may be silent; anyone else is dead.
        state, by = "stale", "feed"
    return Venue(
        venue, state, None if age_us is None else age_us // 1_000, by, spliced(name, publication)
    )
