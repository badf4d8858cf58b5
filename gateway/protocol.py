"""The public protocol, version 1: what clients may say, what the gateway says, and how it's spelt.

Pure. Both encodings carry the same keys; a WebSocket message is one JSON object or msgpack map.
"""

from typing import Annotated, Literal, NewType

import msgspec

from feeds.market.channel import OnLag
from feeds.market.position import SEQ_MAX
from gateway.access.usage import Used
from gateway.errors import CommandError

VERSION = 1
SUBPROTOCOLS: dict[str, "EncodingName"] = {
    "tickgate.v1.json": "json",
    "tickgate.v1.msgpack": "msgpack",
}

EncodingName = Literal["json", "msgpack"]
CommandId = Annotated[int, msgspec.Meta(ge=-SEQ_MAX, le=SEQ_MAX)] | str | None
"""Echoed verbatim: an integer that every encoding and every reader keeps exact, or any text."""
SessionId = NewType("SessionId", str)
StateName = Literal["waiting", "live", "stale", "resync", "closed"]
By = Literal["venue", "feed", "bus", "gateway", "slow", "plan"]
"""Whose doing it is; `plan`: the connection was sent as much as the plan of its key allows."""


class Subscribe(
    msgspec.Struct, frozen=True, tag_field="op", tag=str.lower, forbid_unknown_fields=True
):
    channels: list[str]
    """Names; `*` may stand for a symbol: all that are known at that moment."""
    id: CommandId = None
    """Comes back with the reply."""
    rate: str = "all"
    """all, latest, 50ms, 100ms, 200ms, 500ms, 1s, 2s or 5s."""
    on_lag: OnLag | None = None
    """What happens when one reads too slowly; null: as the kind of channel has it."""
    since: dict[str, object] | None = None
    """Positions to resume from; a malformed one is answered by a reset, not by an error."""


class Unsubscribe(
    msgspec.Struct, frozen=True, tag_field="op", tag=str.lower, forbid_unknown_fields=True
):
    channels: list[str]
    """As they were subscribed to; a name with `*` ends all that it stands for."""
    id: CommandId = None


class List(msgspec.Struct, frozen=True, tag_field="op", tag=str.lower, forbid_unknown_fields=True):
    id: CommandId = None


class Ping(msgspec.Struct, frozen=True, tag_field="op", tag=str.lower, forbid_unknown_fields=True):
    id: CommandId = None


class Usage(msgspec.Struct, frozen=True, tag_field="op", tag=str.lower, forbid_unknown_fields=True):
    id: CommandId = None


class Auth(msgspec.Struct, frozen=True, tag_field="op", tag=str.lower, forbid_unknown_fields=True):
    key: str
    id: CommandId = None


class Welcome(msgspec.Struct, frozen=True, tag_field="type", tag="welcome"):
    session: SessionId
    protocol: int
    """Its version."""
    heartbeat_ms: int
    """After so long without data comes a heartbeat."""
    limits: dict[str, float]
    """Of the key's plan; what is not limited is left out."""


class Accepted(msgspec.Struct, frozen=True, omit_defaults=True):
    """A channel of an ack that went well. `seq` is the newest before anything that follows."""

    ch: str
    epoch: str | None = None
    """Absent where the channel has none yet."""
    seq: int | None = None
    rate: str | None = None
    """The one that is served: not a faster one than the plan's."""
    recovered: bool | None = None
    """Whether all after `since` follows; absent where there was no `since`."""
    state: StateName | None = None


class Rejected(msgspec.Struct, frozen=True, omit_defaults=True):
    ch: str
    code: str
    message: str
    retry: bool = msgspec.field()
    """Whether the same can succeed later."""
    hint: str | None = None
    """The known symbol that is nearest."""


class Ack(msgspec.Struct, frozen=True, tag_field="type", tag="ack"):
    id: CommandId
    ok: list[Accepted] = []
    err: list[Rejected] = []


