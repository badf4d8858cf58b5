"""Messages of other processes' channels to ticks: in order, each once, holes told. Pure.

Anybody may publish to a channel: what is no trade, quote or state is left out, and counted.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from feeds.market import (
    Channel,
    Missing,
    Payload,
    Publication,
    PublicationError,
    Quote,
    Status,
    Tick,
    Trade,
)
from feeds.market.channel import HISTORY_MAX
from feeds.market.digits import digits, positive

Place = tuple[str, int]
"""An epoch and a seq in it."""

_READERS: Final[Mapping[str, Callable[[bytes], Payload]]] = {
    "trade": msgspec.json.Decoder(Trade).decode,
    "quote": msgspec.json.Decoder(Quote).decode,
    "status": msgspec.json.Decoder(Status).decode,
}
KINDS: Final = frozenset(_READERS)
_UNREADABLE: Final = (ValueError, msgspec.MsgspecError, RecursionError)


class HoleError(Exception):
    """Messages before this one did not come: they may be in the channel's stream."""


class InOrder:
    """How far each channel was heard."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        """By the channel's name; a channel begins with the first message that is heard of it."""
        self.unreadable = 0
        self.missed = 0
        """Messages that could not be had any more."""

    def next(self, channel: Channel, message: bytes) -> Tick | None:
        """What a message says; None: nothing, or nothing new. Raises HoleError."""
        try:
            publication = Publication.decode(message)
        except PublicationError:
            self.unreadable += 1
            return None
        place = self.places.get(channel.name)
        if place is not None:
            epoch, seq = place
            if epoch != publication.epoch:
                raise HoleError
            if publication.seq <= seq:
                return None
            if publication.seq - seq - 1 > _told_missing(publication):
                raise HoleError
        return self._take(channel, publication, publication.missing)

    def behind(self, channel: Channel, newest: Sequence[bytes]) -> int:
        """How many messages the stream may have that were not heard, by its newest one."""
        place = self.places.get(channel.name)
        for message in newest:
            try:
                publication = Publication.decode(message)
            except PublicationError:
                continue
            if place is not None and place[0] == publication.epoch:
                return min(HISTORY_MAX, max(0, publication.seq - place[1]))
            return HISTORY_MAX
        return 0

    def after(self, channel: Channel, kept: Sequence[bytes]) -> list[Tick]:
        """What the stream has (all that it keeps, oldest first) that was not heard yet."""
        ticks: list[Tick] = []
        for message in kept:
            try:
                publication = Publication.decode(message)
            except PublicationError:
                self.unreadable += 1
                continue
            epoch, seq = self.places.get(channel.name, (publication.epoch, publication.seq - 1))
            missing = publication.missing
            if epoch != publication.epoch:
                # How many there were is not known: at least one.
                self.missed += 1
                missing = Missing("feed", 1)
            elif publication.seq <= seq:
                continue
            elif (lost := publication.seq - seq - 1 - _told_missing(publication)) > 0:
                self.missed += lost
                missing = Missing("feed", lost + _told_missing(publication))
            tick = self._take(channel, publication, missing)
            if tick is not None:
                ticks.append(tick)
        return ticks

    def begin(self, places: Mapping[str, Place]) -> None:
        """Forgets where it was; what is told from there on is new."""
        self.places = dict(places)

    def _take(
        self, channel: Channel, publication: Publication, missing: Missing | None
    ) -> Tick | None:
        self.places[channel.name] = publication.epoch, publication.seq
        try:
            payload = _read(channel.kind, publication.payload)
        except _UNREADABLE:
            self.unreadable += 1
            return None
        return Tick(channel, payload, missing=missing)


def _read(kind: str, message: bytes) -> Payload:
    """Raises one of _UNREADABLE: prices are to be numbers here, as from a venue."""
    match payload := _READERS[kind](message):
        case Trade():
            positive(payload.price)
            digits(payload.size)
        case Quote():
            positive(payload.bid)
            positive(payload.ask)
    return payload


def _told_missing(publication: Publication) -> int:
    return 0 if publication.missing is None else publication.missing.messages
