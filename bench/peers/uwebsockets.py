"""uWebSockets by socketify, if that can be imported: it is no dependency of the benchmark."""

import contextlib
import importlib.util
from collections.abc import Iterator
from importlib.metadata import version
from typing import Final

from bench.peers.peer import Ground, Peer, Running, free_port, launched_python, told_port


def _missing() -> str:
    return "" if importlib.util.find_spec("socketify") else "pip install socketify"


@contextlib.contextmanager
def _start(ground: Ground) -> Iterator[Running]:
    words = (ground.redis_path, free_port())
    with launched_python("bench.peers.socketify_server", *words) as process:
        yield Running(process, told_port(process), ground.redis_path)


PEER: Final = Peer(
    name="uwebsockets",
    missing=_missing,
    version=lambda: f"socketify {version('socketify')}",
    start=_start,
    wire="redis",
)
