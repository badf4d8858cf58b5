"""DERIVATIONS: ticks in, ticks out, pure. A new one is one file here and one row in this table.

Wired in the feeds process, whose clock and Publisher they borrow:
- A sink stands before the Publisher. Its `offer(ticks)` hands the ticks to the Publisher, then
  `Chain.take(ticks, now_us)`'s to the Publisher as well: derived ticks are published like any.
- Statuses go through the same sink (`status:<venue>:VENUE`): who is not live
  does not vote.
- One task sleeps until `Chain.next_us()` and offers what `Chain.wake(now_us)` gives.
- `now_us` is `clock.now_ns() // 1_000`; the chain itself never lets it go back.
- At the start, before any tick: `Chain.restore(histories, now_us)`, with the decoded payloads of
  the channels of the kinds in `history` (their streams in Redis), and of `status:<venue>:VENUE`.
- `status:agg:VENUE` is to be published once a second like any venue's, or gateways call it dead.
- `register` each tick's channel with the Publisher on its first tick (as a replay does).
"""

from typing import Final

from feeds.derived.candles import CANDLES
from feeds.derived.derivation import Derivation, Derived
from feeds.derived.price import PRICE

DERIVATIONS: Final[tuple[Derived, ...]] = (PRICE, CANDLES)
"""In the order in which they hear of each other: a row may read what those before it tell."""

__all__ = ["DERIVATIONS", "Derivation", "Derived"]
