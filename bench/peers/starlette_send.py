"""Plain Starlette on uvicorn: `await send_text` in a loop over the connections."""

import contextlib
from collections.abc import Iterator
from importlib.metadata import version
from typing import Final

from bench.peers.peer import Ground, Peer, Running, launched_python, nothing_missing, told_port


@contextlib.contextmanager
def _start(ground: Ground) -> Iterator[Running]:
    with launched_python("bench.peers.starlette_server", ground.redis_path) as process:
        yield Running(process, told_port(process), ground.redis_path)


PEER: Final = Peer(
    name="starlette",
    missing=nothing_missing,
    version=lambda: f"starlette {version('starlette')}, uvicorn {version('uvicorn')}",
    start=_start,
    wire="redis",
)
