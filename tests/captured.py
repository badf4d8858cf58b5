"""Captured frames of venues, and a short way to say what a parser made of one."""

from collections.abc import Iterable
from pathlib import Path

from feeds.market import Quote, Tick, Trade
from feeds.venue import Event

_CAPTURES = Path(__file__).parent / "captures"

RECEIVED_NS = 1_723_161_255_343_000_999
RECEIVED_US = 1_723_161_255_343_000


def frames(venue: str, name: str = "frames") -> list[str]:
    """The lines of `tests/captures/<venue>/<name>.jsonl`: see the README there."""
    return (_CAPTURES / venue / f"{name}.jsonl").read_text("utf-8").splitlines()


def ticks(events: Iterable[Event]) -> list[tuple[str | int | None, ...]]:
    """Each tick as its channel and its payload's values, in the order of the Struct's fields."""
    found: list[tuple[str | int | None, ...]] = []
    for event in events:
        assert isinstance(event, Tick)
        match event.payload:
            case Trade(price, size, side, trade_id, venue_us, received_us):
                found.append(
                    (event.channel.name, price, size, side, trade_id, venue_us, received_us)
                )
            case Quote(bid, ask, bid_size, ask_size, venue_us, received_us):
                found.append(
                    (event.channel.name, bid, ask, bid_size, ask_size, venue_us, received_us)
                )
            case other:
                raise AssertionError(f"no trade and no quote: {other}")
    return found


def told(events: Iterable[Event]) -> list[str]:
    """Each tick as one line, `-` for what isn't known; all of them received at RECEIVED_NS."""
    lines = []
    for *values, received_us in ticks(events):
        assert received_us == RECEIVED_US
        lines.append(" ".join("-" if value is None else str(value) for value in values))
    return lines
