"""The names of streams: `<kind>:<venue>:<SYMBOL>`, and what each kind of stream promises."""

import re
from typing import Final, Literal

import msgspec

from feeds.market.instrument import SYMBOL_PATTERN

_VENUE_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")

AGGREGATE: Final = "agg"
"""The venue in the names of what is derived from several."""

OnLag = Literal["conflate", "gap", "close"]
Conflation = Literal["newest", "tally"]


class ChannelError(ValueError):
    """A text that names no channel; the message says which part is wrong."""


class Kind(msgspec.Struct, frozen=True):
    """What the subscribers of a kind of channel may count on."""

    name: str
    variants: tuple[str, ...]
    """What may follow a dot (`book.10`, `candle.1m`); empty: nothing does."""
    newest_at_subscribe: bool
    """Whether the newest message is worth something to one who comes later: a state, no event."""
    conflation: Conflation | None
    """What stands for several messages: the newest of them, a tally of trades (volume is never
    lost), or None: each message is wanted, at every rate. Where it isn't None a payload has no
    `n` of its own: it is the number of messages that one stands for."""
    on_lag: OnLag
    """What a slow subscriber's full outbox does unless asked otherwise: conflate, gap or close."""
    history_max: int
    """Messages that the channel's Redis stream keeps at least, unless set otherwise
    (approximately: Redis trims whole nodes)."""
    trusted: bool = True
    """Whether only our own feeds publish it; else the gateway checks each payload's JSON."""
    is_derived: bool = False
    """Whether it is made of other channels: all such are one process' to publish, whatever venue
    they are about."""


def _state(name: str, *variants: str, is_derived: bool = False) -> Kind:
    """A kind of which the newest message is all that matters."""
    return Kind(
        name,
        variants,
        newest_at_subscribe=True,
        conflation="newest",
        on_lag="conflate",
        history_max=100,
        is_derived=is_derived,
    )


HISTORY_MAX: Final = 5_000
"""The most that any channel's stream keeps, whatever is set: what a gateway tells one at once."""

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "trade",
            (),
            newest_at_subscribe=False,
            conflation="tally",
            on_lag="gap",
            history_max=1_000,
        ),
        _state("quote"),
        _state("book", "10"),
        Kind(
            "candle",
            ("1s", "1m", "5m", "15m", "1h", "4h", "1d"),
            newest_at_subscribe=True,
            conflation=None,
            on_lag="gap",
            history_max=1_000,
            is_derived=True,
        ),
        _state("price", is_derived=True),
        Kind(
            "signal",
            (),
            newest_at_subscribe=True,
            conflation=None,
            on_lag="close",
            history_max=1_000,
            is_derived=True,
        ),
        Kind(
            "outcome",
            (),
            newest_at_subscribe=True,
            conflation=None,
            on_lag="gap",
            history_max=1_000,
            is_derived=True,
        ),
        _state("grade", is_derived=True),
        _state("status"),
        Kind(
            "custom",
            (),
            newest_at_subscribe=True,
            conflation="newest",
            on_lag="gap",
            history_max=1_000,
            trusted=False,
        ),
    )
}


_DERIVED = frozenset(
    f"{kind.name}.{variant}" if variant else kind.name
    for kind in KINDS.values()
    if kind.is_derived
    for variant in kind.variants or ("",)
)
"""As channels spell them."""


class Channel(msgspec.Struct, frozen=True, order=True):
    """One stream. `kind` is as written, variant included: `trade`, `book.10`, `candle.1m`.

    Make one with `Channel.parse`, or with `Channel(kind, venue, symbol)` where the parts are
    already known to be sound.
    """

    kind: str
    venue: str
    symbol: str
    name: str = ""

    def __post_init__(self) -> None:
        name = f"{self.kind}:{self.venue}:{self.symbol}"
        msgspec.structs.force_setattr(self, "name", name)

    @property
    def is_wildcard(self) -> bool:
        return self.symbol == "*"

    @property
    def promises(self) -> Kind:
        return KINDS[self.kind.partition(".")[0]]

    @property
    def feed(self) -> str:
        """The name of the one that publishes it, by whose status it stands: its venue's, or that
        of all that is derived."""
        return AGGREGATE if self.kind in _DERIVED else self.venue

    @classmethod
    def parse(cls, name: str) -> "Channel":
        """The channel of a name; `*` may stand for the symbol. Raises ChannelError."""
        parts = name.split(":")
        if len(parts) != 3:
            raise ChannelError("a channel is <kind>:<venue>:<SYMBOL>, like trade:kraken:BTC-USD")
        kind, venue, symbol = parts
        word, dot, variant = kind.partition(".")
        row = KINDS.get(word)
        if row is None:
            raise ChannelError(f"no such kind; there are {', '.join(KINDS)}")
        if bool(row.variants) != bool(dot) or (dot and variant not in row.variants):
            spellings = ", ".join(f"{word}.{known}" for known in row.variants) or word
            raise ChannelError(f"write the kind as {spellings}")
        if not _VENUE_PATTERN.match(venue):
            raise ChannelError("a venue is 1 to 32 of a-z 0-9 _ -")
        if symbol != "*" and not SYMBOL_PATTERN.match(symbol):
            raise ChannelError("a symbol is 1 to 32 of A-Z 0-9 . _ -, upper case, like BTC-USD")
        return cls(kind, venue, symbol)
