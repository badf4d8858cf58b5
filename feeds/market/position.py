"""A place in a channel: which numbering (`epoch`), and how far in it (`seq`)."""

import re

import msgspec

SEQ_MAX = 2**53 - 1
"""The largest integer that every JSON reader keeps exact."""

EPOCH_PATTERN = re.compile(r"[0-9a-z]{1,32}\Z")


class PositionError(ValueError):
    """A pair that can be no position in any channel."""


class Position(msgspec.Struct, frozen=True, array_like=True, order=True):
    """On the wire `["k3", 1842]`. Seqs of different epochs can't be compared.

    `seq` 0 is the place before the first message.
    """

    epoch: str
    seq: int

    def checked(self) -> "Position":
        """Itself, where it is well formed. Raises PositionError."""
        if not EPOCH_PATTERN.match(self.epoch):
            raise PositionError("an epoch is 1 to 32 of 0-9 a-z")
        if not 0 <= self.seq <= SEQ_MAX:
            raise PositionError("a seq is 0 to 2^53 - 1")
        return self
