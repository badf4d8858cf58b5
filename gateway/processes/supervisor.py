"""Processes that belong together: started in order, kept alive, ended in reverse order.

No process survives its supervisor, and the whole never stays up without one of its parts: what
dies is started again, and what keeps dying ends everything with a clear word. What can be renewed
is: the new process serves before the old one is asked to end.
"""

import asyncio
import contextlib
import signal
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from gateway.processes.child_process import Child, end, kill, start, why_ended
from gateway.processes.readiness import Ear

DEATHS_MAX: Final = 5
DEATHS_WINDOW_S: Final = 60.0
STOP_LIMIT_S: Final = 8.0
"""For all together, from being asked to stop until SIGKILL."""
READY_LIMIT_S: Final = 15.0
"""For a new process to serve in the place of an old one."""
STATUS_MISTAKE: Final = 2
"""A child's exit status for a mistake in its settings: starting it again would not help."""

_STOP_LIMIT_LEAST_S: Final = 0.5
"""Left to a child even where those before it used up the time."""
_KILL_LIMIT_S: Final = 5.0
_BACKOFF_FIRST_S: Final = 0.1
_BACKOFF_MAX_S: Final = 5.0


class SupervisorError(Exception):
    """Why all ended that should have gone on. One line."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class _Kept:
    """A child, its present process and its latest deaths."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.process: Process | None = None
        self.beside: Process | None = None
        """One that is to take its place, or has left it and ends."""
        self.changing = asyncio.Lock()
        """Held by whoever is about to put another process in the place of this one."""
        self.deaths: deque[float] = deque(maxlen=DEATHS_MAX + 1)
        """When, by the loop's clock."""


