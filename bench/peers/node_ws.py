"""Node with `ws`, the server of most of its applications: bench/peers/node/server.mjs."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.peers.peer import Ground, Peer, Running, launched, told_port

_HERE: Final = Path(__file__).with_name("node")
_INSTALLED: Final = _HERE / "node_modules" / "ws" / "package.json"


def _missing() -> str:
    if shutil.which("node") is None:
        return "apt install nodejs npm"
    return "" if _INSTALLED.exists() else f"npm ci --prefix bench/peers/{_HERE.name}"


def _version() -> str:
    told = subprocess.run(("node", "--version"), capture_output=True, text=True, check=False)
    return f"node {told.stdout.strip()}, ws {json.loads(_INSTALLED.read_text())['version']}"


@contextlib.contextmanager
def _start(ground: Ground) -> Iterator[Running]:
    with launched("node", _HERE / "server.mjs", ground.redis_path) as process:
        yield Running(process, told_port(process), ground.redis_path)


PEER: Final = Peer(name="node_ws", missing=_missing, version=_version, start=_start, wire="redis")
