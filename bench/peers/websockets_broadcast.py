"""python websockets: its `broadcast` of each tick."""

import contextlib
from collections.abc import Iterator
from importlib.metadata import version
from typing import Final

from bench.peers.peer import Ground, Peer, Running, launched_python, nothing_missing, told_port


@contextlib.contextmanager
def _start(ground: Ground) -> Iterator[Running]:
    with launched_python("bench.peers.websockets_server", ground.redis_path) as process:
        yield Running(process, told_port(process), ground.redis_path)


PEER: Final = Peer(
    name="websockets",
    missing=nothing_missing,
    version=lambda: f"websockets {version('websockets')}, uvloop {version('uvloop')}",
    start=_start,
    wire="redis",
)
