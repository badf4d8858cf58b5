"""Where a client stands in each of its channels, and what it must have missed. Pure.

Every seq of a channel is delivered once, or lies in a gap that the gateway announced; everything
else is found here. Data carries no epoch, so each position is anchored by an ack, or by the state
before a channel's first message.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from feeds.market import Position
from gateway.protocol import Accepted, Gap, Reset

_UNKNOWN: Final = ""
"""The epoch of a channel that had none when its ack was written."""


class Missed(msgspec.Struct, frozen=True, tag_field="type", tag="missed"):
    """Messages `first` to `last` of `ch` did not come, and the gateway did not say so.

    `away`: they were published while there was no connection. `unannounced`: there was one; the
    gateway broke its promise.
    """

    ch: str
    first: int = msgspec.field(name="from")
    last: int = msgspec.field(name="to")
    why: Literal["away", "unannounced"]


class _Place:
    __slots__ = ("acked", "delivered", "epoch", "seq")

    def __init__(self, epoch: str, seq: int, *, delivered: bool) -> None:
        self.epoch = epoch
        self.seq = seq
        self.delivered = delivered
        """Whether the message of `seq` came here; an ack names one that may still come."""
        self.acked = seq
        """The last ack's: what is missing up to there was published while we were away."""

    def hole_before(self, name: str, seq: int) -> Missed | None:
        """What lies between here and there, if anything does."""
        if seq <= self.seq + 1:
            return None
        why: Literal["away", "unannounced"] = "away" if seq - 1 <= self.acked else "unannounced"
        return Missed(name, self.seq + 1, seq - 1, why)


class Positions:
    """Of all channels of one stream, across its connections."""

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}
        self.repeated = 0
        """Messages that came a second time, and were not passed on."""

    def restore(self, positions: Mapping[str, Position]) -> None:
        """Where an earlier run of the client had got to."""
        for name, position in positions.items():
            self._places[name] = _Place(position.epoch, position.seq, delivered=True)

    def current(self) -> dict[str, Position]:
        """Of the channels whose epoch is known."""
        return {
            name: Position(place.epoch, place.seq)
            for name, place in self._places.items()
            if place.epoch != _UNKNOWN
        }

    def since(self, names: Iterable[str]) -> dict[str, object]:
        """What a subscribe command tells of the channels that it names; a wildcard names many."""
        known = self.current()
        exact: dict[str, object] = {name: known[name] for name in names if name in known}
        prefixes = tuple(name[:-1] for name in names if name.endswith(":*"))
        return exact | {
            name: position for name, position in known.items() if name.startswith(prefixes)
        }

    def accepted(self, told: Accepted) -> Missed | Reset | None:
        """An ack's word of where the channel is; what came while we were away."""
        place = self._places.get(told.ch)
        epoch, seq = told.epoch or _UNKNOWN, told.seq or 0
        if place is None:
            self._places[told.ch] = _Place(epoch, seq, delivered=False)
            return None
        if told.recovered:
            return None  # What follows goes on from where we were.
        if epoch == _UNKNOWN:
            # What follows is the first that there ever was, or that Redis remembers.
            had_begun = place.seq > 0
            self._places[told.ch] = _Place(_UNKNOWN, 0, delivered=False)
            return Reset(told.ch, _UNKNOWN, 0, "bus") if had_begun else None
        if place.epoch not in (epoch, _UNKNOWN) or (place.epoch == _UNKNOWN and seq < place.seq):
            self._places[told.ch] = _Place(epoch, seq, delivered=False)
            return Reset(told.ch, epoch, seq, "bus")
        place.epoch = epoch
        if seq <= place.seq:
            # Another gateway that is a moment behind: what it repeats is dropped, seq by seq.
            return None
        # `recovered: false` comes with the newest value: that one is not missed.
        last = seq if told.recovered is None else seq - 1
        place.acked = seq
        missed = place.hole_before(told.ch, last + 1)
        place.seq, place.delivered = last, False
        return missed

    def begins(self, name: str, epoch: str) -> None:
        """The first message of a channel that had none follows."""
        place = self._places.get(name)
        if place is not None and place.epoch == _UNKNOWN:
            place.epoch = epoch

    def came(self, name: str, seq: int, count: int = 1) -> tuple[bool, Missed | None]:
        """A message that stands for `count`: whether it is new, and what is missing before it."""
        place = self._places.get(name)
        if place is None:
            self._places[name] = _Place(_UNKNOWN, seq, delivered=True)
            return True, None
        if seq <= place.seq:
            is_new, place.delivered = not place.delivered, True
            self.repeated += not is_new
            return is_new, None
        missed = place.hole_before(name, seq - count + 1)
        place.seq, place.delivered = seq, True
        return True, missed

    def announced(self, gap: Gap) -> tuple[bool, Missed | None]:
        """A gap that the gateway announces: whether it is new, and what is missing before it."""
        place = self._places.setdefault(gap.ch, _Place(_UNKNOWN, gap.first - 1, delivered=True))
        if gap.last <= place.seq:
            # Told again; or in the place of an ack's newest message, which is lost to a slow one.
            is_new, place.delivered = not place.delivered, True
            return is_new, None
        missed = place.hole_before(gap.ch, gap.first)
        place.seq, place.delivered = gap.last, True
        return True, missed

    def began_anew(self, reset: Reset) -> None:
        self._places[reset.ch] = _Place(reset.epoch, reset.seq, delivered=False)

    def forget(self, name: str) -> None:
        """The subscription has ended."""
        self._places.pop(name, None)
