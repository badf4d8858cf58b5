"""EDGE (files): heads of a ledger that were seen before: its witness', and one that was published.

The entry that had that hash must be there, as it was.
"""

from pathlib import Path

from feeds.ledger.witness import read_head


class Expectation:
    """A head that was seen once: at which entry, if that is known, and what its hash was."""

    def __init__(self, whose: str, entries: int | None, head: str | None) -> None:
        self.whose = whose
        self.entries = entries
        self._head = head
        self._is_met = False

    def see(self, n: int, hash_: str) -> str | None:
        """What it says against an entry."""
        if self.entries in (None, n) and self._head in (None, hash_):
            self._is_met = True
        elif n == self.entries:
            return f"its hash is not that of {self.whose}: it was rewritten"
        return None

    def objection(self, entries: int) -> str | None:
        """What it misses, at the end."""
        if self._is_met:
            return None
        if self.entries is not None:
            end = f"it ends with entry {entries}; {self.whose} is of entry {self.entries}"
            return f"{end}: it was cut off"
        return f"no entry has the hash of {self.whose}: it was cut off or rewritten"


def expectations(path: Path, head: str | None, entries: int | None) -> list[Expectation]:
    """Raises ValueError: there is a witness that can't be read."""
    expected: list[Expectation] = []
    if head is not None or entries is not None:
        expected.append(Expectation("the head you gave", entries, head))
    witness = read_head(path)
    if witness is not None:
        expected.append(Expectation("its witness", witness.entries, witness.head))
    return expected
