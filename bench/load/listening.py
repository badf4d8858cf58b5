"""A load client that runs on a core of its own and has subscribed."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bench.cpu import CLIENT_CORE, pinned
from bench.load.client import LoadClient, await_ready

START_LIMIT_S: Final = 60.0


@contextmanager
def listening(program: str, client: LoadClient) -> Iterator["subprocess.Popen[str]"]:
    """Ends with the block. Raises RuntimeError where it can't subscribe."""
    command = pinned(CLIENT_CORE, *client.command(program))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    # A server that answers nobody must not hold up the benchmark for ever.
    watchdog = threading.Timer(START_LIMIT_S, process.kill)
    watchdog.start()
    try:
        await_ready(process)
        watchdog.cancel()
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
