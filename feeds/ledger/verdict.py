"""What a record shows, in plain words. Pure.

An edge is shown where there are enough outcomes, the model hits more often than each baseline by
more than chance explains, and what it returned after costs was more than nothing.
"""

from collections.abc import Sequence
from typing import Final

from feeds.market import Baseline, Share

OUTCOMES_MIN: Final = 30
"""With fewer, nothing is said to be shown, whatever they are."""


def verdict_on(
    hit_rate: Share, mean_return: float | None, baselines: Sequence[Baseline], *, simulated: bool
) -> tuple[bool, str]:
    """Whether an edge is shown, and a sentence."""
    has_edge, words = _verdict(hit_rate, mean_return, baselines)
    return has_edge, words + (" (of a simulated market)" if simulated else "")


def _verdict(
    hit_rate: Share, mean_return: float | None, baselines: Sequence[Baseline]
) -> tuple[bool, str]:
    if hit_rate.share is None or mean_return is None:
        return False, "no edge shown: no outcome yet"
    if hit_rate.of < OUTCOMES_MIN:
        return False, f"no edge shown: {hit_rate.of} outcomes, too few of at least {OUTCOMES_MIN}"
    # The one that is hardest to beat decides; one that can't be compared is not beaten.
    hardest = min(baselines, key=lambda each: -1.0 if each.edge_low is None else each.edge_low)
    low, high = hardest.edge_low, hardest.edge_high
    if low is None or high is None or hardest.hit_rate.share is None:
        return False, f"no edge shown: {hardest.name} has no outcome to compare with"
    beside = f"{hit_rate.share:.1%} hits, {hardest.name} {hardest.hit_rate.share:.1%}"
    between = f"the difference is {_points(low)} to {_points(high)} points"
    gain = f"{mean_return:+.3%} a signal after costs"
    if high < 0:
        words = f"no edge shown: worse than {hardest.name}: {beside}; {between}"
    elif low <= 0:
        words = f"no edge shown: {beside}; {between}: it may be nothing"
    elif mean_return <= 0:
        words = f"no edge shown after costs: {beside}; {between}; but {gain}"
    else:
        return True, f"edge shown: {beside}; {between}; {gain}"
    return False, words


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}"
