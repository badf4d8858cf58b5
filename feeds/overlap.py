"""Two sockets that say the same for a while: the old one leads, what the new one says waits. Pure.

When the old one goes, what it has not said comes from the new one: trades by id, the rest by time,
so that nothing is missing, nothing comes twice, and the order is the venue's. Bounded.
"""

from collections.abc import Iterable, Sequence

import msgspec

from feeds.market import Book, Payload, Quote, Tick, Trade


class Overlap:
    """Of one share of a venue's subscriptions. Begins before the new socket is opened."""

    def __init__(self, ticks_max: int) -> None:
        self._ticks_max = ticks_max
        self._trades: dict[tuple[str, str], None] = {}
        """Channel and id of those that were passed on; the oldest are forgotten."""
        self._newest: dict[str, Tick] = {}
        """What else the old one said: the newest of each channel."""
        self._held: list[Tick] = []

    @property
    def is_full(self) -> bool:
        """The new one has to lead now."""
        return len(self._held) >= self._ticks_max

    def old_said(self, ticks: Iterable[Tick]) -> None:
        """Remembers what was passed on."""
        for tick in ticks:
            if isinstance(tick.payload, Trade):
                self._remember(tick.channel.name, tick.payload.id)
            else:
                self._newest[tick.channel.name] = tick

    def new_said(self, ticks: Iterable[Tick]) -> None:
        """Holds it back; whoever calls looks at `is_full`."""
        self._held.extend(ticks)

    def rest(self) -> Sequence[Tick]:
        """What only the new one has said, in order; once."""
        held, self._held = self._held, []
        known_until = self._known_until(held)
        rest: list[Tick] = []
        for place, tick in enumerate(held):
            name, payload = tick.channel.name, tick.payload
            if isinstance(payload, Trade):
                if (name, payload.id) in self._trades:
                    continue
                self._remember(name, payload.id)
            elif place <= known_until.get(name, -1) or _is_older(tick, self._newest.get(name)):
                continue
            rest.append(tick)
        return rest

    def _known_until(self, held: Sequence[Tick]) -> dict[str, int]:
        """Of each channel, the place of what the old one said last, if it is there."""
        places: dict[str, int] = {}
        for place, tick in enumerate(held):
            newest = self._newest.get(tick.channel.name)
            if newest is not None and _said(newest) == _said(tick):
                places[tick.channel.name] = place
        return places

    def _remember(self, name: str, trade_id: str) -> None:
        if len(self._trades) >= self._ticks_max:
            del self._trades[next(iter(self._trades))]
        self._trades[name, trade_id] = None


def _said(tick: Tick) -> tuple[Payload, int | None]:
    """What the venue said, whenever we received it."""
    payload = tick.payload
    if isinstance(payload, Quote | Book):
        payload = msgspec.structs.replace(payload, received_us=None)
    return payload, tick.sequence


def _is_older(tick: Tick, newest: Tick | None) -> bool:
    """By the venue's own number or time, where it gives one; else by when it was received."""
    if newest is None:
        return False
    for ours, theirs in zip(_places(tick), _places(newest), strict=True):
        if ours is not None and theirs is not None:
            return ours < theirs
    return False


def _places(tick: Tick) -> tuple[int | None, ...]:
    """The surest first."""
    payload = tick.payload
    if isinstance(payload, Quote | Book):
        return tick.sequence, payload.venue_us, payload.received_us
    return tick.sequence, None, None
