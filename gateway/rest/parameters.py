"""What may stand in the queries, as types. What is misspelt or out of range is refused. Pure.

The documents are made of these, too.
"""

from typing import Annotated, Final, Literal, TypeVar

import msgspec

from feeds.market.times import TimeError, rfc3339_us

LIMIT_MAX: Final = 500
"""Messages of a page: 2 ms to put it together."""
SYMBOLS_MAX: Final = 1_000
CHANNELS_MAX: Final = 500
"""Of one page of `latest`, which reads one message of each."""

Interval = Literal["1s", "1m", "5m", "15m", "1h", "4h", "1d"]
Limit = Annotated[int, msgspec.Meta(ge=1, le=LIMIT_MAX)]

Q = TypeVar("Q", bound=msgspec.Struct)


class ParameterError(ValueError):
    """A query that can't be answered."""


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class OfLatest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    channels: str
    """Names, with commas between them; `*` may stand for a symbol: all that are known now."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=CHANNELS_MAX)] = 100
    """Channels of a page."""
    cursor: str | None = None
    """`next` of the page before."""


class OfTrades(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    channel: str | None = None
    """Like trade:kraken:BTC-USD; or else `venue` and `symbol`."""
    venue: str | None = None
    """Like kraken; agg for what is made of all venues."""
    symbol: str | None = None
    """Like BTC-USD."""
    limit: Limit = 100
    """Messages of a page."""
    cursor: str | None = None
    """`next` of the page before."""


class OfCandles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    channel: str | None = None
    """Like candle.1m:agg:BTC-USD; or else `venue`, `symbol` and `interval`."""
    venue: str | None = None
    """Like kraken; agg for what is made of all venues."""
    symbol: str | None = None
    """Like BTC-USD."""
    interval: Interval | None = None
    start: str | None = None
    """Only intervals that begin then or later: microseconds UTC, or RFC 3339."""
    end: str | None = None
    """Only intervals that begin before that."""
    limit: Limit = 100
    """Candles of a page."""
    cursor: str | None = None
    """`next` of the page before."""


class OfSignals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str | None = None
    """Like trend; none: all models."""
    pair: str | None = None
    """Like BTC-USD; none: all pairs."""
    limit: Limit = 100
    """Messages of a page."""
    cursor: str | None = None
    """`next` of the page before."""


class OfTrackRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str | None = None
    """Like trend; none: all models."""
    pair: str | None = None
    """Like BTC-USD; none: the record over all pairs."""


class OfSymbols(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str | None = None
    """Only channels of this kind, like trade or candle.1m."""
    venue: str | None = None
    """Only channels of this venue."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=SYMBOLS_MAX)] = 100
    """Symbols of a page."""
    cursor: str | None = None
    """`next` of the page before."""


def parsed(pairs: list[tuple[str, str]], type_: type[Q]) -> Q:
    """Raises ParameterError."""
    named = dict(pairs)
    if len(named) < len(pairs):
        raise ParameterError("a parameter stands there twice")
    # An empty one is one that is not set.
    given = {name: value for name, value in named.items() if value}
    try:
        return msgspec.convert(given, type_, strict=False)
    except msgspec.ValidationError as error:
        raise ParameterError(str(error).replace("Object", "The query").replace("$.", "")) from error


def microseconds(name: str, text: str | None) -> int | None:
    """Raises ParameterError."""
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 16:
        return int(text)
    try:
        return rfc3339_us(text)
    except TimeError as error:
        raise ParameterError(f"{name} is microseconds UTC, or like 2026-11-21T18:00:00Z") from error
