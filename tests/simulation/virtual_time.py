"""An event loop whose time is a number: it never waits, it moves on to what comes next."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

UTC_START_NS = 1_763_632_800_000_000_000
STEPS_MAX = 3_000_000
"""Of one simulation: one that goes on for ever is a failure too."""

Connect = Callable[[asyncio.Protocol], Awaitable[asyncio.Transport]]


class StuckError(AssertionError):
    """Nothing will ever happen again, or too much happens without time passing."""


class _Skip(selectors.SelectSelector):
    """Waits for no file: passes the time until the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.steps = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.steps += 1
        if timeout is None or self.steps > STEPS_MAX:
            raise StuckError("nothing will ever happen" if timeout is None else "no end")
        self.now_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at 0.0. Connections are made by `connect`, whatever their address is."""

    def __init__(self) -> None:
        self._skip = _Skip()
        super().__init__(self._skip)
        self.connect: Connect | None = None
        self.failures: list[BaseException] = []
        """What was raised where nobody waits for it."""
        self.set_exception_handler(self._failed)

    def time(self) -> float:
        return self._skip.now_s

    async def create_unix_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.Protocol], path: str | None = None, **_: Any
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        assert self.connect is not None
        protocol = protocol_factory()
        return await self.connect(protocol), protocol

    def _failed(self, _: asyncio.AbstractEventLoop, told: Mapping[str, Any]) -> None:
        error = told.get("exception")
        if error is not None and "never retrieved" not in told.get("message", ""):
            self.failures.append(error)


class VirtualClock:
    """The loop's time, as the product reads it."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now_ns(self) -> int:
        return UTC_START_NS + round(self._loop.time() * 1e9)

    def monotonic_s(self) -> float:
        return self._loop.time()
