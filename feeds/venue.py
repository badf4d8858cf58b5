"""The contract of an exchange: a frozen row (Venue) and a Parser that knows no socket and no clock.

A new exchange is one file in `feeds/venues/` and one row in its table.
"""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec

from feeds.market import Channel, Tick
from feeds.watching.trade_ids import Promise

TickKind = Literal["trade", "quote"]

EXCERPT_CHARS = 120


class ParseError(ValueError):
    """A frame that the venue's parser can't make sense of: the only thing that parsers raise."""

    def __init__(self, reason: str, frame: str | bytes = b"") -> None:
        text = frame.decode(errors="replace") if isinstance(frame, bytes) else frame
        self.reason = reason
        self.excerpt = text[:EXCERPT_CHARS]
        super().__init__(f"{reason}: {self.excerpt!r}" if frame else reason)


class Subscription(msgspec.Struct, frozen=True, order=True):
    """One thing to ask a venue for: trades or quotes of one of our symbols."""

    kind: TickKind
    symbol: str


class Confirmed(msgspec.Struct, frozen=True):
    """The venue took a subscription (or several). Not data."""


class Refused(msgspec.Struct, frozen=True):
    """The venue will not give something: an unknown symbol, a limit, a malformed request."""

    reason: str


class Leaving(msgspec.Struct, frozen=True):
    """The venue announces that it is about to end this connection: open the next one."""

    reason: str


class Torn(msgspec.Struct, frozen=True):
    """What the venue told of a channel does not fit together (a checksum, a number skipped): it is
    to be asked for again, and told once until then. `reason` goes on from the channel's name."""

    channel: Channel
    reason: str


class Answer(msgspec.Struct, frozen=True):
    """A frame that the venue wants back (heartbeats that are application messages)."""

    frame: str


Event = Tick | Confirmed | Refused | Leaving | Torn | Answer


class Parser(Protocol):
    """The frames of ONE connection, in order, to events. May keep state; never does I/O."""

    def feed(self, frame: str | bytes, received_ns: int | None) -> Sequence[Event]:
        """Everything that one frame says; empty for what is neither data nor of interest.

        `received_ns` (nanoseconds UTC) becomes the ticks' `rx`; None leaves it out.
        Raises ParseError and nothing else, whatever the bytes; a frame gives all its ticks or none.
        """


class Venue(msgspec.Struct, frozen=True):
    """How to reach an exchange and what to say to it. Everything that varies is in this row."""

    name: str
    """As in channel names: lower case."""
    title: str
    """As people write it."""
    url: str
    """The default endpoint; a setting (`venue.<name>.url`) replaces it."""
    symbols: tuple[str, ...]
    """The default symbols, ours (`BTC-USD`)."""
    kinds: tuple[TickKind, ...]
    parser: Callable[[str | None], Parser]
    """Makes a connection's parser; the argument is the symbol of messages that name none."""
    connect_url: Callable[[str, Sequence[Subscription]], str]
    """The endpoint, with the subscriptions in it where the venue allows that."""
    subscribe_frames: Callable[[Sequence[Subscription]], Sequence[str]]
    """What to send after connecting, in order; empty where the URL says it all."""
    renew_frames: Callable[[Subscription], Sequence[str]] | None
    """What to send to end one subscription and begin it again; None: the venue can't."""
    trade_ids: Promise
    """What its trade ids promise: what is missing, and what comes twice, is told by them."""
    subscriptions_per_connection_max: int
    subscribe_pace_s: float
    """Seconds between two subscribe frames, so that no venue takes us for an attack."""
    silence_limit_s: float
    """Seconds without any frame after which the connection counts as dead."""
    ping_frame: str | None = None
    """An application-level ping to send every `ping_interval_s`, where the venue wants one."""
    ping_interval_s: float = 20.0
    lifetime_s: float | None = None
    """Seconds after which the venue ends every connection; None: no such rule is known. The next
    one is opened before, and when the venue announces an end (`Leaving`)."""
    by_book: "Venue | None" = None
    """The row in place of this one where quotes are to come from the venue's order book, which is
    checked by its own checksum (`venue.<name>.quotes`); None: the venue has no such thing."""
