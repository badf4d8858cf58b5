"""`GET /v1/latest`: the newest message of each channel that is named."""

import msgspec

from feeds.market import Channel, Position
from gateway.errors import ERRORS, CommandError
from gateway.fanout.message import is_sound
from gateway.rest.answers import Latest, Missing, Stands, spliced
from gateway.rest.call import NAMES_MAX, Call
from gateway.rest.cursor import encode
from gateway.rest.parameters import OfLatest
from gateway.rest.readings import Ask
from gateway.rest.standing import standings
from gateway.web.problems import Refusal

_CHANNELS_AT_ONCE = 50


async def latest(call: Call, query: OfLatest) -> Latest[msgspec.Raw]:
    """Raises Refusal."""
    after = call.place(query.cursor, str) or ""
    asked = list(dict.fromkeys(name.strip() for name in query.channels.split(",") if name.strip()))
    if not asked:
        raise Refusal("bad_parameter", "name at least one channel")
    if len(asked) > NAMES_MAX:
        raise Refusal("too_many_channels", f"at most {NAMES_MAX} names at once")
    await call.sources.look_up(asked)
    names, errors = _named(call, asked)
    chosen = [name for name in names if name > after][: query.limit + 1]
    here = chosen[: query.limit]
    messages: list[msgspec.Raw] = []
    positions: dict[str, Position] = {}
    told_of: list[Channel] = []
    async with call.sources.readings.turn():
        for begin in range(0, len(here), _CHANNELS_AT_ONCE):
            asks = [Ask(name, None, 1) for name in here[begin : begin + _CHANNELS_AT_ONCE]]
            for name, found in (await call.sources.readings.read(asks)).items():
                if found.epoch is not None:
                    positions[name] = Position(found.epoch, found.seq)
                (channel,) = call.sources.directory.named(name)
                if found.publications and _may_pass(channel, found.publications[0].payload):
                    messages.append(spliced(name, found.publications[0]))
                    told_of.append(channel)
        stand = await standings(call.sources, told_of)
    states = {name: Stands(*one) for name, one in stand.items()}
    next_ = encode(call.listing, here[-1]) if len(chosen) > len(here) else None
    told = tuple(errors) if not after else ()
    return Latest(tuple(messages), positions, states, told, next_)


def _named(call: Call, asked: list[str]) -> tuple[list[str], list[Missing]]:
    """What the names stand for, in order; and what is to be said of the others."""
    names: set[str] = set()
    errors: list[Missing] = []
    for name in asked:
        try:
            found = [channel.name for channel in call.sources.directory.named(name)]
        except CommandError as error:
            hint = call.sources.directory.hint(name) if error.row.code == "unknown_symbol" else None
            errors.append(Missing(name, error.row.code, error.detail, error.row.retry, hint))
            continue
        seen = set(filter(call.grant.allows, found))
        names |= seen
        if not seen:
            row = ERRORS["not_in_plan"]
            errors.append(Missing(name, row.code, row.text, row.retry))
    return sorted(names), errors


def _may_pass(channel: Channel, payload: bytes) -> bool:
    """Whether it is one of ours, or is well formed."""
    return channel.promises.trusted or is_sound(payload)
