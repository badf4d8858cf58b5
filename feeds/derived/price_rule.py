"""What the votes in a price's message come to: by whoever makes one, and by whoever checks one.

Pure. The message alone decides: nothing else is known here, so it can be computed again.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from feeds.derived.fixed_point import read, written
from feeds.derived.median import METHOD, median_of
from feeds.market import Price, Vote

VERSION: Final = 1

Number = tuple[int, int]
"""A decimal: its digits, and how many of them stand behind the point."""

STALE: Final = "stale"
CROSSED: Final = "crossed"

_SPARE_DECIMALS: Final = 4
"""How much finer than the finest vote we count: floors, conversions and means end there."""
_MILLION: Final = 1_000_000
_TENS: Final = tuple(10**power for power in range(100))
"""Powers of ten: no venue's number has so many digits."""


class Rule(NamedTuple):
    """Who may vote, and how certain a voter may be."""

    venues_min: int
    floor_ppm: int
    age_max_ms: int


class Outcome(NamedTuple):
    """As exact decimal texts."""

    price: str
    confidence: str


def fault_of(half_spread: str, age_ms: int, rule: Rule) -> str | None:
    """Why a quote does not vote, as far as the quote itself says."""
    if age_ms > rule.age_max_ms:
        return STALE
    return CROSSED if half_spread.startswith("-") else None


def outcome(votes: Sequence[Vote], rule: Rule) -> Outcome | None:
    """None where too few vote."""
    cast: list[tuple[Number, Number, str | None]] = []
    for vote in votes:
        if vote.is_in:
            assert vote.price is not None
            assert vote.half_spread is not None
            cast.append((read(vote.price), read(vote.half_spread), vote.rate))
    if len(cast) < max(1, rule.venues_min):
        return None
    unit = unit_of(max(number[1] for price, half, _ in cast for number in (price, half)))
    return counted([one for each in cast for one in ballot(*each, unit, rule.floor_ppm)], unit)


def unit_of(decimals: int) -> int:
    """In how many decimals to count where the finest number has so many. Raises ValueError."""
    unit = decimals + _SPARE_DECIMALS
    if unit >= len(_TENS):
        raise ValueError("no price has so many decimals")
    return unit


def ballot(
    price: Number, half: Number, rate: str | None, unit: int, floor_ppm: int
) -> tuple[int, int, int]:
    """One voter's three votes. A conversion is cut at the unit, the floor of a spread is rounded
    up to it."""
    middle = price[0] * _TENS[unit - price[1]]
    spread = half[0] * _TENS[unit - half[1]]
    if rate is not None:
        number, decimals = read(rate)
        one = 10**decimals
        middle, spread = middle * number // one, spread * number // one
    spread = max(spread, -(-middle * floor_ppm // _MILLION), 1)
    return middle - spread, middle, middle + spread


def counted(votes: list[int], unit: int) -> Outcome | None:
    """What all votes come to. None where they are one and the same."""
    found = median_of(votes)
    if found is None:
        return None
    return Outcome(written(found.price, unit), written(found.confidence, unit))


def told(price: Price) -> Rule:
    """The rule that a message says it was made by."""
    return Rule(price.venues_min, price.floor_ppm, price.age_max_ms)


def differences(price: Price) -> list[str]:
    """Where a message is not what its own votes come to; empty: it is right."""
    if (price.method, price.version) != (METHOD, VERSION):
        return [f"made by {price.method} version {price.version}, which is not known here"]
    rule = told(price)
    wrong = [sentence for vote in price.votes if (sentence := _vote_fault(vote, rule))]
    voters = sum(vote.is_in for vote in price.votes)
    if voters != price.voters:
        wrong.append(f"says {price.voters} voters, has {voters}")
    names = [vote.venue for vote in price.votes if vote.is_in]
    wrong += [f"{name} votes twice" for name in sorted(set(names)) if names.count(name) > 1]
    if any(vote.is_in and (vote.price is None or vote.half_spread is None) for vote in price.votes):
        return wrong
    try:
        expected = outcome(price.votes, rule)
    except ValueError:
        return [*wrong, "has a vote that is no number"]
    px, conf = expected or (None, None)
    for name, said, right in (("px", price.price, px), ("conf", price.confidence, conf)):
        if said != right:
            wrong.append(f"{name} is {said}, its votes come to {right}")
    if (price.state == "live") != (px is not None):
        wrong.append(f"says {price.state} of {'a' if px else 'no'} price")
    return wrong


def _vote_fault(vote: Vote, rule: Rule) -> str | None:
    """What is wrong with one vote; why it is left out beside its own quote can't be seen here."""
    has_quote = vote.half_spread is not None and vote.age_ms is not None
    fault = None
    if vote.half_spread is not None and vote.age_ms is not None:
        fault = fault_of(vote.half_spread, vote.age_ms, rule)
    wrong: str | None = None
    if not vote.is_in and vote.out is None:
        wrong = "is out without a reason"
    elif not vote.is_in and has_quote and vote.out in (STALE, CROSSED) and fault != vote.out:
        wrong = f"is out as {vote.out}, its quote is {fault or 'sound'}"
    elif vote.is_in and vote.out is not None:
        wrong = f"votes although it is out as {vote.out}"
    elif vote.is_in and (vote.price is None or not has_quote):
        wrong = "votes without a quote"
    elif vote.is_in and (vote.via is None) != (vote.rate is None):
        wrong = "is converted by half"
    elif vote.is_in and fault is not None:
        wrong = f"votes although {fault}"
    return None if wrong is None else f"{vote.venue} {wrong}"
