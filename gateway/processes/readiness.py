"""EDGE: a new worker's word to its supervisor that it serves: the one before it may go now."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Final

READY_VARIABLE: Final = "TICKGATE_READY_DESCRIPTOR"
"""The environment variable that tells a process which descriptor waits for its word."""

_POLL_S: Final = 0.02


async def tell_ready(descriptor: int, serves: Callable[[], bool]) -> None:
    """Writes a byte to the descriptor, and closes it, once `serves` says so."""
    try:
        while not serves():  # noqa: ASYNC110 - neither the server nor the kernel has an event
            await asyncio.sleep(_POLL_S)
        with contextlib.suppress(OSError):  # Nobody waits any more.
            os.write(descriptor, b"\n")
    finally:
        os.close(descriptor)


class Ear:
    """The other end: of one process that is being started."""

    def __init__(self) -> None:
        self._heard, self.descriptor = os.pipe()
        """`descriptor`: for the process."""

    def started(self) -> None:
        """The process has its own copy: its end is the end of the pipe."""
        os.close(self.descriptor)
        self.descriptor = -1

    async def is_ready(self) -> bool:
        """Waits for the word; False where the process ends without it."""
        loop = asyncio.get_running_loop()
        heard = asyncio.Event()
        loop.add_reader(self._heard, heard.set)
        try:
            await heard.wait()
        finally:
            loop.remove_reader(self._heard)
        return bool(os.read(self._heard, 1))

    def close(self) -> None:
        os.close(self._heard)
        if self.descriptor >= 0:
            os.close(self.descriptor)
