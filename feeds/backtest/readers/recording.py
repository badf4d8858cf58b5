"""Raw messages of venues, as `tickgate record` writes them: through the venue's own parser and
screen, as live ones.

Whose they are the file says, or its messages do: those of the venue whose parser makes most of
them. A message without a receive time was known when the last thing in it happened.
"""

import contextlib
import io
from collections.abc import Iterator
from functools import partial

from feeds.backtest.files import File
from feeds.backtest.readers.screening import Screening
from feeds.backtest.source import Event, Faults, FileError, Source
from feeds.market import Channel, Quote, Tick, Trade
from feeds.recordings.recording import (
    BadLine,
    Frame,
    Header,
    RecordingError,
    chunks,
    read_batches,
    read_rows,
)
from feeds.venue import ParseError, Parser, Venue
from feeds.venues import VENUES


def recognise_recording(file: File, symbol: str | None) -> Source | None:
    """See `READERS`."""
    lines = b"\n".join(line.encode() for line in file.head_lines())
    try:
        rows = list(read_rows(io.BytesIO(lines)))
    except RecordingError as error:
        raise FileError(f"{file.name}: {error}") from None
    frames = [row for row in rows if isinstance(row, Frame)]
    named = _venue_of(file, [row for row in rows if isinstance(row, Header)])
    channels, venue = max(
        (
            (_understood(each.parser(symbol), frames), each)
            for each in (VENUES.values() if named is None else (named,))
        ),
        key=lambda found: len(found[0]),
    )
    if named is None and not channels:
        return None
    return Source(
        name=file.name,
        format=f"a recording of {venue.name}",
        content="ticks",
        venues=frozenset((venue.name,)),
        events=partial(_events, file, venue, symbol),
        quotes=frozenset(channel for channel in channels if channel.kind == "quote"),
    )


def _venue_of(file: File, headers: list[Header]) -> Venue | None:
    if not headers:
        return None
    venue = VENUES.get(headers[0].venue)
    if venue is None:
        raise FileError(f"{file.name} is a recording of {headers[0].venue}, which nobody can parse")
    return venue


def _understood(parser: Parser, frames: list[Frame]) -> list[Channel]:
    """The channels of all ticks that a parser makes of some frames."""
    channels: list[Channel] = []
    for row in frames:
        with contextlib.suppress(ParseError):
            events = parser.feed(row.frame, None)
            channels += [event.channel for event in events if isinstance(event, Tick)]
    return channels


def _events(file: File, venue: Venue, symbol: str | None, faults: Faults) -> Iterator[Event]:
    parser = venue.parser(symbol)
    screening = Screening(faults)
    with file.packed() as stream:
        for batch in read_batches(chunks(stream)):
            for row in batch:
                match row:
                    case Frame(number, received_ns, frame):
                        try:
                            events = parser.feed(frame, received_ns)
                        except ParseError as error:
                            faults.add(f"{file.name}:{number}", str(error))
                            continue
                        found = [event for event in events if isinstance(event, Tick)]
                        place = f"{file.name}:{number}"
                        ticks = screening.passed(found, venue.trade_ids, place)
                        at_us = _at_us(received_ns, ticks)
                        if ticks and at_us is not None:
                            yield Event(at_us, ticks)
                    case BadLine(number, reason):
                        faults.add(f"{file.name}:{number}", reason)


def _at_us(received_ns: int | None, ticks: list[Tick]) -> int | None:
    if received_ns is not None:
        return received_ns // 1_000
    payloads = [tick.payload for tick in ticks]
    times = [each.venue_us for each in payloads if isinstance(each, Trade | Quote)]
    return max((at for at in times if at is not None), default=None)
