"""The kinds of input, and a share of one kind as a task for another process."""

from collections.abc import Callable
from typing import Final

from tests.fuzz.commands import fuzz_json, fuzz_msgpack
from tests.fuzz.echoing import fuzz_frames
from tests.fuzz.talking import fuzz_positions, fuzz_talk

Fuzz = Callable[[int, int, int], None]
"""Seed, number of the first input, how many."""

FUZZES: Final[dict[str, Fuzz]] = {
    "frames": fuzz_frames,
    "json": fuzz_json,
    "msgpack": fuzz_msgpack,
    "positions": fuzz_positions,
    "talk": fuzz_talk,
}


def run_share(kind: str, seed: int, first: int, count: int) -> str | None:
    """What was found."""
    try:
        FUZZES[kind](seed, first, count)
    except Exception as error:
        found: BaseException = error
        while isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        return f"{type(found).__name__}: {found}"
    return None
