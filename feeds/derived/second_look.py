"""Final candles of before a restart, looked at again: what a crash kept from being corrected. Pure.

A trade may have come too late for a candle that was final, and the process ended before it told the
correction. The trades that were published show it. Nothing is ever taken away from what was told.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from feeds.derived.bar import Bar, Deal
from feeds.market import Candle


class Known(NamedTuple):
    """The trades of one market that were published, as far as they are kept."""

    deals: Mapping[int, Sequence[Deal]]
    """By the start of their second, in order."""
    whole_from_us: int
    """From then on they are all there."""


def finals_of(candles: Sequence[Candle]) -> dict[int, Bar]:
    """The newest version of each, by its start."""
    return {each.start_us: Bar.of(each) for each in candles if each.final}


def joined(parts: Mapping[int, Bar], start_us: int, end_us: int, length_us: int) -> Bar | None:
    """What is there of the parts from one time to another; None where nothing is."""
    there = [parts[at] for at in range(start_us, end_us, length_us) if at in parts]
    if not there:
        return None
    bar = there[0].part_of(start_us)
    for later in there[1:]:
        bar.merge(later)
    bar.is_partial |= len(there) * length_us < end_us - start_us
    return bar


def amended(final: Bar, before: Bar | None, known: Known) -> Bar | None:
    """A second as it is to be told again; None: it stands. `before`: the one told before it.

    Where not all its trades are known any more, and one of them came after the newest that it was
    told with, it can't be added up again: it is told to be partial.
    """
    deals = known.deals.get(final.start_us, ())
    if final.start_us >= known.whole_from_us and len(deals) > final.trades:
        bar = Bar(final.start_us, final.close)
        for deal in deals:
            bar.add(deal)
        bar.is_partial = final.is_partial
    elif len(deals) > final.trades or (not final.is_partial and _is_late(deals, final)):
        bar = final.part_of(final.start_us)
        bar.is_partial = True
    elif not final.trades and before is not None and before.close != final.close:
        bar = Bar(final.start_us, before.close)
        bar.is_partial = final.is_partial
    else:
        return None
    bar.version = final.version + 1
    return bar


def added_up(final: Bar, parts: Bar | None, *, is_whole: bool, is_amended: bool) -> Bar | None:
    """The same of a longer interval, by what its `parts` come to; `is_whole`: all of them are
    known; `is_amended`: one of them was told again."""
    if parts is not None and is_whole and parts.trades > final.trades:
        bar = parts
        bar.is_partial |= final.is_partial
    elif is_amended and not final.is_partial and not (is_whole and parts and not parts.is_partial):
        bar = final.part_of(final.start_us)
        bar.is_partial = True
    else:
        return None
    bar.version = final.version + 1
    return bar


def _is_late(deals: Sequence[Deal], final: Bar) -> bool:
    newest_us = final.received_us
    return newest_us is not None and any(
        deal.received_us is not None and deal.received_us > newest_us for deal in deals
    )
