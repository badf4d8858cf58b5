"""`GET /v1/signals`: what models said, newest first, and how the pair has moved since."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from feeds.market import Channel, ChannelError, Publication
from gateway.fanout.sent import Live
from gateway.rest.answers import Page, spliced
from gateway.rest.call import NAMES_MAX, Call
from gateway.rest.cursor import encode
from gateway.rest.listing import Entry, Place, page
from gateway.rest.parameters import OfSignals
from gateway.rest.readings import Ask
from gateway.rest.standing import standings
from gateway.web.problems import Refusal

_KIND: Final = "signal"
_Places = dict[str, Place]


class _Started(msgspec.Struct, frozen=True, gc=False):
    """From which price a signal starts."""

    channel: str = msgspec.field(name="ch")
    price: str = msgspec.field(name="px")


class _Said(msgspec.Struct, frozen=True, gc=False):
    """The little of a signal that is needed."""

    at: int = 0
    ref: _Started | None = None


class _Priced(msgspec.Struct, frozen=True, gc=False):
    """The little of a consolidated price."""

    at: int = 0
    px: str | None = None


_decode_signal = msgspec.json.Decoder(_Said).decode
_decode_price = msgspec.json.Decoder(_Priced).decode


async def signals(call: Call, query: OfSignals) -> Page[msgspec.Raw]:
    """Raises Refusal."""
    places = call.place(query.cursor, _Places)
    if query.model is not None:
        await call.sources.look_up([f"{_KIND}:{query.model}:{query.pair or '*'}"])
    names = _named(call, query) if places is None else _named_again(call, places)
    async with call.sources.readings.turn():
        part = await page(call.sources.readings, names, places, query.limit, _said_at)
        said = [_decode_signal(one.publication.payload) for one in part.entries]
        channels = {one.ref.channel for one in said if one.ref is not None}
        # Who may not see a price is not told it by a detour.
        prices = await _prices(call, sorted(filter(call.grant.allows, channels)))
    return Page(
        tuple(_told(entry, one.ref, prices) for entry, one in zip(part.entries, said, strict=True)),
        tuple(part.gaps),
        part.positions,
        encode(call.listing, part.places) if part.places else None,
    )


def _named(call: Call, query: OfSignals) -> Sequence[str]:
    """The channels that are asked for, and may be seen. Raises Refusal."""
    of_kind = call.sources.directory.of_kind(_KIND)
    known = [one for one in of_kind if query.model in (None, one.venue)]
    if query.model is not None and not known:
        models = ", ".join(sorted({one.venue for one in of_kind})) or "none"
        raise Refusal("unknown_model", f"there are {models}")
    named = [one for one in known if query.pair in (None, one.symbol)]
    if query.pair is not None and not named:
        raise Refusal("unknown_symbol", f"no signals of {query.pair}")
    seen = [one.name for one in named if call.grant.allows(one.name)]
    if named and not seen:
        raise Refusal("not_in_plan", "the key may see none of these signals")
    if len(seen) > NAMES_MAX:
        detail = f"{len(seen)} channels, and at most {NAMES_MAX} at once: name a model or a pair"
        raise Refusal("too_many_channels", detail)
    return seen


def _named_again(call: Call, places: Mapping[str, Place]) -> Sequence[str]:
    """Those of a cursor, which anybody could have made. Raises Refusal."""
    known = {one.name for one in call.sources.directory.of_kind(_KIND)}
    if not 0 < len(places) <= NAMES_MAX or not places.keys() <= known:
        raise Refusal("bad_cursor", "its channels are none: begin again")
    if not all(map(call.grant.allows, places)):
        raise Refusal("not_in_plan", "the key may not see its channels")
    return sorted(places)


async def _prices(call: Call, channels: Iterable[str]) -> dict[str, _Priced]:
    """The newest of each; those that have none just now, or only an old one, are left out."""
    known: list[Channel] = []
    for name in channels:
        with contextlib.suppress(ChannelError):
            known.append(Channel.parse(name))
    stand = await standings(call.sources, known)
    asks = [Ask(name, None, 1) for name, one in stand.items() if one.state == "live"]
    told: dict[str, _Priced] = {}
    for channel, one in (await call.sources.readings.read(asks)).items():
        try:
            price = _decode_price(one.publications[0].payload) if one.publications else None
        except msgspec.DecodeError:
            continue
        if price is not None and price.px is not None:
            told[channel] = price
    return told


def _told(entry: Entry, ref: _Started | None, prices: Mapping[str, _Priced]) -> msgspec.Raw:
    price = None if ref is None else prices.get(ref.channel)
    more = b""
    if ref is not None and price is not None and price.px is not None:
        move = float(price.px) / float(ref.price) - 1.0
        live = Live(ref.channel, price.px, price.at, round(move, 8))
        more = b',"live":%b' % msgspec.json.encode(live)
    return spliced(entry.channel, entry.publication, more)


def _said_at(publication: Publication) -> int:
    return _decode_signal(publication.payload).at
