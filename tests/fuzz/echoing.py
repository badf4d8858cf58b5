"""Frames into a real server of our protocol class; what comes back is what the model says.

Inputs share a connection for as long as it lives: what one begins, the next goes on with.
"""

from random import Random
from typing import Final

from tests.autobahn.echo import MESSAGE_BYTES_MAX
from tests.autobahn.server import echo_server
from tests.conformance.raw_peer import CLOSE, PONG, Frame, RawPeer
from tests.fuzz.found import Found
from tests.fuzz.frames import frames
from tests.fuzz.model import Model

_INPUTS_EACH: Final = 40
"""Of one connection, at most."""


def fuzz_frames(seed: int, first: int, count: int) -> None:
    """Raises Found, and AssertionError where the server logs anything."""
    with echo_server() as server:
        number = first
        while number < first + count:
            number = _conversation(server.port, seed, number, first + count)


def _conversation(port: int, seed: int, first: int, end: int) -> int:
    """One connection; the number of the first input that it did not get."""
    said: list[bytes] = []
    with RawPeer(port) as peer:
        model = Model(MESSAGE_BYTES_MAX)
        heard: list[Frame] = []
        # Whole blocks of inputs, so that a failure can be had again from its block's start.
        for number in range(first, min(end, first + _INPUTS_EACH)):
            said.append(frames(Random(f"frames {seed} {number}")))
            model.feed(said[-1])
            peer.say(said[-1])
            try:
                heard += _answers(peer, model, len(heard))
                _check(model, heard)
            except (AssertionError, TimeoutError) as error:
                numbers = range(first, number + 1)
                told = f"{type(error).__name__} {error}; heard {heard[-5:]}"
                raise Found("frames", seed, numbers, said, told) from error
            if model.ended is not None or model.is_waiting:
                return number + 1
    return min(end, first + _INPUTS_EACH)


def _answers(peer: RawPeer, model: Model, already: int) -> list[Frame]:
    if model.ended is not None:
        return peer.hear_all()
    wanted = len(model.echoes) + len(model.pongs) - already
    heard = [peer.hear() for _ in range(wanted)]
    assert None not in heard, "the stream ended too early"
    return [one for one in heard if one is not None]


def _check(model: Model, heard: list[Frame]) -> None:
    pongs = [one.payload for one in heard if one.opcode == PONG]
    echoes = [(one.opcode, one.payload) for one in heard if one.opcode < CLOSE]
    closes = [one for one in heard if one.opcode == CLOSE]
    assert all(one.fin for one in heard)
    assert pongs == model.pongs[: len(pongs)], "other pongs"
    assert len(pongs) >= model.pongs_due, "a pong is missing"
    if model.ended is None:
        assert echoes == model.echoes, "other echoes"
        assert not closes
    else:
        # What the application had not yet heard when the end came is not said any more.
        assert echoes == model.echoes[: len(echoes)], "other echoes"
        assert [one.close_code for one in closes] in [[code] for code in model.ended], closes