class Supervisor:
    """Starts, keeps and ends children. One use."""

    def __init__(self, say: Callable[[str], None], stop_limit_s: float = STOP_LIMIT_S) -> None:
        self._say = say
        self._stop_limit_s = stop_limit_s
        self._kept: list[_Kept] = []
        self._hurried = False
        self._stopping = asyncio.Event()
        self._to_renew = asyncio.Event()

    def renew(self) -> None:
        """Every child that can be is replaced, one after the other, and its place never empty.

        Where a new process does not serve in time, the old one and all that come after it stay.
        """
        self._to_renew.set()

    def hurry(self) -> None:
        """Whatever has not ended yet is killed, now and from now on."""
        self._hurried = True
        for kept in self._kept:
            _kill(kept)

    def send(self, number: signal.Signals, tier: int) -> None:
        """To the processes of one tier, those that run."""
        for kept in self._kept:
            for process in (kept.process, kept.beside):
                if kept.child.tier == tier and process is not None:
                    with contextlib.suppress(ProcessLookupError):
                        process.send_signal(number)

    async def run(
        self,
        children: Sequence[Child],
        stopping: asyncio.Event,
        started: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """Until `stopping` is set. `started` runs beside, once all children have been started.

        Raises SupervisorError when a child could not be started or kept dying, and the one that
        `started` raises. When it returns or raises, no child is left.
        """
        self._stopping = stopping
        try:
            async with asyncio.TaskGroup() as group:
                work = group.create_task(self._keep_all(children, started))
                await stopping.wait()
                work.cancel()
        except ExceptionGroup as errors:
            ours, bugs = errors.split(SupervisorError)
            if bugs is not None or ours is None:
                raise
            raise _first(ours) from None
        finally:
            await self._end_all()

    async def _keep_all(
        self, children: Sequence[Child], started: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        async with asyncio.TaskGroup() as group:
            for child in sorted(children, key=lambda child: child.tier):
                kept = _Kept(child)
                self._kept.append(kept)
                try:
                    await self._start(kept)
                except OSError as error:
                    raise SupervisorError(f"{child.name} did not start: {error}") from None
                group.create_task(self._keep(kept))
            group.create_task(self._keep_renewing())
            group.create_task(started())

    async def _start(self, kept: _Kept) -> None:
        self._leave_if_ending()
        child = kept.child
        process = kept.process = await start(child)
        if child.ready is not None:
            await child.ready(lambda: process.returncode is None)
        self._leave_if_ending()

    def _leave_if_ending(self) -> None:
        """Raises CancelledError once more: what `ready` awaits may have swallowed ours."""
        if self._hurried or self._stopping.is_set():
            raise asyncio.CancelledError

    async def _keep(self, kept: _Kept) -> None:
        loop = asyncio.get_running_loop()
        backoff_s = _BACKOFF_FIRST_S
        while True:
            assert kept.process is not None
            process, started_s = kept.process, loop.time()
            reason = why_ended(await process.wait())
            async with kept.changing:
                if kept.process is not process:
                    continue  # It was replaced.
                if process.returncode == STATUS_MISTAKE:
                    message = f"{kept.child.name} can't run with these settings; ending everything"
                    raise SupervisorError(message, STATUS_MISTAKE)
                self._count_death(kept, reason, loop.time())
                self._say(f"{kept.child.name} ended ({reason}); starting it again")
                if loop.time() - started_s > DEATHS_WINDOW_S:
                    backoff_s = _BACKOFF_FIRST_S
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _BACKOFF_MAX_S)
                try:
                    await self._start(kept)
                except OSError as error:
                    self._say(f"{kept.child.name} did not start: {error}")
                    _kill(kept)

    async def _keep_renewing(self) -> None:
        while True:
            await self._to_renew.wait()
            self._to_renew.clear()
            for kept in self._kept:
                if kept.child.is_renewable and not await self._renew(kept):
                    break

    async def _renew(self, kept: _Kept) -> bool:
        """Whether a new process serves in the place of the old one, which has ended."""
        name = kept.child.name
        async with kept.changing:
            if not await self._serves_beside(kept):
                self._say(f"{name}: no new process serves; the old one stays")
                return False
            kept.process, kept.beside = kept.beside, kept.process
        self._say(f"{name}: a new process serves; the old one ends")
        await self._end_beside(kept)
        return True

    async def _serves_beside(self, kept: _Kept) -> bool:
        """Starts a second process; whether it serves in time. If not, it has ended."""
        ear = Ear()
        try:
            kept.beside = await start(kept.child, ear.descriptor)
            ear.started()
            async with asyncio.timeout(READY_LIMIT_S):
                is_ready = await ear.is_ready()
        except (OSError, TimeoutError):
            is_ready = False
        finally:
            ear.close()
        if not is_ready:
            if kept.beside is not None:
                kill(kept.beside)
            await self._end_beside(kept)
        return is_ready

    async def _end_beside(self, kept: _Kept) -> None:
        """Ends the one that is not in its place, within the usual limit."""
        if kept.beside is None:
            return
        if not await end(kept.beside, self._stop_limit_s):
            kill(kept.beside)
            await end(kept.beside, _KILL_LIMIT_S)
        kept.beside = None

    def _count_death(self, kept: _Kept, reason: str, now_s: float) -> None:
        kept.deaths.append(now_s)
        if len(kept.deaths) > DEATHS_MAX and now_s - kept.deaths[0] <= DEATHS_WINDOW_S:
            raise SupervisorError(
                f"{kept.child.name} ended {len(kept.deaths)} times within"
                f" {DEATHS_WINDOW_S:.0f} s (the last time: {reason}); ending everything"
            )

    async def _end_all(self) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._stop_limit_s
        for tier in sorted({kept.child.tier for kept in self._kept}, reverse=True):
            limit_s = max(deadline_s - loop.time(), _STOP_LIMIT_LEAST_S)
            members = [kept for kept in self._kept if kept.child.tier == tier]
            async with asyncio.TaskGroup() as group:
                for kept in members:
                    group.create_task(self._end(kept, limit_s))

    async def _end(self, kept: _Kept, limit_s: float) -> None:
        if kept.process is None:
            return
        try:
            async with asyncio.timeout(limit_s):
                if not self._hurried:
                    await self._ask_to_end(kept, kept.process)
        except TimeoutError:
            self._say(f"{kept.child.name} did not end within {limit_s:.1f} s; killing it")
        _kill(kept)
        for process in filter(None, (kept.process, kept.beside)):
            # Only one that is stuck in the kernel stays.
            await end(process, _KILL_LIMIT_S)

    async def _ask_to_end(self, kept: _Kept, process: Process) -> None:
        if kept.child.before_stop is not None and process.returncode is None:
            try:
                await kept.child.before_stop()
            except OSError as error:
                self._say(f"{kept.child.name}: {error}")
        both = [process, kept.beside] if kept.beside is not None else [process]
        for one in both:
            with contextlib.suppress(ProcessLookupError):
                one.terminate()
        for one in both:
            await one.wait()


def _first(errors: BaseExceptionGroup[SupervisorError]) -> SupervisorError:
    first: SupervisorError | BaseExceptionGroup[SupervisorError] = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


def _kill(kept: _Kept) -> None:
    for process in filter(None, (kept.process, kept.beside)):
        kill(process)
