"""Every seed keeps every promise; and a seed is the whole story: it tells the same each time."""

import os
import subprocess
import sys
from typing import Final

import pytest

from tests.simulation.planted import BUGS
from tests.simulation.running import simulate
from tests.simulation.seeds import be_quiet, failures_of

SEEDS: Final = 500
SHARE: Final = 25
TOLD_TWICE: Final = range(4, 10)


@pytest.mark.parametrize("first", range(0, SEEDS, SHARE))
def test_every_promise_is_kept(first: int) -> None:
    told = failures_of(range(first, first + SHARE))
    assert not told, "\n".join(told)


def test_a_seed_tells_the_same_whatever_hashes_are_and_whatever_ran_before() -> None:
    told = [simulate(seed).digest for seed in TOLD_TWICE]
    assert len(set(told)) == len(told)
    script = (
        "from tests.simulation.running import simulate\n"
        f"for seed in {[*reversed(TOLD_TWICE)]}: print(simulate(seed).digest)"
    )
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        again = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert again.stdout.split() == told[::-1]


def test_a_failure_prints_the_command_that_plays_it_again() -> None:
    with BUGS["one who unsubscribes stays in the group"]():
        (told,) = failures_of([0])
    assert told.startswith("seed 0: Violation: ")
    assert told.endswith("python -m tests.simulation --seed 0")
    be_quiet()
