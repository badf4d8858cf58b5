"""What one client was told, held against what it was promised. Pure; trusts no one's bookkeeping.

Every seq of a channel comes once, in order, or lies in a gap, a hole named on return (`missed`), or
before a reset; every message is the one that was published under that epoch and seq.
"""

from collections import Counter
from typing import Any, Final, NamedTuple

from gateway.client import Ack, Gap, Message, Missed, Reset
from tests.chaos.truth import Said, said_in

_TOLD_MAX: Final = 3
"""Findings of a kind and channel that are told: one mistake has many followers."""


class Finding(NamedTuple):
    """A broken promise."""

    kind: str
    """`lost`, `duplicated`, `reordered`, `silent`, `false` (not what was published), `untrue` (an
    announcement), `ended`, `stuck`."""
    client: str
    channel: str
    told: str


class Truth:
    """By how much seq and n differ, in each epoch and run: all clients must agree."""

    def __init__(self) -> None:
        self._offsets: dict[tuple[str, str, int], int] = {}

    def agrees(self, channel: str, epoch: str, seq: int, said: Said) -> bool:
        offset = seq - said.n
        return self._offsets.setdefault((channel, epoch, said.run), offset) == offset


class Place:
    """Where a client is in one channel."""

    def __init__(self, epoch: str | None, seq: int) -> None:
        self.epoch = epoch
        self.seq = seq
        self.may_come = True
        """Whether the message of `seq` itself may still come: the newest, told at subscribing."""
        self.said: Said | None = None
        self.arrived_us = 0
        """When the latest message was published (`tx`)."""


class Ledger:
    """Of one client, over all its connections."""

    def __init__(self, client: str, truth: Truth) -> None:
        self.client = client
        self.places: dict[str, Place] = {}
        self.findings: list[Finding] = []
        self.messages = 0
        self.counts: Counter[str] = Counter()
        """Messages in gaps, by culprit; holes named on return; resets; reconnections."""
        self._truth = truth
        self._found: Counter[tuple[str, str]] = Counter()

    def subscribed(self, ack: Ack) -> None:
        """The first ack of channels."""
        for row in ack.ok:
            self.places[row.ch] = Place(row.epoch, row.seq or 0)

    def hear(self, message: Message) -> None:
        match message:
            case dict():
                self._hear_data(message)
            case Gap():
                kind = message.ch.partition(":")[0]
                self.counts[f"{kind} gap by {message.by}"] += message.last - message.first + 1
                self._skip(message.ch, message.first, message.last)
            case Missed():
                kind = message.ch.partition(":")[0]
                self.counts[f"{kind} missed, {message.why}"] += message.last - message.first + 1
                if message.why == "unannounced":
                    self._find("silent", message.ch, f"{message.first} to {message.last}")
                self._skip(message.ch, message.first, message.last)
            case Reset():
                self.counts["resets"] += 1
                self._reset(message)
            case _:
                self.counts[type(message).__name__.lower()] += 1

    def _hear_data(self, data: dict[str, Any]) -> None:
        self.messages += 1
        channel, seq = data["ch"], data["seq"]
        place = self.places.setdefault(channel, Place(None, seq))
        first = seq - data.get("n", 1) + 1
        if seq <= place.seq and not (seq == place.seq and place.may_come):
            kind = "duplicated" if seq == place.seq else "reordered"
            self._find(kind, channel, f"{seq} after {place.seq}")
            return
        if first > place.seq + 1:
            self._find("silent", channel, f"{place.seq + 1} to {first - 1}")
        said = said_in(data)
        if said is None or not self._is_true(channel, place, first, seq, said):
            self._find("false", channel, f"{data} in epoch {place.epoch}")
        place.seq, place.said, place.may_come = seq, said, False
        place.arrived_us = data["tx"]

    def _is_true(self, channel: str, place: Place, first: int, seq: int, said: Said) -> bool:
        before = place.said
        if place.epoch is not None and not self._truth.agrees(channel, place.epoch, seq, said):
            return False
        if before is None:
            return True
        if said.run == before.run:
            return said.n > before.n
        # Nothing is missing between: what a feed that was started again says first is its first.
        return said.run > before.run and (first < seq or said.n == 1)

    def _skip(self, channel: str, first: int, last: int) -> None:
        place = self.places.setdefault(channel, Place(None, first - 1))
        if first <= place.seq and not (first == place.seq and place.may_come):
            self._find("untrue", channel, f"missing {first} to {last}, but is at {place.seq}")
        elif first > place.seq + 1:
            self._find("silent", channel, f"{place.seq + 1} to {first - 1}")
        if last > place.seq:
            place.seq, place.may_come, place.said = last, False, None

    def _reset(self, reset: Reset) -> None:
        place = self.places.setdefault(reset.ch, Place(None, 0))
        if reset.epoch == place.epoch:
            self._find("untrue", reset.ch, f"a reset to the epoch that it was in: {reset.epoch}")
        place.epoch, place.seq, place.may_come = reset.epoch, reset.seq, True
        # What Redis took and forgot before it answered is published again: the feed can't know.
        place.said = None

    def _find(self, kind: str, channel: str, told: str) -> None:
        self._found[kind, channel] += 1
        if self._found[kind, channel] <= _TOLD_MAX:
            self.findings.append(Finding(kind, self.client, channel, told))
