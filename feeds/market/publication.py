"""A message as it travels the bus: `<epoch> <seq> <missing> <payload>`.

`missing` is `-`, or `<by>:<n>`: the n seqs before this one were never published, and whose fault
that is. Text, so that a publisher in any language can write it and a person can read it.
"""

from typing import Literal, NamedTuple, get_args

Blame = Literal["venue", "feed"]

_BLAMES = frozenset(get_args(Blame))


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
            number = int(seq)
            lost = None if missing == b"-" else _missing(missing.decode())
            name = epoch.decode("ascii")
        except ValueError as error:
            raise PublicationError(f"not a publication: {message[:60]!r}") from error
        if number < 1 or not (payload.startswith(b"{") and payload.endswith(b"}")):
            raise PublicationError(f"not a publication: {message[:60]!r}")
        return cls(name, number, payload, lost)

    def encode(self) -> bytes:
        missing = "-" if self.missing is None else f"{self.missing.by}:{self.missing.messages}"
        return b"%b %d %b %b" % (self.epoch.encode(), self.seq, missing.encode(), self.payload)


def _missing(text: str) -> Missing:
    by, _, count = text.partition(":")
    number = int(count)
    if by not in _BLAMES or number < 1:
        raise PublicationError(f"not a count of missing messages: {text[:40]!r}")
    return Missing("venue" if by == "venue" else "feed", number)
