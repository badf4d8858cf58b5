"""DERIVATIONS: ticks in, ticks out, pure. A new one is one file here and one row in this table.

feeds/deriving/derived_feed.py runs them: what is offered to the Publisher is taken by the chain,
which is woken when `next_us` says; what it tells is published like any tick. After a restart a row
goes on from the histories of the kinds of channels that it names.
"""

from typing import Final

from feeds.derived.candles import CANDLES
from feeds.derived.derivation import Derivation, Derived
from feeds.derived.grade import GRADES
from feeds.derived.outcomes import OUTCOMES
from feeds.derived.price import PRICE
from feeds.derived.signals import SIGNALS

DERIVATIONS: Final[tuple[Derived, ...]] = (PRICE, CANDLES, SIGNALS, OUTCOMES, GRADES)
"""In the order in which they hear of each other: a row may read what those before it tell."""

__all__ = ["DERIVATIONS", "Derivation", "Derived"]
