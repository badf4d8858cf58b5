"""The bare C sender: the limit that others are measured by."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from bench.peers.peer import (
    Ground,
    Peer,
    Running,
    first_line_of,
    launched,
    nothing_missing,
    told_port,
)


def _started(way: str) -> Callable[[Ground], AbstractContextManager[Running]]:
    @contextlib.contextmanager
    def start(ground: Ground) -> Iterator[Running]:
        with launched(ground.programs["bare"], ground.redis_path, way) as process:
            yield Running(process, told_port(process), ground.redis_path)

    return start


def _peer(name: str, way: str) -> Peer:
    return Peer(
        name=name,
        missing=nothing_missing,
        version=first_line_of("cc", "--version"),
        start=_started(way),
        wire="redis",
    )


EACH: Final = _peer("bare_c", "each")
"""One send(2) for each tick and subscriber."""
JOINED: Final = _peer("bare_c_joined", "joined")
"""One writev(2) for all ticks of one read of Redis."""
