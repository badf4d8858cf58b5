"""What other processes do, which give no event to wait on: asked again, up to a limit."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


async def until(found: Callable[[], T], limit_s: float = 20.0) -> T:
    """What `found` returns, once that is true."""
    async with asyncio.timeout(limit_s):
        while not (result := found()):  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)
    return result


def is_gone(pid: int) -> bool:
    """Ended, whether or not its parent has taken notice."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"
