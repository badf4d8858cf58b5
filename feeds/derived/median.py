"""`median-v1`: one price and its confidence from many, in integers. Pure.

After Pyth's published aggregation (pyth-client, `upd_aggregate` and `price_model_core`): each voter
casts three votes, the price is their median, the confidence the larger distance to a quartile.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

METHOD: Final = "median-v1"

_INT64_MAX: Final = 2**63 - 1


class Ballot(NamedTuple):
    """One voter's: it votes `price - spread`, `price` and `price + spread`. All in one unit."""

    price: int
    spread: int

    @property
    def is_valid(self) -> bool:
        """Whether Pyth's own program, which counts in 64 bits, would count it."""
        spread = self.spread
        in_range = -_INT64_MAX - 1 + spread <= self.price <= _INT64_MAX - spread
        return 0 < spread <= _INT64_MAX and in_range


class Median(NamedTuple):
    """In the unit of the ballots."""

    price: int
    confidence: int


def median(ballots: Iterable[Ballot]) -> Median | None:
    """None where nobody votes, or where all votes are one and the same."""
    votes: list[int] = []
    for price, spread in ballots:
        votes += (price - spread, price, price + spread)
    return median_of(votes)


def median_of(votes: list[int]) -> Median | None:
    """Of all votes that were cast, three by each; sorts them in place.

    The median of an even number of votes is the floor of the mean of the two in the middle.
    """
    if not votes:
        return None
    votes.sort()
    count = len(votes)
    middle, quarter = count >> 1, count >> 2
    price = votes[middle] if count & 1 else (votes[middle - 1] + votes[middle]) >> 1
    confidence = max(price - votes[quarter], votes[count - 1 - quarter] - price)
    return Median(price, confidence) if confidence > 0 else None
