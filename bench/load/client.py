"""The load client's options and what it tells; load.c says how it hears and counts.

Knows nothing of servers. A client is the bottleneck of a run in which `cpu_s` comes near `span_s`.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

_HERE: Final = Path(__file__).parent
_READY: Final = "ready\n"

Dialect = Literal["tickgate", "plain", "nats", "mqtt", "centrifugo"]
"""How one subscribes, and what a message is wrapped in."""


class LoadClient(msgspec.Struct, frozen=True, kw_only=True):
    """Who subscribes to what, and when it has heard enough."""

    port: int
    host: str = "127.0.0.1"
    connections: int = 1
    channels: int = 1
    each: int = 1
    """Channels of one connection; the next one's begin behind them."""
    expected: int = 0
    """Messages after which it ends; 0: it ends at the limit or at SIGTERM."""
    limit_s: float = 10.0
    """Counted from `ready`."""
    key: str = ""
    dialect: Dialect = "tickgate"
    path: str = "/v1/stream"
    """A %s in it, in the dialect `plain`: the channels' names, divided by commas."""
    rate: str = "all"
    first: int = 0
    """The number of the first connection: where its channels begin."""
    receive_buffer: int = 0
    """Bytes of SO_RCVBUF; 0: the system's own, which grows."""
    names: str = ""
    """A file of channels' names, one a line, instead of the made ones."""

    def command(self, program: str) -> list[str]:
        """The words of a command line."""
        words = [program]
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                words += ["--" + field.name.replace("_", "-"), str(value)]
        return words


class Heard(msgspec.Struct, frozen=True):
    """What a load client tells in the end. A message counts once for each connection."""

    messages: int
    expected: int
    early: int
    """From before `ready`: counted nowhere else."""
    bytes: int
    reads: int
    holes: int
    """Seqs that never came though they should have."""
    skipped: int
    """Seqs passed over where that is the bargain: at a rate, or conflated."""
    disorder: int
    gaps: int
    """Gaps that the gateway announced."""
    conflated: int
    """Messages that say that they stand for more than themselves."""
    strangers: int
    """Messages of channels that nobody subscribed to."""
    closed: int
    """Connections that the server ended."""
    close_codes: dict[str, int]
    """How many by which code; 1006 is a connection that ended without a close."""
    span_s: float
    """From the first message to the last."""
    cpu_s: float
    """Of the client, since `ready`."""
    p50_us: int
    p90_us: int
    p99_us: int
    p999_us: int
    max_us: int
    buckets: list[tuple[int, int]]
    """The histogram: from how many microseconds on, and how often; each is 1 to 2 % wide."""


def heard(told: str) -> Heard:
    """What the client printed after `ready`."""
    return msgspec.json.decode(told, type=Heard)


def await_ready(client: "subprocess.Popen[str]") -> None:
    """Returns once everyone has subscribed. Raises RuntimeError if that failed."""
    assert client.stdout is not None
    if client.stdout.readline() != _READY:
        client.wait(timeout=10)
        raise RuntimeError("the load client could not subscribe")


@contextmanager
def compiled() -> Iterator[str]:
    """The program's path; it is removed at the end. Exits where there is no C compiler."""
    with built(_HERE / "load.c") as program:
        yield program


@contextmanager
def built(*sources: Path) -> Iterator[str]:
    """The path of a program made of these; it is removed at the end."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        sys.exit("bench: no C compiler: the load client can't be built (apt install gcc libc-dev)")
    with tempfile.TemporaryDirectory(prefix="tg-") as directory:
        program = str(Path(directory) / sources[0].stem)
        subprocess.run([compiler, "-O2", "-o", program, *map(str, sources)], check=True)
        yield program
