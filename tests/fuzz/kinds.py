"""The kinds of input, and a share of one kind as a task for another process."""

from collections.abc import Callable
from typing import Final

from tests.fuzz.commands import fuzz_json, fuzz_msgpack
from tests.fuzz.echoing import fuzz_frames
from tests.fuzz.talking import fuzz_positions, fuzz_talk
from tests.fuzz.tokens import fuzz_tokens

Fuzz = Callable[[int, int, int], None]
"""Seed, number of the first input, how many."""

FUZZES: Final[dict[str, Fuzz]] = {
    "frames": fuzz_frames,
    "json": fuzz_json,
    "msgpack": fuzz_msgpack,
    "positions": fuzz_positions,
    "tokens": fuzz_tokens,
    "talk": fuzz_talk,
}


def run_share(share: tuple[str, int, int, int]) -> str | None:
    """What was found: of a kind, by a seed, from a number on, in so many."""
    kind, seed, first, count = share
    try:
        FUZZES[kind](seed, first, count)
    except Exception as error:
        found: BaseException = error
        while isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        return f"{type(found).__name__}: {found}"
    return None
