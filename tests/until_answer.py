"""Waiting for what others do, where asking is itself a wait: ask again, up to a limit."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until_answer(ask: Callable[[], Awaitable[T]], limit_s: float = 20.0) -> T:
    """What `ask` answers, once that is true."""
    async with asyncio.timeout(limit_s):
        while not (answer := await ask()):  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)
    return answer
