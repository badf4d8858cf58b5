"""What one connection heard: delays by hop, rates, and all that was lost, announced or not. Pure.

Holes and disorder are found by the bookkeeping of the reference client,
`gateway.consumer.positions`.
"""

from typing import Final

import msgspec

from gateway.consumer.positions import Missed, Positions
from gateway.fanout.rates import is_conflated
from gateway.measure.histogram import Histogram
from gateway.protocol import (
    Accepted,
    Ack,
    Announcement,
    Drain,
    Error,
    Gap,
    Heartbeat,
    Lag,
    Reset,
    State,
)

HOPS: Final = ("feed", "bus", "client", "all")
"""From `rx` to `tx`, `tx` to `gw`, `gw` to here, and `tx` to here; the venue's is one a venue."""

_NAMED_MAX: Final = 20


class _Frame(msgspec.Struct, gc=False):
    """As much of a message as is measured."""

    ch: str = ""
    seq: int = 0
    gw: int | None = None
    t: int | None = None
    rx: int | None = None
    tx: int | None = None
    n: int = 1


class _NoStamps(msgspec.Struct, gc=False):
    """Of a message whose publisher means something else by `t`, `rx`, `tx` or `n`."""

    ch: str = ""
    seq: int = 0
    gw: int | None = None


_announcements: msgspec.json.Decoder[Announcement] = msgspec.json.Decoder(Announcement)


class Faults(msgspec.Struct):
    """What went wrong, or was said to have gone wrong."""

    holes: int = 0
    """Places where messages are missing and no gap said so."""
    lost_in_silence: int = 0
    """Messages, of all holes together."""
    out_of_order: int = 0
    """Messages that came again, or after a later one."""
    gaps: int = 0
    missed: int = 0
    """Messages, of all announced gaps together."""
    resets: int = 0
    lag_notices: int = 0
    lag_queued_max: int = 0
    lag_age_ms_max: int = 0
    errors: int = 0
    drains: int = 0
    unknown_frames: int = 0
    named: list[str] = []
    """The first of them, each in words."""

    @property
    def broke_a_promise(self) -> bool:
        """Lost in silence, or out of order."""
        return bool(self.holes or self.out_of_order)

    def name(self, what: str) -> None:
        if len(self.named) < _NAMED_MAX:
            self.named.append(what)

    def take_in(self, other: "Faults") -> None:
        for field in msgspec.structs.fields(Faults):
            ours, theirs = getattr(self, field.name), getattr(other, field.name)
            if field.name == "named":
                self.named = (ours + theirs)[:_NAMED_MAX]
            elif field.name.endswith("_max"):
                setattr(self, field.name, max(ours, theirs))
            else:
                setattr(self, field.name, ours + theirs)


class _Place:
    """One channel."""

    __slots__ = ("acked", "is_heard", "is_ours", "state", "venue")

    def __init__(self, name: str, venue: Histogram) -> None:
        self.venue = venue
        self.is_ours = is_conflated(name)
        """Whether `n` is the gateway's: how many messages one stands for."""
        self.acked = 0
        """Where it was at subscription: what comes from before then is no live delay."""
        self.state = "waiting"
        self.is_heard = False


