"""Each bug that is planted into the product is found; without one nothing is."""

from typing import Final

import pytest

from tests.simulation.planted import BUGS
from tests.simulation.running import simulate

SEEDS: Final = 300


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str) -> None:
    with BUGS[bug]():
        found = next((seed for seed in range(SEEDS) if simulate(seed).failure is not None), None)
    assert found is not None
    # The bug was it, and nothing else.
    assert simulate(found).failure is None
