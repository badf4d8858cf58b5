"""How long we wait for the world's answer, by our own steps: asyncio.timeout counts the time in
which our own loop stood still as the other's silence, and ends the wait although the answer is
there, unread. Here a standstill, however long, counts as one step.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

_STEPS: Final = 10
"""After the last there is one more pass of the loop: it takes an answer some four to be read."""


@asynccontextmanager
async def patience(limit_s: float) -> AsyncIterator[None]:
    """Raises TimeoutError after `limit_s` in which the loop ran; with standstills, later."""
    loop = asyncio.get_running_loop()
    steps_left = _STEPS
    next_step: asyncio.TimerHandle

    # Given itself: one that knew itself by its name would be left to the garbage collector.
    def step(again: Callable[..., None]) -> None:
        nonlocal steps_left, next_step
        steps_left -= 1
        if steps_left:
            next_step = loop.call_later(limit_s / _STEPS, again, again)
        else:
            limit.reschedule(loop.time())

    next_step = loop.call_later(limit_s / _STEPS, step, step)
    try:
        async with asyncio.timeout(None) as limit:
            yield
    finally:
        next_step.cancel()
