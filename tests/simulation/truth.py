"""What was offered, and what Redis made of it: the truth that every subscriber is held against."""

from fractions import Fraction
from typing import Any, NamedTuple

import msgspec

from feeds.market import Channel
from tests.simulation.bus_model import Published


class Violation(AssertionError):  # noqa: N818 - a promise that was not kept
    """What may never happen has happened."""


class Made(NamedTuple):
    """One message as it was published."""

    number: int
    """Of its channel's: the venue's own count, one by one."""
    told: dict[str, Any]


class Epoch:
    """One numbering of one channel."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.head = 0
        self.made: dict[int, Made] = {}
        self.never: dict[int, str] = {}
        """Seqs that were skipped, and whose fault that is."""


class Truth:
    """Of all channels."""

    def __init__(self) -> None:
        self.epochs: dict[str, list[Epoch]] = {}
        self.offered: dict[str, int] = {}
        """How many there were of each channel."""
        self.went_back = False
        """Redis came back with an older memory: an epoch that was over may have been heard of."""

    def current(self, channel: str) -> Epoch | None:
        epochs = self.epochs.get(channel)
        return epochs[-1] if epochs else None

    def epoch(self, channel: str, name: str) -> Epoch:
        for epoch in self.epochs.get(channel, ()):
            if epoch.name == name:
                return epoch
        raise Violation(f"{channel} never had an epoch {name}")

    def published(self, told: Published) -> None:
        """Each offered message comes once, in order, or is named as missing; in one epoch."""
        if told.channel.startswith("status:"):
            return
        made = _made(told.payload)
        epochs = self.epochs.setdefault(told.channel, [])
        if not epochs or epochs[-1].name != told.epoch:
            again = [one for one in epochs if one.name == told.epoch and self.went_back]
            epochs[:] = [one for one in epochs if one not in again]
            # An older copy may be of an epoch that had ended, with all that it had given out.
            epochs.append(again[0] if again else Epoch(told.epoch))
        epoch = epochs[-1]
        if epoch.made.get(told.seq) == made:
            # A Redis of an older copy was told it once more.
            return
        by, _, count = told.missing.partition(":")
        missing = int(count or 0)
        if told.seq != epoch.head + missing + 1:
            raise Violation(f"{told.channel} seq {told.seq} follows {epoch.head}")
        for seq in range(epoch.head + 1, told.seq):
            epoch.never[seq] = by
        newest = epoch.made[max(epoch.made)].number if epoch.made else made.number - missing - 1
        if made.number != newest + missing + 1:
            raise Violation(f"{told.channel}: {made.number} is published after {newest}")
        epoch.made[told.seq] = made
        epoch.head = told.seq

    def began(self, channel: str, epoch: bytes, seq: int) -> None:
        """A worker has found that Redis remembers less than it has told."""
        epochs = self.epochs.setdefault(channel, [])
        epochs.append(Epoch(epoch.decode()))
        epochs[-1].head = seq

    def check_published(self, channels: list[Channel]) -> None:
        """Everything that was offered is published in the end, or told as missing."""
        for channel in channels:
            offered = self.offered.get(channel.name, 0)
            epochs = self.epochs.get(channel.name, ())
            newest = max((one.number for epoch in epochs for one in epoch.made.values()), default=0)
            if newest != offered:
                raise Violation(f"{channel.name}: {offered} offered, {newest} published")

    def check_message(self, channel: str, epoch: str, first: int, told: dict[str, Any]) -> None:
        """Whether a message says of `first` to its seq what was published."""
        made = self.epoch(channel, epoch).made
        seq = told["seq"]
        if seq not in made:
            raise Violation(f"{channel} {epoch} {seq} was never published")
        stands_for = range(first, seq + 1)
        if not made.keys() >= set(stands_for):
            raise Violation(f"{channel} {epoch} {first}..{seq} were not all published")
        if first < seq and channel.startswith("trade:"):
            _check_tally([made[one].told for one in stands_for], told)
            return
        for key, value in made[seq].told.items():
            if told.get(key) != value:
                raise Violation(f"{channel} {epoch} {seq}: {told} instead of {made[seq].told}")


def number_in(told: dict[str, Any]) -> int:
    """The venue's number, which the digits behind the dot are."""
    price = told.get("px") or told.get("bid") or told["v"]
    return int(price.partition(".")[2])


def _made(payload: bytes) -> Made:
    told = msgspec.json.decode(payload)
    return Made(number_in(told), told)


def _check_tally(trades: list[dict[str, Any]], told: dict[str, Any]) -> None:
    sizes = [Fraction(trade["sz"]) for trade in trades]
    prices = [Fraction(trade["px"]) for trade in trades]
    bought = sum(Fraction(trade["sz"]) for trade in trades if trade["side"] == "buy")
    turnover = sum(price * size for price, size in zip(prices, sizes, strict=True))
    exact = [
        ("sz", sum(sizes)),
        ("buy_sz", bought),
        ("hi", max(prices)),
        ("lo", min(prices)),
        ("px", prices[-1]),
    ]
    for key, value in exact:
        if Fraction(told.get(key, -1)) != value:
            raise Violation(f"{key} of {len(trades)} trades is {float(value)}, not {told}")
    if abs(Fraction(told["vwap"]) - turnover / sum(sizes)) > Fraction(1, 10**8):
        raise Violation(f"the average of {len(trades)} trades is not {told}")
