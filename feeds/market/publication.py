"""A message as it travels the bus: `<epoch> <seq> <missing> <payload>`.

`missing` is `-`, or `<by>:<n>`: the n seqs before this one were never published, and whose fault
that is. Text, so that a publisher in any language can write it and a person can read it.
"""

from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from feeds.market.position import EPOCH_PATTERN, SEQ_MAX

Blame = Literal["venue", "feed"]

_BLAMES = frozenset(blame.encode() for blame in get_args(Blame))


class PublicationError(ValueError):
    """Bytes on the bus that are no publication."""


class Missing(NamedTuple):
    """How many seqs before this one were never published, and by whose fault."""

    by: Blame
    messages: int


class Publication(NamedTuple):
    """One message of one channel. `payload` is a JSON object, as the publisher wrote it."""

    epoch: str
    seq: int
    payload: bytes
    missing: Missing | None = None

    @classmethod
    def decode(cls, message: bytes) -> "Publication":
        """Raises PublicationError for anything that isn't one; the payload's inside is not read."""
        try:
            epoch, seq, missing, payload = message.split(b" ", 3)
            number = _count(seq)
            lost = None if missing == b"-" else _missing(missing)
            name = _epoch(epoch)
        except ValueError as error:
            raise PublicationError(f"not a publication: {message[:60]!r}") from error
        if not (payload.startswith(b"{") and payload.endswith(b"}")):
            payload = payload.strip(b" \t\r\n")  # JSON's own blanks; few write them
        if not (payload.startswith(b"{") and payload.endswith(b"}")):
            raise PublicationError(f"not a publication: {message[:60]!r}")
        return cls(name, number, payload, lost)

    def encode(self) -> bytes:
        missing = "-" if self.missing is None else f"{self.missing.by}:{self.missing.messages}"
        return b"%b %d %b %b" % (self.epoch.encode(), self.seq, missing.encode(), self.payload)


def _count(text: bytes) -> int:
    # int() alone would also take signs, blanks and underscores.
    number = int(text) if text.isdigit() else 0
    if not 1 <= number <= SEQ_MAX:
        raise PublicationError(f"not a number of messages: {text[:40]!r}")
    return number


@lru_cache(maxsize=1_024)
def _epoch(text: bytes) -> str:
    """Cached: a channel's epoch is the same in each of its messages."""
    epoch = text.decode("ascii")
    if not EPOCH_PATTERN.match(epoch):
        raise PublicationError(f"not an epoch: {text[:40]!r}")
    return epoch


def _missing(text: bytes) -> Missing:
    by, _, count = text.partition(b":")
    if by not in _BLAMES:
        raise PublicationError(f"not somebody to blame: {text[:40]!r}")
    return Missing("venue" if by == b"venue" else "feed", _count(count))
