"""ROUTES: what REST answers, a row each. The documents at `/docs` are made of the same rows."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, NamedTuple

from feeds.market import TrackRecord
from gateway.access.usage import Used
from gateway.fanout.sent import SENT, AnyMessage
from gateway.rest.account import ticket, usage
from gateway.rest.answers import CandlePage, Latest, Page, Symbols, Ticket, TrackRecords, Venues
from gateway.rest.call import Call
from gateway.rest.candles import candles
from gateway.rest.latest import latest
from gateway.rest.parameters import (
    Nothing,
    OfCandles,
    OfLatest,
    OfSignals,
    OfSymbols,
    OfTrackRecord,
    OfTrades,
)
from gateway.rest.signals import signals
from gateway.rest.symbols import symbols
from gateway.rest.track_records import track_record
from gateway.rest.trades import trades
from gateway.rest.venues import venues


class RestRoute(NamedTuple):
    """A row."""

    method: Literal["GET", "POST"]
    path: str
    name: str
    summary: str
    query: Any
    """The Struct of its parameters."""
    answer: Any
    """The type of what it answers; messages are passed on undecoded, whatever it says of them."""
    do: Callable[[Call, Any], Awaitable[object]]
    problems: tuple[str, ...] = ()
    """What it may be refused for, besides what all may."""
    is_secret: bool = False
    """Whether nobody on the way may keep the answer, not even to ask whether it is still true."""


def _of(form: Any, kind: str) -> Any:
    """The answer of that form, with messages of that kind."""
    return form[SENT[kind]]


_LISTING: Final = ("bad_cursor", "history_gone", "busy", "history_unavailable")
_OF_STREAMS: Final = (*_LISTING, "epoch_ended")
_CHANNEL: Final = ("bad_channel", "unknown_venue", "unknown_symbol", "not_in_plan")

REST: Final[tuple[RestRoute, ...]] = (
    RestRoute(
        *("GET", "/v1/latest", "latest", "The newest message of each channel"),
        *(OfLatest, Latest[AnyMessage], latest),
        ("too_many_channels", "bad_cursor", "busy", "history_unavailable"),
    ),
    RestRoute(
        *("GET", "/v1/candles", "candles", "A channel's candles, each interval once"),
        *(OfCandles, _of(CandlePage, "candle"), candles),
        _CHANNEL + _LISTING,
    ),
    RestRoute(
        *("GET", "/v1/trades", "trades", "A channel's recent trades"),
        *(OfTrades, _of(Page, "trade"), trades),
        _CHANNEL + _OF_STREAMS,
    ),
    RestRoute(
        *("GET", "/v1/signals", "signals", "What models said, and how the pair has moved since"),
        *(OfSignals, _of(Page, "signal"), signals),
        ("unknown_model", "unknown_symbol", "not_in_plan", "too_many_channels", *_OF_STREAMS),
    ),
    RestRoute(
        *("GET", "/v1/track-record", "track_record", "What came of a model's signals"),
        *(OfTrackRecord, TrackRecords[TrackRecord], track_record),
        ("unknown_model", "not_in_plan", "busy", "history_unavailable"),
    ),
    RestRoute(
        *("GET", "/v1/symbols", "symbols", "What there is, by symbol"),
        *(OfSymbols, Symbols, symbols),
        ("bad_cursor",),
    ),
    RestRoute(
        *("GET", "/v1/venues", "venues", "How each venue's feed does"),
        *(Nothing, _of(Venues, "status"), venues),
        ("busy", "history_unavailable"),
    ),
    RestRoute(
        *("GET", "/v1/usage", "usage", "What the key has used in this month"),
        *(Nothing, Used, usage),
        ("usage_unavailable",),
        is_secret=True,
    ),
    RestRoute(
        *("POST", "/v1/tickets", "ticket", "A ticket for a browser's WebSocket"),
        *(Nothing, Ticket, ticket),
        ("tickets_unavailable",),
        is_secret=True,
    ),
)

FOR_ALL: Final = (
    *("bad_parameter", "key_in_url", "auth_required", "auth_failed", "rate_limited"),
    *("quota_exceeded", "too_many_failures", "keys_unavailable", "internal"),
)
"""What every one of them may be refused for."""
