"""What a peer is: a server of WebSocket subscribers that ticks can be published to.

A peer's module says how it is started on a core of its own, in its fastest documented way. It knows
nothing of loads and figures. Everything it starts ends with its block.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from bench.cpu import SERVER_CORE, pinned
from bench.load.client import Dialect
from bench.processes import REPOSITORY

_START_LIMIT_S: Final = 15.0
_STOP_LIMIT_S: Final = 3.0
_WAKE_S: Final = 0.01
_SAID_MAX: Final = 300


class Ground(msgspec.Struct, frozen=True):
    """What a peer may use."""

    directory: Path
    """Empty, its own."""
    redis_path: str
    """The socket of a redis-server on the other core."""
    programs: dict[str, str]
    """What was compiled, by name."""


class Running(msgspec.Struct, frozen=True):
    """A peer that listens."""

    process: "subprocess.Popen[str]"
    """It and its descendants are the server: their CPU and memory count."""
    port: int
    publish_to: str
    """A port, or a socket's path."""
    key: str = ""


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table."""

    name: str
    missing: Callable[[], str]
    """What would install what it needs; empty when it is all there."""
    version: Callable[[], str]
    start: Callable[[Ground], AbstractContextManager[Running]]
    wire: str
    """How ticks are published: a row of bench.peers.wires."""
    dialect: Dialect = "plain"
    path: str = "/"


def nothing_missing() -> str:
    return ""


def needs(install: str, *programs: str) -> Callable[[], str]:
    """The line that installs them, unless all are found on PATH."""

    def missing() -> str:
        return "" if all(map(shutil.which, programs)) else install

    return missing


def first_line_of(*command: str) -> Callable[[], str]:
    """What a program says of its version, on either stream."""

    def version() -> str:
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = (told.stdout or told.stderr).splitlines()
        return lines[0].strip() if lines else "unknown"

    return version


def free_port() -> int:
    """One that nobody listens on; that nobody takes it first is a hope."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextlib.contextmanager
def launched(*command: object, cwd: Path = REPOSITORY) -> Iterator["subprocess.Popen[str]"]:
    """A server on the server's core; at the end it is stopped, or killed if it doesn't stop.

    A RuntimeError of the block is told with the last that the server said of itself.
    """
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, _python_path()))}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            pinned(SERVER_CORE, *command),
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            cwd=cwd,
            env=environ,
        )
        try:
            yield process
        except RuntimeError as error:
            said.seek(0)
            raise RuntimeError(f"{error}: {said.read()[-_SAID_MAX:].strip()}") from error
        finally:
            _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(timeout=_STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdout is not None
    process.stdout.close()


def _python_path() -> Sequence[str]:
    return (str(REPOSITORY), os.environ.get("PYTHONPATH", ""))


@contextlib.contextmanager
def launched_python(module: str, *words: object) -> Iterator["subprocess.Popen[str]"]:
    with launched(sys.executable, "-m", module, *words) as process:
        yield process


def told_port(process: "subprocess.Popen[str]") -> int:
    """Of a server that prints it first of all."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.strip().isdecimal():
        raise RuntimeError(f"{process.args!r} ended before it listened")
    return int(line)


def await_listening(process: "subprocess.Popen[str]", *ports: int) -> None:
    """Returns once all of them take connections. Raises RuntimeError if that never comes."""
    deadline_s = time.monotonic() + _START_LIMIT_S
    for port in ports:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"{process.args!r} does not listen on {port}")
            time.sleep(_WAKE_S)


class Ports(NamedTuple):
    """Where a peer is to listen."""

    publish: int
    subscribe: int


def by_configuration(
    configuration: Callable[[Ports], str], *command: str, ports: int = 2
) -> Callable[[Ground], AbstractContextManager[Running]]:
    """How a peer is started that is told everything in one file, whose path ends its command.

    `ports`: 1 where ticks and subscribers come by the same.
    """

    @contextlib.contextmanager
    def start(ground: Ground) -> Iterator[Running]:
        publish = free_port()
        where = Ports(publish, publish if ports == 1 else free_port())
        path = ground.directory / "configuration"
        path.write_text(configuration(where))
        with launched(*command, path, cwd=ground.directory) as process:
            await_listening(process, *set(where))
            yield Running(process, where.subscribe, str(where.publish))

    return start
