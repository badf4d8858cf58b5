"""What REST answers, in types: documents are made of them, tests hold answers to them. Pure.

Messages are passed on as they were published, `ch` and `seq` put in: nothing is decoded for that.
"""

from collections.abc import Iterable
from typing import Generic, TypeVar

import msgspec

from feeds.market import Position, Publication
from gateway.protocol import By, Gap, StateName

M = TypeVar("M")


class Ticket(msgspec.Struct, frozen=True):
    """Good for one connection to `/v1/stream?ticket=…`."""

    ticket: str
    expires_ms: int


class Missing(msgspec.Struct, frozen=True, omit_defaults=True):
    """A channel that was asked for and is not in the answer."""

    ch: str
    code: str
    message: str
    retry: bool = msgspec.field()
    hint: str | None = None


class Stands(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a channel does that has said something."""

    state: StateName
    """As a `state` message of the stream says it: of what is not `live` the newest may be old."""
    by: By | None = None
    """Who is to blame, where it is not `live`."""


class Latest(msgspec.Struct, Generic[M], frozen=True):
    """The newest message of each channel; none of one that has none yet."""

    messages: tuple[M, ...]
    positions: dict[str, Position]
    """Of every channel that was found, as `since` of a subscription takes them."""
    states: dict[str, Stands]
    """Of every channel in `messages` but custom ones, for which no feed of ours can speak."""
    errors: tuple[Missing, ...]
    next: str | None
    """The cursor of the next page; null: this is the last one."""


class Page(msgspec.Struct, Generic[M], frozen=True):
    """Part of a listing, newest first."""

    messages: tuple[M, ...]
    gaps: tuple[Gap, ...]
    """Holes between them: these seqs are no longer to be had, or never were."""
    positions: dict[str, Position]
    """Of a first page: where its channels were, as `since` of a subscription takes it."""
    next: str | None
    """The cursor of the next page; null: this is the last one."""


class CandlePage(msgspec.Struct, Generic[M], frozen=True):
    """Part of a listing of intervals, newest first; each once, as its newest message tells it."""

    messages: tuple[M, ...]
    positions: dict[str, Position]
    """Of a first page: where its channel was, as `since` of a subscription takes it. A candle of
    an earlier epoch, in which its `seq` counts, says so in `epoch`."""
    next: str | None
    """The cursor of the next page; null: this is the last one."""
    kept_from: int | None
    """Of a last page: where the oldest interval that is kept begins, microseconds UTC."""


class Venue(msgspec.Struct, Generic[M], frozen=True, omit_defaults=True):
    """How a venue's feed does."""

    venue: str
    state: StateName
    """As the feed says; `stale` where it has said nothing for too long."""
    age_ms: int | None
    """Since it last said so; null where it does not say when that was."""
    by: By | None = None
    """Who is to blame, where the state is not `live`."""
    status: M | None = None
    """What it said: the newest message of `status:<venue>:VENUE`."""


class Venues(msgspec.Struct, Generic[M], frozen=True):
    """All that the key may see."""

    venues: tuple[Venue[M], ...]


class Symbol(msgspec.Struct, frozen=True):
    """What can be subscribed to of it."""

    symbol: str
    channels: tuple[str, ...]


class Symbols(msgspec.Struct, frozen=True):
    """By name."""

    symbols: tuple[Symbol, ...]
    next: str | None
    """The cursor of the next page; null: this is the last one."""


class TrackRecords(msgspec.Struct, Generic[M], frozen=True):
    """As the feeds computed them last, from the ledger."""

    records: tuple[M, ...]


def spliced(channel: str, publication: Publication, more: bytes = b"") -> msgspec.Raw:
    """A message as the stream sends it, less `gw`; `more`: further members, comma included."""
    inside = publication.payload[1:-1].strip()
    return msgspec.Raw(
        b'{"ch":"%b","seq":%d%b%b%b}'
        % (channel.encode(), publication.seq, b"," if inside else b"", inside, more)
    )


def channels_of(names: Iterable[str]) -> str:
    """For people: the first few."""
    listed = list(names)
    return ", ".join(listed[:3]) + (" and others" if len(listed) > 3 else "")
