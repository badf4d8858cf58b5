"""Messages as subscribers got them, a JSON object a line: of `tickgate watch` and `decode`.

Trades, quotes and statuses of venues are taken. What is derived is computed anew, and a gap tells
the next message that something is missing before it, whoever is to blame.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from feeds.backtest.files import File
from feeds.backtest.source import Event, Faults, Source
from feeds.derived.derivation import AGGREGATE
from feeds.market import Channel, Missing, Quote, Status, Tick, Trade
from feeds.market.publication import Blame

_HEAD_LINES: Final = 500


class _Line(msgspec.Struct):
    """What says what the rest is."""

    channel: str = msgspec.field(name="ch", default="")
    kind: str | None = msgspec.field(name="type", default=None)
    first: int = msgspec.field(name="from", default=0)
    last: int = msgspec.field(name="to", default=0)
    by: str = ""


_line: Final = msgspec.json.Decoder(_Line).decode
_READ: Final[dict[str, Callable[[bytes], Trade | Quote | Status]]] = {
    "trade": msgspec.json.Decoder(Trade).decode,
    "quote": msgspec.json.Decoder(Quote).decode,
    "status": msgspec.json.Decoder(Status).decode,
}


def recognise_messages(file: File, symbol: str | None) -> Source | None:
    """See `READERS`. `symbol` is not needed: each message names its channel."""
    channels: set[Channel] = set()
    found = others = 0
    for text in file.head_lines()[:_HEAD_LINES]:
        try:
            name = _line(text.encode()).channel
            channel = Channel.parse(name) if name else None
        except (ValueError, RecursionError):
            others += 1
            continue
        if channel is not None:
            found += 1
            if _is_taken(channel):
                channels.add(channel)
    if found <= others:
        return None
    return Source(
        name=file.name,
        format="messages of subscribers",
        content="ticks",
        venues=frozenset(channel.venue for channel in channels),
        events=lambda faults: _events(file, faults),
        quotes=frozenset(channel for channel in channels if channel.kind == "quote"),
    )


def _events(file: File, faults: Faults) -> Iterator[Event]:
    channels: dict[str, Channel] = {}
    gaps: dict[str, Missing] = {}
    for number, text in enumerate(file.lines(), start=1):
        if not text.strip():
            continue
        line = text.encode()
        try:
            said = _line(line)
            channel = channels.get(said.channel)
            if channel is None and said.channel:
                channel = channels[said.channel] = Channel.parse(said.channel)
            if channel is None or not _is_taken(channel):
                continue
            if said.kind is not None:
                if said.kind == "gap":
                    by: Blame = "venue" if said.by == "venue" else "feed"
                    gaps[channel.name] = Missing(by, max(1, said.last - said.first + 1))
                continue
            payload = _READ[channel.kind](line)
        except (ValueError, RecursionError) as error:
            faults.add(f"{file.name}:{number}", str(error))
            continue
        at_us = payload.received_us or _happened_us(payload)
        if at_us is not None:
            yield Event(at_us, [Tick(channel, payload, missing=gaps.pop(channel.name, None))])


def _is_taken(channel: Channel) -> bool:
    return channel.kind in _READ and channel.venue != AGGREGATE


def _happened_us(payload: Trade | Quote | Status) -> int | None:
    return payload.since_us if isinstance(payload, Status) else payload.venue_us
