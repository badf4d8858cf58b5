"""An event loop whose time is a number: it never waits, it moves on to what comes next.

Parts of what runs in it may be processes of their own, which can be stopped and go on later.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context, ContextVar, copy_context
from itertools import count
from typing import Any

UTC_START_NS = 1_763_632_800_000_000_000
STEPS_MAX = 3_000_000
"""Of one simulation: one that goes on for ever is a failure too."""

Connect = Callable[[asyncio.Protocol], Awaitable[asyncio.Transport]]


class StuckError(AssertionError):
    """Nothing will ever happen again, or too much happens without time passing."""


class Process:
    """What was begun in its context stands still while it is stopped, and goes on where it was."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_stopped = False
        self.held: list[asyncio.Handle] = []
        """What would have been done meanwhile."""
        self.context = copy_context()
        self.context.run(_PROCESS.set, self)


_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


def process_now() -> Process | None:
    """Whose code runs."""
    return _PROCESS.get()


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at 0.0. Connections are made by `connect`, whatever their address is."""

    # It takes asyncio's own place where that waits for files and timers: there are no files, and
    # its heap keeps no order of timers that are due at once, and compares them in Python.

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._steps = 0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = count()
        self._stopped: set[Process] = set()
        self.connect: Connect | None = None
        self.failures: list[BaseException] = []
        """What was raised where nobody waits for it."""
        self.set_exception_handler(self._failed)

    def time(self) -> float:
        return self._now_s

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def stop_process(self, process: Process) -> None:
        """It does nothing until it is woken."""
        process.is_stopped = True
        self._stopped.add(process)

    def wake(self, process: Process) -> None:
        """What was held is done now, in order."""
        process.is_stopped = False
        self._stopped.discard(process)
        self._ready.extend(process.held)  # type: ignore[attr-defined]
        process.held.clear()

    def wake_all(self) -> None:
        for process in sorted(self._stopped, key=lambda one: one.number):
            self.wake(process)

    def _run_once(self) -> None:
        ready, timers = self._ready, self._timers  # type: ignore[attr-defined]
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise StuckError("no end")
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not ready:
            if not timers:
                raise StuckError("nothing will ever happen")
            self._now_s = max(self._now_s, timers[0][0])
        while timers and timers[0][0] <= self._now_s:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            if self._stopped:
                process = handle._context.get(_PROCESS)
                if process is not None and process.is_stopped:
                    process.held.append(handle)
                    continue
            handle._run()

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
