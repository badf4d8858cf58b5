"""Where one subscription stands by what came over the wire, and what may come next: the oracle."""

from collections.abc import Mapping
from typing import Any, Final

from feeds.market import Channel
from gateway.fanout import comeback
from tests.simulation.bus_model import BusModel
from tests.simulation.truth import Epoch, Truth, Violation

_NEAR: Final = {"trade": 1_000, "candle": 1_000, "signal": 1_000, "custom": 1_000}
"""How far back the history of a kind of channel goes; of the others:"""
_NEAR_STATE: Final = 100


class Account:
    """Of one channel on one connection, from its ack to the ack of its end."""

    def __init__(self, channel: Channel, truth: Truth, bus: BusModel, *, blame: set[str]) -> None:
        self.channel = channel
        self._truth = truth
        self._bus = bus
        self._blame = blame
        """What else gaps may be put down to: `slow`, `plan`; the client knows."""
        self.epoch: str | None = None
        self.seq = 0
        self.on_lag = ""
        self.rate = ""
        self.state = ""
        self.is_ending = False
        """Its end was asked for: the gateway may drop what waits of it."""
        self.is_changing = False
        """Other terms were asked for: what still waits may be told by them already."""
        self._is_known = False
        self._newest: int | None = None
        """An ack's seq, while the newest value up to there may still follow."""
        self.shown = 0
        """The number of the newest message that came."""

    # What comes.

    def acked(self, told: Mapping[str, Any], since: object, rate: str, on_lag: str) -> None:
        epoch, seq = told.get("epoch"), told.get("seq", 0)
        if epoch is not None and seq > self._truth.epoch(self.channel.name, epoch).head:
            raise Violation(f"{self._where()}: the ack {told} is ahead of the truth")
        recovered = told.get("recovered")
        if recovered:
            assert isinstance(since, list)
            if since[0] != epoch or since[1] > seq:
                raise Violation(f"{self._where()}: {told} can't be resumed from {since}")
            self.epoch, self.seq = since
        elif recovered is None and self._is_known and not self._goes_on_at(epoch, seq):
            raise Violation(f"{self._where()}: the ack {told} leaves something out, or repeats it")
        else:
            if recovered is False:
                self._check_lost(since)
            self.epoch, self.seq = epoch, seq
        if recovered:
            self._see(self.seq)
        self._newest = None if recovered else seq
        self._is_known = True
        self.rate, self.on_lag, self.state = rate, on_lag, told["state"]

    def heard(self, told: Mapping[str, Any]) -> None:
        match told.get("type"):
            case "gap":
                self._gap(told["from"], told["to"], told["by"])
            case "reset":
                self._reset(told["epoch"], told["seq"])
            case "state":
                self.state = told["state"]
            case _:
                self._message(dict(told))

    def _message(self, told: dict[str, Any]) -> None:
        seq, count = told["seq"], 1
        if self.channel.promises.conflation is not None:
            count = told.get("n", 1)
        if self.epoch is None:
            self.epoch = self._epoch_of(told)
        first = seq - count + 1
        if self._newest is not None and seq <= self._newest and seq <= self.seq:
            self._newest = None
        else:
            self._newest = None
            self._follow(first, seq, told)
            self.seq = seq
        if count > 1 and not self._may_conflate():
            raise Violation(f"{self._where()}: conflated at {self.rate}, {self.on_lag}: {told}")
        self._truth.check_message(self.channel.name, self.epoch, first, told)
        self._see(seq)

    def _gap(self, first: int, last: int, by: str) -> None:
        name = self.channel.name
        if self._newest is not None and last <= min(self._newest, self.seq) and by in self._blame:
            # In the place of the newest value, that follows an ack.
            self._newest = None
            self._see(last)
            return
        self._follow(first, last, by)
        epochs = [self._truth.epoch(name, self.epoch)] if self.epoch else self._truth.epochs[name]
        if last < first or not any(self._explains(one, first, last, by) for one in epochs):
            raise Violation(f"{self._where()}: a gap {first}..{last} by {by} without a reason")
        self.seq, self._newest = last, None
        self._see(last)

    def _see(self, seq: int) -> None:
        epoch = self._truth.current(self.channel.name)
        if self.epoch is not None:
            epoch = self._truth.epoch(self.channel.name, self.epoch)
        if epoch is not None and seq in epoch.made:
            self.shown = epoch.made[seq].number

    def _reset(self, epoch: str, seq: int) -> None:
        names = [one.name for one in self._truth.epochs[self.channel.name]]
        if epoch not in names or self.epoch == epoch:
            raise Violation(f"{self._where()}: a reset to {epoch} {seq}")
        is_back = self.epoch is not None and names.index(epoch) < names.index(self.epoch)
        if is_back and not self._truth.went_back:
            raise Violation(f"{self._where()}: a reset back to {epoch}")
        if seq > self._truth.epoch(self.channel.name, epoch).head:
            raise Violation(f"{self._where()}: a reset ahead of the truth: {epoch} {seq}")
        self.epoch, self.seq, self._newest = epoch, seq, None

    # What is asked at the end.

    def is_current(self) -> bool:
        epoch = self._truth.current(self.channel.name)
        if epoch is None:
            return self.seq == 0
        if self._is_forgotten():
            return True
        return (self.epoch or epoch.name) == epoch.name and self.seq == epoch.head

    def shows_newest(self) -> bool:
        """Of a state, the newest value there is has come, however the subscription began."""
        epoch = self._truth.current(self.channel.name)
        is_state = self.channel.promises.newest_at_subscribe
        if epoch is None or not is_state or self._is_forgotten():
            return True
        newest = epoch.made[max(epoch.made)] if epoch.made else None
        # One that can't be passed on hides those before it: an opening reads the newest alone.
        return newest is None or "n" in newest.told or self.shown >= newest.number

    def __str__(self) -> str:
        return self._where()

    # What is right.

    def _follow(self, first: int, last: int, told: object) -> None:
        if first <= self.seq:
            raise Violation(f"{self._where()}: {first}..{last} is told twice: {told}")
        if first > self.seq + 1 and not self.is_ending:
            raise Violation(f"{self._where()}: a silent hole before {first}..{last}: {told}")

    def _is_forgotten(self) -> bool:
        """Redis knows nothing of the channel any more, and who came since can't."""
        return self.epoch is None and self.channel.name not in self._bus.keys.heads

    def _goes_on_at(self, epoch: str | None, seq: int) -> bool:
        is_here = (epoch, seq) == (self.epoch, self.seq)
        # Gaps tell no epoch.
        is_here |= self.epoch is None and seq == self.seq
        return is_here or self.is_ending

    def _may_conflate(self) -> bool:
        return self.rate != "all" or self.on_lag == "conflate" or self.is_changing

    def _explains(self, epoch: Epoch, first: int, last: int, by: str) -> bool:
        seqs = range(first, last + 1)
        if last > epoch.head:
            return False
        if by in ("slow", "plan"):
            return by in self._blame and (self.on_lag == "gap" or self.is_changing)
        if by == "bus":
            kept = {one.seq for one in self._bus.after(self.channel.name, 0, 10**9)}
            is_over = epoch is not self._truth.current(self.channel.name)
            return is_over or kept.isdisjoint(seqs)
        return all(epoch.never.get(one) == by or _is_unsound(epoch, one, by) for one in seqs)

    def _check_lost(self, since: object) -> None:
        """`recovered: false` is only for what the stream has no more."""
        epoch = self._truth.current(self.channel.name)
        if epoch is None or not isinstance(since, list) or since[0] != epoch.name:
            return
        head = self._bus.keys.heads.get(self.channel.name)
        if head is None or (head.epoch, head.seq) != (epoch.name.encode(), epoch.head):
            # Redis has come back with an older memory.
            return
        near = _NEAR.get(self.channel.kind.partition(".")[0], _NEAR_STATE)
        # Each with a gap before it, at most.
        missed = [seq for seq in epoch.made if seq > since[1]]
        kept = {one.seq for one in self._bus.after(self.channel.name, 0, 10**9)}
        if 2 * len(missed) <= min(near, comeback.MESSAGES_MAX) and kept.issuperset(missed):
            raise Violation(
                f"{self._where()}: {since} could have been resumed, {len(missed)} after"
            )

    def _epoch_of(self, told: dict[str, Any]) -> str:
        """The ack knew none: the message's own content tells."""
        for epoch in reversed(self._truth.epochs.get(self.channel.name, [])):
            made = epoch.made.get(told["seq"])
            if made is not None and all(told.get(key) == made.told[key] for key in ("tx",)):
                return epoch.name
        raise Violation(f"{self._where()}: {told} was never published")

    def _where(self) -> str:
        return f"{self.channel.name} at {self.epoch} {self.seq}"


def _is_unsound(epoch: Epoch, seq: int, by: str) -> bool:
    made = epoch.made.get(seq)
    return by == "feed" and made is not None and "n" in made.told
