"""The echo server in a process of its own. What it logs is a fault: no input is worth a line."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

REPOSITORY: Final = Path(__file__).resolve().parents[2]


class EchoServer(NamedTuple):
    """One that runs. `log` is the file of everything that it has to say."""

    port: int
    log: Path
    process_id: int


@contextmanager
def echo_server() -> Iterator[EchoServer]:
    """Raises AssertionError at the end where the server logged anything at all."""
    words = [sys.executable, "-m", "tests.autobahn.echo"]
    with tempfile.TemporaryDirectory(prefix="tg-") as directory:
        log = Path(directory) / "log"
        with (
            log.open("wb") as stderr,
            subprocess.Popen(words, stdout=subprocess.PIPE, stderr=stderr, cwd=REPOSITORY) as one,
        ):
            assert one.stdout is not None
            try:
                yield EchoServer(int(one.stdout.readline()), log, one.pid)
            finally:
                one.terminate()
        told = log.read_text(errors="replace")
        assert not told, f"the server logged {len(told)} characters:\n{told[:4_000]}"
