"""Many seeds, one after the other: a task for any process."""

import gc
import logging
from collections.abc import Iterable
from typing import Final

from tests.simulation.running import simulate

REPLAY: Final = "python -m tests.simulation --seed {}"


def failures_of(seeds: Iterable[int]) -> list[str]:
    """What went wrong with which, in words, and how to have it again."""
    told = []
    for seed in seeds:
        outcome = simulate(seed)
        if outcome.failure is not None:
            told.append(f"seed {seed}: {_line(outcome.failure)}\n  {REPLAY.format(seed)}")
    gc.collect()
    return told


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def be_quiet() -> None:
    logging.getLogger().addHandler(logging.NullHandler())
