"""Each bug that is planted into the product is found; without one nothing is."""

from collections.abc import Sequence
from typing import Final

import pytest

from tests.simulation.planted import BUGS, Plant
from tests.simulation.planted_feeds import FEED_BUGS
from tests.simulation.running import FEEDS_EVERY, is_of_feeds, simulate

SEEDS: Final = [seed for seed in range(340) if not is_of_feeds(seed)]
FEED_SEEDS: Final = range(FEEDS_EVERY - 1, 100 * FEEDS_EVERY, FEEDS_EVERY)
FOUND_LAST: Final = {
    "history is read before the subscription holds": 148,
    "a change of rate seals nothing": 124,
    "the next socket is opened after the end of the old one": 259,
}
"""Where those are that need luck: looked at first, so that they take no longer than others."""


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_in_the_gateway_is_found(bug: str) -> None:
    _check_it_is_found(BUGS[bug], (FOUND_LAST.get(bug, 0), *SEEDS))


@pytest.mark.parametrize("bug", FEED_BUGS)
def test_a_bug_in_the_feeds_is_found(bug: str) -> None:
    _check_it_is_found(FEED_BUGS[bug], (FOUND_LAST.get(bug, FEED_SEEDS[0]), *FEED_SEEDS))


def _check_it_is_found(plant: Plant, seeds: Sequence[int]) -> None:
    with plant():
        found = next((seed for seed in seeds if simulate(seed).failure is not None), None)
    assert found is not None
    # The bug was it, and nothing else.
    assert simulate(found).failure is None
