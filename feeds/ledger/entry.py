"""An entry of the ledger, and the hash that seals it. Pure.

Sealed is one line of JSON with no blanks, its keys in this order, `payload` byte for byte as it is
kept: `{"n":2,"at":…,"kind":"signal","previous":"<64 hex>","payload":{…}}`. SHA-256 of it.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple

import msgspec

from feeds.market import Outcome, Signal

FORMAT: Final = 1
"""Of the entries; told in the first one."""

SEGMENT_FORMAT: Final = 2
"""Of those of a segment; told in its first one. Its signals and outcomes are as in format 1."""

NOTHING_BEFORE: Final = "0" * 64
"""What the first entry has for the hash of the one before."""

EntryKind = Literal["genesis", "segment", "state", "signal", "outcome"]


class Genesis(msgspec.Struct, frozen=True):
    """The first entry: which ledger this is."""

    ledger: str
    """Its id, made by chance: two ledgers never begin alike."""
    created_us: int = msgspec.field(name="created")
    version: int
    simulated: bool
    """Whether it is of a generated market; live signals are never in one with such."""


class Segment(msgspec.Struct, frozen=True):
    """The first entry of a file that goes on where another one ended."""

    ledger: str
    """The id of the ledger, as in its first entry."""
    version: int
    segment: int
    """Which file of the ledger it is: 2 or more."""
    after: str
    """The name of the file that ended."""
    entries: int
    """How many entries there were until then, and the hash of the last one."""
    head: str
    state: str
    """The SHA-256 of what was known then, which stands in the file: see `state`. Who has this
    file alone goes on from there."""


class StateSeal(msgspec.Struct, frozen=True):
    """What the entries before this one came to, by its hash: who makes up sums breaks the chain."""

    state: str
    """The SHA-256 of the state that was kept then: see `state`."""


Payload = Genesis | Segment | StateSeal | Signal | Outcome


class Entry(NamedTuple):
    """As it is kept. What was read from a file may hold anything: `audit` tells."""

    n: int
    """From 1, without a hole."""
    at_us: int
    """When it was appended, by the clock of who keeps the ledger."""
    kind: str
    signal: str | None
    """The id of the signal that it is or is about: for whoever looks for it. Not sealed apart, as
    the payload says it too."""
    payload: bytes
    previous: str
    hash: str


_DECODERS: Final[Mapping[str, Callable[[bytes], Payload]]] = {
    "genesis": msgspec.json.Decoder(Genesis).decode,
    "segment": msgspec.json.Decoder(Segment).decode,
    "state": msgspec.json.Decoder(StateSeal).decode,
    "signal": msgspec.json.Decoder(Signal).decode,
    "outcome": msgspec.json.Decoder(Outcome).decode,
}
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


def seal(n: int, at_us: int, kind: str, previous: str, payload: bytes) -> str:
    """The hash of an entry, in hexadecimal."""
    line = b'{"n":%d,"at":%d,"kind":"%b","previous":"%b","payload":%b}' % (
        n,
        at_us,
        kind.encode(),
        previous.encode(),
        payload,
    )
    return hashlib.sha256(line).hexdigest()


def entry_of(payload: Payload, n: int, at_us: int, previous: str) -> Entry:
    """A new one. Raises ValueError: it holds a number that JSON has not (NaN)."""
    kind: EntryKind
    match payload:
        case Genesis():
            kind = "genesis"
        case Segment():
            kind = "segment"
        case StateSeal():
            kind = "state"
        case Signal():
            kind = "signal"
        case Outcome():
            kind = "outcome"
    text = _encode(payload)
    seal_ = seal(n, at_us, kind, previous, text)
    entry = Entry(n, at_us, kind, signal_of(payload), text, previous, seal_)
    if payload_of(entry) != payload:
        raise ValueError(f"{entry.signal} can't be written as it is: {text[:200]!r}")
    return entry


def payload_of(entry: Entry) -> Payload:
    """What it says. Raises ValueError: it can't be read."""
    try:
        return _DECODERS[entry.kind](entry.payload)
    except KeyError:
        raise ValueError(f"there is no such kind: {entry.kind[:20]!r}") from None
    except RecursionError as error:
        raise ValueError(str(error)) from None


def signal_of(payload: Payload) -> str | None:
    """The id of the signal that it is or is about."""
    match payload:
        case Signal(id=id_) | Outcome(signal=id_):
            return id_
        case _:
            return None