class Listing(msgspec.Struct, frozen=True, tag_field="type", tag="list"):
    id: CommandId
    channels: list[Accepted]


class UsageReport(msgspec.Struct, frozen=True, tag_field="type", tag="usage"):
    """`usage` is what `/v1/usage` answers."""

    id: CommandId
    usage: Used


class Pong(msgspec.Struct, frozen=True, tag_field="type", tag="pong"):
    id: CommandId
    t: int
    """The gateway's clock, microseconds UTC."""


class Gap(msgspec.Struct, frozen=True, tag_field="type", tag="gap", omit_defaults=True):
    """Messages `first` to `last` of `ch` will not come, and whose fault that is."""

    ch: str
    first: int = msgspec.field(name="from")
    last: int = msgspec.field(name="to")
    by: By


class Reset(msgspec.Struct, frozen=True, tag_field="type", tag="reset"):
    """The channel's numbering began anew: what came between can't be told."""

    ch: str
    epoch: str
    """Never empty on the wire. `gateway.client` leaves it empty where it finds out by itself that
    Redis knows the channel no more, and the new numbering has not begun."""
    seq: int
    by: By


class State(msgspec.Struct, frozen=True, tag_field="type", tag="state", omit_defaults=True):
    ch: str
    state: StateName
    since: int
    """Microseconds UTC."""
    by: By | None = None
    """Who is to blame, where it is not `live`."""
    epoch: str | None = None
    """Before a channel's first message, to those whose ack had none: what begins."""


class Lag(msgspec.Struct, frozen=True, tag_field="type", tag="lag"):
    queued: int
    """Messages that wait."""
    age_ms: int
    """Of the oldest."""


class Heartbeat(msgspec.Struct, frozen=True, tag_field="type", tag="heartbeat"):
    n: int
    """Which of the connection's."""
    t: int
    """The gateway's clock, microseconds UTC."""


class Error(msgspec.Struct, frozen=True, tag_field="type", tag="error", omit_defaults=True):
    id: CommandId
    code: str
    message: str
    retry: bool = msgspec.field()
    """Whether the same can succeed later."""
    after_ms: int | None = None
    """When, at the earliest."""


class Drain(msgspec.Struct, frozen=True, tag_field="type", tag="drain"):
    within_ms: int
    """Until the close; data come until then."""


Command = Subscribe | Unsubscribe | List | Ping | Usage | Auth
Announcement = (
    Welcome
    | Ack
    | Listing
    | Pong
    | UsageReport
    | Gap
    | Reset
    | State
    | Lag
    | Heartbeat
    | Error
    | Drain
)


class _Addressed(msgspec.Struct, frozen=True):
    """The little of a malformed command that its answer needs."""

    id: CommandId = None


_json_commands: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_msgpack_commands: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_json_addressed = msgspec.json.Decoder(_Addressed)
_msgpack_addressed = msgspec.msgpack.Decoder(_Addressed)
_encode_json = msgspec.json.Encoder().encode
_encode_msgpack = msgspec.msgpack.Encoder().encode


def decode_command(message: str | bytes) -> Command:
    """A text message is JSON, a binary one msgpack. Raises CommandError `bad_message`."""
    try:
        if isinstance(message, str):
            return _json_commands.decode(message)
        return _msgpack_commands.decode(message)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        # RecursionError: msgspec's own limit of nesting, not ours.
        raise CommandError("bad_message", _told(error)) from error


def id_of(message: str | bytes) -> CommandId:
    """The `id` of a message that is no command, where it has one."""
    try:
        if isinstance(message, str):
            return _json_addressed.decode(message).id
        return _msgpack_addressed.decode(message).id
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def encode(announcement: Announcement, encoding: EncodingName) -> bytes:
    return _encode_json(announcement) if encoding == "json" else _encode_msgpack(announcement)


def _told(error: Exception) -> str:
    return "too deeply nested" if isinstance(error, RecursionError) else str(error)[:200]