class Heard:
    """Of one connection. Counted is what comes between `begin` and `end`; faults always."""

    def __init__(self) -> None:
        self.hops = {name: Histogram() for name in HOPS}
        self.venues: dict[str, Histogram] = {}
        self.faults = Faults()
        self.messages = 0
        self.payload_bytes = 0
        self.heartbeats = 0
        self.silence_us_max = 0
        """The longest time without any frame."""
        self._positions = Positions()
        self._places: dict[str, _Place] = {}
        self._last_us = 0
        self._is_counting = False
        self._decode = msgspec.json.Decoder(_Frame).decode
        self._decode_bare = msgspec.json.Decoder(_NoStamps).decode
        self._decode_announcement = _announcements.decode

    def begin(self, now_us: int) -> None:
        self._last_us = now_us
        self._is_counting = True

    def end(self, now_us: int) -> None:
        if self._is_counting:
            self._broke_silence(now_us)
            self._is_counting = False

    @property
    def channels(self) -> dict[str, str]:
        """Each one's state."""
        return {name: place.state for name, place in self._places.items()}

    @property
    def channels_heard(self) -> set[str]:
        return {name for name, place in self._places.items() if place.is_heard}

    def hear(self, frame: bytes, now_us: int, correction_us: int = 0) -> Announcement | None:
        """One frame; an announcement is handed back. `correction_us`: from our clock to theirs."""
        if self._is_counting:
            self._broke_silence(now_us)
            self.payload_bytes += len(frame)
        told = self._decoded(frame)
        if told is None or told.gw is None:
            return self._hear_announcement(frame)
        self._hear_data(told, now_us + correction_us)
        return None

    def _decoded(self, frame: bytes) -> _Frame | _NoStamps | None:
        try:
            return self._decode(frame)
        except msgspec.DecodeError:
            try:
                return self._decode_bare(frame)
            except msgspec.DecodeError:
                return None

    def _hear_data(self, told: "_Frame | _NoStamps", now_us: int) -> None:
        place = self._place(told.ch)
        count = told.n if place.is_ours and isinstance(told, _Frame) else 1
        is_new, missed = self._positions.came(told.ch, told.seq, count)
        if missed is not None:
            self._lose(missed)
        if not is_new:
            self.faults.out_of_order += 1
            self.faults.name(f"{told.ch}: {told.seq} came again, or too late")
        if not self._is_counting:
            return
        self.messages += 1
        place.is_heard = True
        if told.seq > place.acked and isinstance(told, _Frame):
            self._measure(told, place, now_us)

    def _measure(self, told: _Frame, place: _Place, now_us: int) -> None:
        t, rx, tx, gw, hops = told.t, told.rx, told.tx, told.gw, self.hops
        assert gw is not None
        hops["client"].add(now_us - gw)
        if tx is not None:
            hops["all"].add(now_us - tx)
            hops["bus"].add(gw - tx)
            if rx is not None:
                hops["feed"].add(tx - rx)
        if rx is not None and t is not None:
            place.venue.add(rx - t)

    def _hear_announcement(self, frame: bytes) -> Announcement | None:
        try:
            announcement: Announcement = self._decode_announcement(frame)
        except msgspec.DecodeError:
            self.faults.unknown_frames += 1
            return None
        faults = self.faults
        match announcement:
            case Ack():
                for told in announcement.ok:
                    self._accepted(told)
            case Heartbeat():
                self.heartbeats += self._is_counting
            case State():
                self._place(announcement.ch).state = announcement.state
            case Gap():
                _, missed = self._positions.announced(announcement)
                if missed is not None:
                    self._lose(missed)
                faults.gaps += 1
                faults.missed += announcement.last - announcement.first + 1
                span = _span(announcement.first, announcement.last)
                faults.name(f"{announcement.ch}: gap, {span} will not come, by {announcement.by}")
            case Reset():
                self._positions.began_anew(announcement)
                self._place(announcement.ch).acked = announcement.seq
                faults.resets += 1
                faults.name(f"{announcement.ch}: reset, by {announcement.by}")
            case Lag():
                faults.lag_notices += 1
                faults.lag_queued_max = max(faults.lag_queued_max, announcement.queued)
                faults.lag_age_ms_max = max(faults.lag_age_ms_max, announcement.age_ms)
            case Drain():
                faults.drains += 1
                faults.name("the gateway is stopping")
            case Error(id=None):
                faults.errors += 1
                faults.name(f"error: {announcement.message} ({announcement.code})")
        return announcement

    def _accepted(self, told: Accepted) -> None:
        if told.rate is None:
            return  # Of the end of a subscription.
        self._positions.accepted(told)
        place = self._place(told.ch)
        place.acked = told.seq or 0
        place.state = told.state or place.state

    def _lose(self, missed: Missed) -> None:
        self.faults.holes += 1
        self.faults.lost_in_silence += missed.last - missed.first + 1
        span = _span(missed.first, missed.last)
        self.faults.name(f"{missed.ch}: hole, {span} did not come and no gap said so")

    def _broke_silence(self, now_us: int) -> None:
        silence_us = now_us - self._last_us
        self._last_us = now_us
        if silence_us > self.silence_us_max:  # noqa: PLR1730 - `max` costs twice as much
            self.silence_us_max = silence_us

    def _place(self, name: str) -> _Place:
        place = self._places.get(name)
        if place is None:
            venue = name.split(":")[1] if ":" in name else name
            hop = self.venues.setdefault(venue, Histogram())
            place = self._places[name] = _Place(name, hop)
        return place


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"
