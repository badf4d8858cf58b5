"""A sample of what `make fuzz` does in full: other inputs than those are not made."""

from collections.abc import Callable

import pytest

from tests.fuzz.commands import fuzz_json, fuzz_msgpack
from tests.fuzz.echoing import fuzz_frames
from tests.fuzz.talking import fuzz_positions, fuzz_talk
from tests.fuzz.tokens import fuzz_tokens


@pytest.mark.parametrize("seed", [1, 2])
def test_any_frames_are_answered_as_the_protocol_asks(seed: int) -> None:
    fuzz_frames(seed, 0, 1_000)


@pytest.mark.parametrize("fuzz", [fuzz_json, fuzz_msgpack])
def test_any_message_is_a_command_or_a_bad_message(fuzz: Callable[[int, int, int], None]) -> None:
    fuzz(1, 0, 5_000)


def test_any_command_is_answered_once_and_ends_nothing() -> None:
    fuzz_talk(1, 0, 400)


def test_any_position_is_answered_with_recovered_or_a_reset() -> None:
    fuzz_positions(1, 0, 1_000)


def test_any_bent_token_is_refused_and_nothing_else_happens() -> None:
    fuzz_tokens(1, 0, 5_000)
